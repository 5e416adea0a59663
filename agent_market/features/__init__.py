"""Causal features computed from candles and side data."""

from agent_market.features.calendar import add_calendar_features
from agent_market.features.decay import decayed_mean
from agent_market.features.headlines import add_headline_features, score_headline
from agent_market.features.order_flow import add_order_flow_features
from agent_market.features.regime_momentum import add_regime_momentum_features
from agent_market.features.technical import add_candle_features, add_period_features

__all__ = [
    "add_calendar_features",
    "add_candle_features",
    "add_headline_features",
    "add_order_flow_features",
    "add_period_features",
    "add_regime_momentum_features",
    "decayed_mean",
    "score_headline",
]
