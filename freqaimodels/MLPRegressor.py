from agent_market.bridge import AgentMarketModel


class MLPRegressor(AgentMarketModel):
    """
    A multilayer perceptron.

    The keys of `freqai.model_training_parameters` are those of the adapter `mlp_regressor`
    (docs/adapters.md).
    """

    adapter = "mlp_regressor"
