from agent_market.bridge import AgentMarketPanelModel


class PanelLightGBMRegressor(AgentMarketPanelModel):
    """
    One LightGBM for all pairs of the whitelist: N pairs cost one fit.

    The keys of `freqai.model_training_parameters` are those of the adapter `lightgbm_regressor`
    (docs/adapters.md).
    """

    adapter = "lightgbm_regressor"
