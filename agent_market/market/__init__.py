"""Candles and side data, the simulator and the replay exchange."""
