"""Policies trained over FreqAI's windows, traded by the environment's accounting, and compared."""

from agent_market.evaluation.rl.experiment import PolicyExperiment, run_policies
from agent_market.evaluation.rl.page import write_policy_page

__all__ = ["PolicyExperiment", "run_policies", "write_policy_page"]
