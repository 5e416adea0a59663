from agent_market.bridge import AgentMarketModel


class LSTMRegressor(AgentMarketModel):
    """
    A long short-term memory net over consecutive candles.

    The keys of `freqai.model_training_parameters` are those of the adapter `lstm_regressor`
    (docs/adapters.md).
    """

    adapter = "lstm_regressor"
