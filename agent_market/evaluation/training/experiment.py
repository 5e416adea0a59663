"""One experiment: search, train, score, compare; the whole result as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.errors import ConfigError
from agent_market.evaluation.statement import NOT_PROVEN, describe_market, market_lines
from agent_market.evaluation.summary import plain_values
from agent_market.evaluation.training.ablation import ablation_rows, without
from agent_market.evaluation.training.groups import check_groups
from agent_market.evaluation.training.importance import importance_of
from agent_market.evaluation.training.runner import (
    Candidate,
    Execute,
    PairPredictions,
    Plans,
    run_candidates,
)
from agent_market.evaluation.training.scores import score_label
from agent_market.evaluation.training.search import SearchBudget, search_parameters
from agent_market.evaluation.training.sign_strategy import DEFAULT_COST_BPS
from agent_market.learning.window_plan import spec_values

SCHEMA = 1
OnProgress = Callable[[str, int, int | None], object]


@dataclass(frozen=True)
class Experiment:
    """What to train and to measure.

    plans : by horizon in candles, one a pair. candidates : models, each at one of those horizons.
    seed : of the resampling. cost_bps : of one fill of the sign strategy. groups : features to
    leave out one group at a time, name to pattern. search : budget of each candidate's search.
    timeframe : of the candles. manifest : of a simulated market. config : merged Freqtrade
    configuration. versions : of the libraries.
    """

    plans: Plans
    candidates: Sequence[Candidate]
    timeframe: str
    seed: int
    cost_bps: float = DEFAULT_COST_BPS
    groups: Mapping[str, str] = field(default_factory=dict)
    search: SearchBudget | None = None
    manifest: dict[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def run_experiment(
    experiment: Experiment,
    execute: Execute,
    folder: Path,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Return everything an experiment shows, as plain JSON values.

    The same experiment gives the same bytes, whatever executes it; only a search whose budget is in
    seconds may try another number of trials.

    Parameters
    ----------
    execute : callable
        Of `local_processes` or `ray_cluster`.
    folder : Path
        Holds the studies of the search.
    on_progress : callable
        Told the stage, how much of it is done, and how much there is (None: not known).

    Raises
    ------
    ConfigError
        The experiment contradicts itself, or a model refuses its parameters.
    """
    _check(experiment)
    searched = [
        _search(experiment, each, execute, folder, on_progress) for each in experiment.candidates
    ]
    candidates = [candidate for candidate, _ in searched]
    reduced = {
        candidate.key: {
            group: without(candidate, group, pattern)
            for group, pattern in experiment.groups.items()
        }
        for candidate in candidates
    }
    every = candidates + [each for groups in reduced.values() for each in groups.values()]
    predictions = _train(experiment, every, execute, on_progress)
    models = []
    for place, (candidate, record) in enumerate(searched):
        on_progress("score", place, len(searched))
        without_group = {
            group: predictions[each.key] for group, each in reduced[candidate.key].items()
        }
        models.append(_describe(experiment, candidate, predictions, without_group, record))
    on_progress("score", len(searched), len(searched))
    return _plain(_summary(experiment, models))


def _check(experiment: Experiment) -> None:
    keys = [candidate.key for candidate in experiment.candidates]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)} is asked for twice. Name each model once.")
    if experiment.cost_bps < 0:
        raise ConfigError(f"--cost-bps {experiment.cost_bps:g} is below 0. Give a cost.")
    for plans in experiment.plans.values():
        for plan in plans:
            check_groups(experiment.groups, plan.table.names)


def _search(
    experiment: Experiment,
    candidate: Candidate,
    execute: Execute,
    folder: Path,
    on_progress: OnProgress,
) -> tuple[Candidate, Mapping[str, Any] | None]:
    if experiment.search is None:
        return candidate, None
    stage, total = f"search {candidate.key}", experiment.search.trials
    on_progress(stage, 0, total)
    outcome = search_parameters(
        candidate,
        experiment.plans[candidate.horizon],
        experiment.search,
        execute,
        folder,
        experiment.versions,
        lambda done: on_progress(stage, done, total),
    )
    return outcome.candidate, outcome.record


