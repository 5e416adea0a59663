"""Train supervised models over FreqAI's windows without its engine, and measure them honestly."""

from agent_market.evaluation.training.executors import LOCAL, local_processes, ray_cluster
from agent_market.evaluation.training.experiment import Experiment, run_experiment
from agent_market.evaluation.training.groups import derived_groups, given_groups
from agent_market.evaluation.training.page import write_page
from agent_market.evaluation.training.runner import Candidate, PairPredictions, run_candidates
from agent_market.evaluation.training.search import SearchBudget

__all__ = [
    "LOCAL",
    "Candidate",
    "Experiment",
    "PairPredictions",
    "SearchBudget",
    "derived_groups",
    "given_groups",
    "local_processes",
    "ray_cluster",
    "run_candidates",
    "run_experiment",
    "write_page",
]
