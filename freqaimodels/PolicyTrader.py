from agent_market.bridge import AgentMarketModel


class PolicyTrader(AgentMarketModel):
    """
    The exact policy: expected profit after costs, maximized by its own gradient.

    Wants the target of RLTrader. Parameters: `cost_bps` and the policy's settings, in
    `freqai.model_training_parameters.exact_policy` (docs/rl-trading.md).
    """

    adapter = "agent_market.rl.adapters:ExactAdapter"
