"""The only room that imports freqtrade: base classes of our FreqAI models."""

from agent_market.bridge.charts import plot_config
from agent_market.bridge.configuration import settings_of
from agent_market.bridge.decisions import DecisionDesk
from agent_market.bridge.feature_hooks import FeatureHooks
from agent_market.bridge.feature_sets import feature_set_path
from agent_market.bridge.model import AgentMarketModel
from agent_market.bridge.offline import load_plans, read_config
from agent_market.bridge.offline_specs import offline_specs
from agent_market.bridge.panel import AgentMarketPanelModel
from agent_market.bridge.specs import model_spec

__all__ = [
    "AgentMarketModel",
    "AgentMarketPanelModel",
    "DecisionDesk",
    "FeatureHooks",
    "feature_set_path",
    "load_plans",
    "model_spec",
    "offline_specs",
    "plot_config",
    "read_config",
    "settings_of",
]
