from agent_market.bridge import AgentMarketModel


class CatboostClassifier(AgentMarketModel):
    """
    CatBoost for classes, under the name it had in FreqAI.

    The keys of `freqai.model_training_parameters` are those of the adapter `catboost_classifier`
    (docs/adapters.md).
    """

    adapter = "catboost_classifier"