def _train(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    execute: Execute,
    on_progress: OnProgress,
) -> dict[str, list[PairPredictions]]:
    total = sum(
        len(plan.windows)
        for candidate in candidates
        for plan in experiment.plans[candidate.horizon]
    )
    done = 0
    on_progress("train", done, total)

    def count(_: object) -> None:
        nonlocal done
        done += 1
        on_progress("train", done, total)

    return run_candidates(candidates, experiment.plans, execute, count)


def _describe(
    experiment: Experiment,
    candidate: Candidate,
    predictions: Mapping[str, Sequence[PairPredictions]],
    without_group: Mapping[str, Sequence[PairPredictions]],
    search: Mapping[str, Any] | None,
) -> dict[str, Any]:
    own = predictions[candidate.key]
    seed, labels = experiment.seed, own[0].plan.label_names
    return {
        "model": candidate.name,
        "horizon_candles": candidate.horizon,
        "spec": spec_values(candidate.spec),
        "planted": describe_market(experiment.manifest, candidate.horizon, experiment.timeframe)[
            "planted"
        ],
        "n_windows": sum(len(entry.outcomes) for entry in own),
        "not_trained": [error for entry in own for error in entry.errors],
        "labels": [score_label(own, label, experiment.cost_bps, seed) for label in labels],
        "importance": importance_of(own),
        "ablation": [
            {"label": label, "groups": ablation_rows(own, without_group, label, seed)}
            for label in labels
            if without_group
        ],
        "search": search,
    }


def _summary(experiment: Experiment, models: list[dict[str, Any]]) -> dict[str, Any]:
    every = [plan for plans in experiment.plans.values() for plan in plans]
    dates = [
        plan.candles["date"].iloc[row]
        for plan in every
        for window in plan.windows
        for row in (window.predict[0], window.predict[1] - 1)
    ]
    searches = [model["search"] for model in models if model["search"]]
    return {
        "schema": SCHEMA,
        "experiment": {
            "models": sorted({candidate.name for candidate in experiment.candidates}),
            "horizons_candles": sorted(experiment.plans),
            "pairs": sorted({plan.pair for plan in every}),
            "timeframe": experiment.timeframe,
            "start": pd.Timestamp(min(dates)).isoformat(),
            "end": pd.Timestamp(max(dates)).isoformat(),
            "n_features": int(np.median([len(plan.table.names) for plan in every])),
            "seed": experiment.seed,
            "cost_bps": experiment.cost_bps,
            "groups": dict(experiment.groups),
        },
        "trials": {
            "searched": sum(search["n_trials"] for search in searches),
            "scored_out_of_sample": len(models) * (1 + len(experiment.groups)),
        },
        "models": models,
        "market": "recorded" if experiment.manifest is None else "simulated",
        "simulated": [*market_lines(experiment.manifest), *_execution_lines(experiment)],
        "not_proven": list(NOT_PROVEN),
        "versions": dict(experiment.versions),
        "provenance": dict(experiment.provenance),
    }


def _execution_lines(experiment: Experiment) -> list[str]:
    return [
        (
            "Fills of the sign strategy: at the next candle's open, every order in full; "
            f"{experiment.cost_bps:g} bps of what is bought or sold for fee and slippage."
        ),
        "Equal stakes in every pair, rebalanced at every candle; leverage 1, no margin calls.",
        "Funding, partial fills, queue position, latency and market impact: none.",
    ]


def _plain(summary: dict[str, Any]) -> dict[str, Any]:
    """Return plain JSON values: figures rounded, parameters to the last digit."""
    values = plain_values(summary)
    for rounded, model in zip(values["models"], summary["models"], strict=True):
        rounded.update({name: model[name] for name in ("spec", "search")})
    plain: dict[str, Any] = json.loads(json.dumps(values, sort_keys=True, allow_nan=False))
    return plain
