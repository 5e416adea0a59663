from agent_market.bridge import AgentMarketModel


class ImitationTrader(AgentMarketModel):
    """
    Behavior cloning of the best positions in hindsight.

    Wants the target of RLTrader. Parameters: `cost_bps` and the policy's settings, in
    `freqai.model_training_parameters.imitation_policy` (docs/rl-trading.md).
    """

    adapter = "agent_market.rl.adapters:ImitationAdapter"
