"""Regimes, modes, risk and sizing: what a prediction is turned into."""
