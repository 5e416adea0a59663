"""Causal features computed from candles."""
