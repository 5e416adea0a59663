"""Search a model's parameters on inner folds, before any window is predicted out of sample."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent_market.errors import ConfigError
from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.evaluation.training.inner_folds import inner_folds
from agent_market.evaluation.training.runner import (
    Candidate,
    Execute,
    PairPredictions,
    run_candidates,
)
from agent_market.evaluation.training.scored_rows import scored_rows
from agent_market.evaluation.training.search_spaces import space_of, suggest, with_found
from agent_market.learning.adapters.parameters import library
from agent_market.learning.window_plan import PairPlan, spec_values
from agent_market.store import hash_json

STUDY_FILE = "search.db"
N_FOLDS = 3
# Trials asked at once. It is not the number of workers, so that the trials do not depend on it.
_BATCH = 4


@dataclass(frozen=True)
class SearchBudget:
    """When a search of one candidate ends: whichever comes first; at least one is given.

    seconds : of this run; the trials that are under way then are finished.
    trials : of the study, those of earlier runs included.
    """

    seconds: float | None = None
    trials: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("--search", self.seconds), ("--trials", self.trials)):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} {value:g} is no budget. Give a number above 0.")
        if self.seconds is None and self.trials is None:
            raise ConfigError("A search needs a budget: give --search SECONDS or --trials N.")


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found; `record` goes into the output."""

    candidate: Candidate
    record: Mapping[str, Any]


def search_parameters(
    candidate: Candidate,
    plans: Sequence[PairPlan],
    budget: SearchBudget,
    execute: Execute,
    folder: Path,
    versions: Mapping[str, str],
    on_trial: Callable[[int], object] = lambda _: None,
) -> SearchOutcome:
    """Return the candidate with the parameters that did best on the inner folds.

    The objective is the mean information coefficient over folds, pairs and labels (of a classifier:
    minus the log loss); a model that predicts a constant scores 0. After each fold the trials below
    the median of the completed ones are given up. The parameters of the candidate itself are scored
    first, and kept if no trial beats them.

    Parameters
    ----------
    folder : Path
        Holds the study (SQLite). The same search of the same data goes on where it was; another
        model, seed, feature or label makes a study of its own.
    versions : mapping
        Of the libraries, part of what a study is recognized by.

    Raises
    ------
    ConfigError
        There is no search space, or the first window is too short for the folds.
    """
    folds = inner_folds(plans, N_FOLDS)
    study = _open_study(candidate, folds, folder, versions)
    trainer = _Trainer(candidate, folds, execute)
    own = trainer.score_own()
    deadline = math.inf if budget.seconds is None else time.monotonic() + budget.seconds
    while (left := _left(study, budget)) > 0 and time.monotonic() < deadline:
        trainer.run_batch(study, min(_BATCH, left))
        on_trial(len(study.trials))
    return _outcome(candidate, study, own)


