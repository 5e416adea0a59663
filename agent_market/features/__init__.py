"""Causal features computed from candles and side data."""

from agent_market.features.calendar import add_calendar_features
from agent_market.features.decay import decayed_mean
from agent_market.features.feature_set import FeatureSet, read_feature_set, write_feature_set
from agent_market.features.groups import GROUPS, FeatureGroup, Hook, compute_group
from agent_market.features.headlines import add_headline_features, score_headline
from agent_market.features.inputs import FeatureInputs, Need
from agent_market.features.order_flow import add_order_flow_features
from agent_market.features.regime_momentum import add_regime_momentum_features
from agent_market.features.standardize import STANDARDIZATIONS, rolling_rank, winsorize
from agent_market.features.technical import add_candle_features, add_period_features

__all__ = [
    "GROUPS",
    "STANDARDIZATIONS",
    "FeatureGroup",
    "FeatureInputs",
    "FeatureSet",
    "Hook",
    "Need",
    "add_calendar_features",
    "add_candle_features",
    "add_headline_features",
    "add_order_flow_features",
    "add_period_features",
    "add_regime_momentum_features",
    "compute_group",
    "decayed_mean",
    "read_feature_set",
    "rolling_rank",
    "score_headline",
    "winsorize",
    "write_feature_set",
]
