"""Policies: what position to take next, learned from a path that does not react to our trades."""
