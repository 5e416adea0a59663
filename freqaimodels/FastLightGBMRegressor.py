from agent_market.bridge import AgentMarketModel


class FastLightGBMRegressor(AgentMarketModel):
    """
    LightGBM: FreqAI's LightGBMRegressor, faster.

    The keys of `freqai.model_training_parameters` are those of the adapter `lightgbm_regressor`
    (docs/adapters.md).
    """

    adapter = "lightgbm_regressor"
