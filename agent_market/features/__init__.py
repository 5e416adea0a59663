"""Causal features computed from candles."""

from agent_market.features.calendar import add_calendar_features
from agent_market.features.technical import add_candle_features, add_period_features

__all__ = ["add_calendar_features", "add_candle_features", "add_period_features"]
