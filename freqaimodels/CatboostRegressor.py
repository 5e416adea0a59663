from agent_market.bridge import AgentMarketModel


class CatboostRegressor(AgentMarketModel):
    """
    CatBoost, under the name it had in FreqAI.

    The keys of `freqai.model_training_parameters` are those of the adapter `catboost_regressor`
    (docs/adapters.md).
    """

    adapter = "catboost_regressor"
