from agent_market.bridge import AgentMarketModel


class FastXGBoostRegressor(AgentMarketModel):
    """
    XGBoost: FreqAI's XGBoostRegressor, faster.

    The keys of `freqai.model_training_parameters` are those of the adapter `xgboost_regressor`
    (docs/adapters.md).
    """

    adapter = "xgboost_regressor"
