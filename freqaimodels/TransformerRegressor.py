from agent_market.bridge import AgentMarketModel


class TransformerRegressor(AgentMarketModel):
    """
    A transformer encoder over consecutive candles.

    The keys of `freqai.model_training_parameters` are those of the adapter `transformer_regressor`
    (docs/adapters.md).
    """

    adapter = "transformer_regressor"
