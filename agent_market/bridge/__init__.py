"""The only room that imports freqtrade: base classes of our FreqAI models."""

from agent_market.bridge.configuration import settings_of
from agent_market.bridge.regressor import AgentMarketRegressor

__all__ = ["AgentMarketRegressor", "settings_of"]
