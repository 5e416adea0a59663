from agent_market.bridge import AgentMarketModel


class PPOTrader(AgentMarketModel):
    """
    Proximal policy optimization (stable-baselines3) on our trading environment.

    Wants the target of RLTrader. Parameters: `cost_bps` and the policy's settings, in
    `freqai.model_training_parameters.ppo_policy` (docs/rl-trading.md).
    """

    adapter = "agent_market.rl.adapters:PPOAdapter"
