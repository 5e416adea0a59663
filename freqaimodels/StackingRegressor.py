from agent_market.bridge import AgentMarketModel


class StackingRegressor(AgentMarketModel):
    """
    LightGBM, XGBoost and CatBoost, blended on purged out-of-fold predictions.

    The keys of `freqai.model_training_parameters` are those of the adapter `stacking_regressor`
    (docs/adapters.md).
    """

    adapter = "stacking_regressor"
