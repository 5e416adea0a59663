"""Offline learning: logged transitions, policies learned from them, and a gate by their value."""
