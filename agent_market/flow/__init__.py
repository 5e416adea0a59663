"""Durable steps: the loop from data to report."""
