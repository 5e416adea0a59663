"""Trading environments over a price path: one account, or many at a time.

`sb3` wraps the latter for stable-baselines3 and is imported by who trains with it.
"""

from agent_market.rl.env.actions import Actions, five_actions, target_actions
from agent_market.rl.env.single import TradingEnv
from agent_market.rl.env.vector import VectorTradingEnv

__all__ = ["Actions", "TradingEnv", "VectorTradingEnv", "five_actions", "target_actions"]
