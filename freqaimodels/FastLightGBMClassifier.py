from agent_market.bridge import AgentMarketModel


class FastLightGBMClassifier(AgentMarketModel):
    """
    LightGBM for classes: FreqAI's LightGBMClassifier, faster.

    The keys of `freqai.model_training_parameters` are those of the adapter `lightgbm_classifier`
    (docs/adapters.md).
    """

    adapter = "lightgbm_classifier"
