from agent_market.bridge import AgentMarketModel


class OfflineTrader(AgentMarketModel):
    """
    Conservative Q-learning (d3rlpy) from a log of the training candles.

    Wants the target of RLTrader. Parameters: `cost_bps` and the policy's settings, in
    `freqai.model_training_parameters.cql_policy` (docs/rl-trading.md).
    """

    adapter = "agent_market.rl.adapters:CQLAdapter"