class _Trainer:
    """Trains and scores trials fold by fold."""

    def __init__(
        self, candidate: Candidate, folds: Sequence[Sequence[PairPlan]], execute: Execute
    ) -> None:
        self.candidate = candidate
        self.space = space_of(candidate.spec.adapter)
        self.folds = folds
        self.execute = execute

    def score_own(self) -> float:
        """Return the score of the candidate's own parameters."""
        scores = [self._score_fold({0: self.candidate}, fold)[0] for fold in self.folds]
        return float(np.mean(scores))

    def run_batch(self, study: Any, size: int) -> None:
        """Ask `size` trials, run them side by side, and tell how they did."""
        optuna = library("optuna", "--search")
        trials = [study.ask() for _ in range(size)]
        waiting = {trial.number: self._with(suggest(trial, self.space)) for trial in trials}
        scores: dict[int, list[float]] = {trial.number: [] for trial in trials}
        for step, fold in enumerate(self.folds):
            for number, score in self._score_fold(waiting, fold).items():
                scores[number].append(score)
            for trial in trials:
                if trial.number in waiting:
                    mean = float(np.mean(scores[trial.number]))
                    if self._ends(study, trial, mean, step, optuna):
                        del waiting[trial.number]

    def _ends(self, study: Any, trial: Any, mean: float, step: int, optuna: Any) -> bool:
        states = optuna.trial.TrialState
        if not math.isfinite(mean):  # no window could be trained
            study.tell(trial, state=states.FAIL)
            return True
        trial.report(mean, step)
        if step == len(self.folds) - 1:
            study.tell(trial, mean)
            return True
        if trial.should_prune():
            study.tell(trial, state=states.PRUNED)
            return True
        return False

    def _score_fold(
        self, candidates: Mapping[int, Candidate], fold: Sequence[PairPlan]
    ) -> dict[int, float]:
        named = {
            number: replace(candidate, name=f"{candidate.name} trial {number}")
            for number, candidate in candidates.items()
        }
        if not named:
            return {}
        plans = {self.candidate.horizon: fold}
        predicted = run_candidates(list(named.values()), plans, self.execute)
        return {number: _score(predicted[each.key]) for number, each in named.items()}

    def _with(self, found: Mapping[str, float]) -> Candidate:
        params = with_found(self.candidate.spec.params, found, self.space)
        return replace(self.candidate, spec=replace(self.candidate.spec, params=params))


def _score(predictions: Sequence[PairPredictions]) -> float:
    """Return the mean over trained pairs and labels; NaN where no pair was trained."""
    scores = []
    for entry in predictions:
        if entry.errors:
            continue
        for label in entry.plan.label_names:
            rows = scored_rows(entry, label)
            if entry.plan.labels.dtype == object:
                scores.append(-float(np.nanmean(rows.loss)))
            else:
                scores.append(information_coefficient(rows.score, rows.realized))
    return float(np.mean(np.nan_to_num(scores))) if scores else math.nan


def _open_study(
    candidate: Candidate,
    folds: Sequence[Sequence[PairPlan]],
    folder: Path,
    versions: Mapping[str, str],
) -> Any:
    optuna = library("optuna", "--search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()  # to our log, not beside it
    optuna.logging.disable_default_handler()
    folder.mkdir(parents=True, exist_ok=True)
    identity = _identity(candidate, folds, versions)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / STUDY_FILE}",
        study_name=f"{candidate.key} {identity[:16]}",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        load_if_exists=True,
    )
    # a study that goes on must not draw its first trials again
    study.sampler = optuna.samplers.TPESampler(seed=candidate.spec.seed + len(study.trials))
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a run that was killed
    return study


def _identity(
    candidate: Candidate, folds: Sequence[Sequence[PairPlan]], versions: Mapping[str, str]
) -> str:
    content = [
        plan.identity(window, candidate.spec, versions)
        for fold in folds
        for plan in fold
        for window in plan.windows
    ]
    space = {name: list(span) for name, span in space_of(candidate.spec.adapter).items()}
    return hash_json([content, space, spec_values(candidate.spec)])


def _left(study: Any, budget: SearchBudget) -> int:
    return _BATCH if budget.trials is None else budget.trials - len(study.trials)


def _outcome(candidate: Candidate, study: Any, own: float) -> SearchOutcome:
    space = space_of(candidate.spec.adapter)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    best = max(complete, key=lambda trial: trial.value, default=None)
    found = dict(best.params) if best is not None and not best.value <= own else {}
    params = with_found(candidate.spec.params, found, space)
    states = [trial.state.name.lower() for trial in study.trials]
    record = {
        "n_trials": len(states),
        **{f"n_{state}": states.count(state) for state in ("complete", "pruned", "fail")},
        "n_folds": N_FOLDS,
        "own_value": own,
        "best_value": None if best is None else best.value,
        "found": found,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value,
                "params": dict(trial.params),
            }
            for trial in study.trials
        ],
    }
    return SearchOutcome(replace(candidate, spec=replace(candidate.spec, params=params)), record)
