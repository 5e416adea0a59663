"""Train supervised models over FreqAI's windows without its engine, and measure them honestly."""

from agent_market.evaluation.training.executors import LOCAL, local_processes, ray_cluster
from agent_market.evaluation.training.experiment import Experiment, run_experiment
from agent_market.evaluation.training.groups import derived_groups, given_groups
from agent_market.evaluation.training.page import write_page
from agent_market.evaluation.training.progress import progress_bars
from agent_market.evaluation.training.runner import Candidate, PairPredictions, run_candidates
from agent_market.evaluation.training.search import SearchBudget
from agent_market.evaluation.training.sign_strategy import DEFAULT_COST_BPS
from agent_market.evaluation.training.versions import installed_versions, provenance

__all__ = [
    "DEFAULT_COST_BPS",
    "LOCAL",
    "Candidate",
    "Experiment",
    "PairPredictions",
    "SearchBudget",
    "derived_groups",
    "given_groups",
    "installed_versions",
    "local_processes",
    "progress_bars",
    "provenance",
    "ray_cluster",
    "run_candidates",
    "run_experiment",
    "write_page",
]
