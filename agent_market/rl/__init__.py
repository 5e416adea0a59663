"""Reinforcement learning: a trading environment that equals the host's backtest, and policies."""
