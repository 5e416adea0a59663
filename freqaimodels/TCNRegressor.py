from agent_market.bridge import AgentMarketModel


class TCNRegressor(AgentMarketModel):
    """
    A temporal convolutional net over consecutive candles.

    The keys of `freqai.model_training_parameters` are those of the adapter `tcn_regressor`
    (docs/adapters.md).
    """

    adapter = "tcn_regressor"
