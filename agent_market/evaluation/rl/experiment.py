"""Policies over FreqAI's windows: train each with several seeds, trade what they say, compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import ConfigError, DataError
from agent_market.evaluation.rl.accounts import Account, account_figures, trade
from agent_market.evaluation.rl.signals import POSITIONS, Flags, policy_signals, target_signals
from agent_market.evaluation.statement import NOT_PROVEN, market_lines
from agent_market.evaluation.summary import plain_values
from agent_market.evaluation.training.experiment import OnProgress
from agent_market.evaluation.training.runner import (
    Candidate,
    Execute,
    PairPredictions,
    run_candidates,
)
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan, spec_values
from agent_market.learning.window_tasks import WindowOutcome, WindowTask
from agent_market.rl.offline.behavior import trend_targets
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules

SCHEMA = 1
TREND, HOLD = "trend rule", "buy and hold"

Signals = Callable[[PricePath], Flags]


@dataclass(frozen=True)
class PolicyExperiment:
    """What to train and to measure.

    plans : one a pair, with the label of RLTrader. paths : candles and funding by pair; each may
    begin later than its plan and ends with it. policies : model by name, whatever its seed.
    seeds : each policy is trained with each of them. rules : of the account.
    further : signals of others by name and pair, (n_candles,), such as those of FreqAI's learner.
    timeframe, manifest, provenance, versions : as of `evaluation.training.Experiment`.
    """

    plans: Sequence[PairPlan]
    paths: Mapping[str, PricePath]
    policies: Mapping[str, ModelSpec]
    seeds: Sequence[int]
    rules: TradingRules
    timeframe: str
    further: Mapping[str, Mapping[str, Flags]] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def run_policies(
    experiment: PolicyExperiment,
    execute: Execute,
    on_progress: OnProgress = lambda stage, done, total: None,
    logs: Path | None = None,
) -> dict[str, Any]:
    """Return everything an experiment shows, as plain JSON values.

    The same experiment gives the same bytes, whatever executes it.

    Parameters
    ----------
    execute : callable
        Of `evaluation.training.local_processes` or `ray_cluster`.
    on_progress : callable
        Told the stage, how much of it is done, and how much there is.
    logs : Path, optional
        Folder for TensorBoard.

    Raises
    ------
    ConfigError
        The experiment names no policy or no seed, or a policy refuses its settings.
    DataError
        A path does not reach back to the first row that is predicted.
    """
    if not experiment.policies or not experiment.seeds:
        raise ConfigError("there is no policy or no seed to train. Name at least one of each.")
    found = _train(experiment, execute, on_progress, logs)
    rows = []
    for place, name in enumerate(experiment.policies):
        on_progress("score", place, len(experiment.policies))
        rows.append(_policy_row(experiment, name, {s: found[name, s] for s in experiment.seeds}))
    on_progress("score", len(rows), len(experiment.policies))
    rows += [
        _row(experiment, name, _accounts(experiment, signals, rules))
        for name, (signals, rules) in _baselines(experiment).items()
    ]
    for name, by_pair in experiment.further.items():
        accounts = [
            _account(experiment, plan, by_pair[plan.pair], experiment.rules)
            for plan in experiment.plans
        ]
        rows.append(_row(experiment, name, accounts))
    summary = _summary(experiment, rows)
    values: dict[str, Any] = json.loads(
        json.dumps(plain_values(summary), sort_keys=True, allow_nan=False)
    )
    return values


def _train(
    experiment: PolicyExperiment, execute: Execute, on_progress: OnProgress, logs: Path | None
) -> dict[tuple[str, int], list[PairPredictions]]:
    horizon = experiment.plans[0].horizon_candles
    candidates = {
        (name, seed): Candidate(f"{name}, seed {seed}", horizon, replace(spec, seed=seed))
        for name, spec in experiment.policies.items()
        for seed in experiment.seeds
    }
    total = len(candidates) * sum(len(plan.windows) for plan in experiment.plans)
    done = 0
    on_progress("train", done, total)

    def count(_: WindowOutcome) -> None:
        nonlocal done
        done += 1
        on_progress("train", done, total)

    def run(tasks: Sequence[WindowTask]) -> Any:
        return execute(tasks if logs is None else [_with_log(task, logs) for task in tasks])

    predictions = run_candidates(list(candidates.values()), {horizon: experiment.plans}, run, count)
    return {key: predictions[candidate.key] for key, candidate in candidates.items()}


def _with_log(task: WindowTask, logs: Path) -> WindowTask:
    """Return the task with a folder for the learning curve, where the library writes one."""
    if not task.spec.adapter.endswith(":PPOAdapter"):
        return task
    folder = logs / task.key.replace(", ", "_").replace(" ", "_")
    algorithm = {**task.spec.params.get("algorithm", {}), "tensorboard_log": str(folder)}
    spec = replace(task.spec, params={**task.spec.params, "algorithm": algorithm})
    return replace(task, spec=spec)


def predicted_rows(plan: PairPlan) -> tuple[int, int]:
    """Return the first row that is predicted, and the end of the rows that are traded.

    The last choice is filled at the open of the candle after it, if there is one.
    """
    first = min(window.predict[0] for window in plan.windows)
    last = max(window.predict[1] for window in plan.windows)
    return first, min(last + 1, len(plan.candles))


def _account(
    experiment: PolicyExperiment, plan: PairPlan, flags: Flags, rules: TradingRules
) -> Account:
    """Return the account of a pair; `flags` has a row a candle of the plan."""
    first, stop = predicted_rows(plan)
    return trade(
        plan.pair, traded_path(plan, experiment.paths[plan.pair]), rules, flags[first:stop]
    )


def traded_path(plan: PairPlan, path: PricePath) -> PricePath:
    """Return the part of a path that lies out of sample."""
    first, stop = predicted_rows(plan)
    offset = len(plan.candles) - len(path)
    if offset > first:
        raise DataError(
            f"{plan.pair}: features are known from row {offset} on and row {first} is predicted "
            "already. Leave out the feature that is known so late."
        )
    part = slice(first - offset, stop - offset)
    return PricePath(
        features=path.features[part],
        open=path.open[part],
        high=path.high[part],
        low=path.low[part],
        close=path.close[part],
        funding_rate=path.funding_rate[part],
        dates=None if path.dates is None else path.dates[part],
        price_step=None if path.price_step is None else path.price_step[part],
    )


def signals_of(predictions: PairPredictions) -> Flags:
    """Return the signals of a policy, one a candle of its plan."""
    plan, frame = predictions.plan, predictions.frame
    flags = target_signals(np.zeros(len(plan.candles)))
    trusted: npt.NDArray[np.bool_] = frame["trusted"].to_numpy(bool)
    found = policy_signals(frame, plan.label_names[0], trusted)
    flags[frame.index.to_numpy()] = found
    return flags


def _policy_row(
    experiment: PolicyExperiment, name: str, by_seed: Mapping[int, Sequence[PairPredictions]]
) -> dict[str, Any]:
    accounts = {
        seed: [
            _account(
                experiment,
                each.plan,
                signals_of(each),
                experiment.rules,
            )
            for each in found
        ]
        for seed, found in by_seed.items()
    }
    every = [account for own in accounts.values() for account in own]
    predictions = [each for found in by_seed.values() for each in found]
    return _row(experiment, name, every) | {
        "spec": spec_values(experiment.policies[name]),
        "seeds": [
            {"seed": seed} | account_figures(own, experiment.rules)
            for seed, own in accounts.items()
        ],
        "n_windows": sum(len(each.outcomes) for each in predictions),
        "windows_traded": sum(_n_traded(each) for each in predictions),
        "not_trained": [error for each in predictions for error in each.errors],
    }


def _n_traded(predictions: PairPredictions) -> int:
    """Return in how many windows the policy would ever enter."""
    entered = predictions.frame[predictions.plan.label_names[0]].fillna(0.0) != 0
    return int(entered.groupby(predictions.frame["trained_at"]).any().sum())


def _row(experiment: PolicyExperiment, name: str, accounts: Sequence[Account]) -> dict[str, Any]:
    pairs = sorted({account.pair for account in accounts})
    return {
        "name": name,
        **account_figures(accounts, experiment.rules),
        "by_pair": [
            {"pair": pair}
            | account_figures([each for each in accounts if each.pair == pair], experiment.rules)
            for pair in pairs
        ],
    }


def _baselines(experiment: PolicyExperiment) -> dict[str, tuple[Signals, TradingRules]]:
    rules = experiment.rules
    grid = POSITIONS if rules.can_short else POSITIONS[1:]

    def trend(path: PricePath) -> Flags:
        return target_signals(grid[trend_targets(path, grid)])

    def hold(path: PricePath) -> Flags:
        return target_signals(np.ones(len(path)))

    kept = replace(rules, stoploss=-1.0, minimal_roi={}, leverage=1.0)
    return {TREND: (trend, rules), HOLD: (hold, kept)}


def _accounts(experiment: PolicyExperiment, signals: Signals, rules: TradingRules) -> list[Account]:
    accounts = []
    for plan in experiment.plans:
        path = experiment.paths[plan.pair]
        # a rule needs the candles before the first one it trades
        before = np.zeros(len(plan.candles) - len(path), np.int64)
        flags = np.concatenate([before, signals(path)])
        accounts.append(_account(experiment, plan, flags, rules))
    return accounts


def _summary(experiment: PolicyExperiment, rows: list[dict[str, Any]]) -> dict[str, Any]:
    spans = [
        plan.candles["date"].iloc[row]
        for plan in experiment.plans
        for first, stop in [predicted_rows(plan)]
        for row in (first, stop - 1)
    ]
    rules = experiment.rules
    return {
        "schema": SCHEMA,
        "experiment": {
            "policies": list(experiment.policies),
            "seeds": list(experiment.seeds),
            "pairs": [plan.pair for plan in experiment.plans],
            "timeframe": experiment.timeframe,
            "start": pd.Timestamp(min(spans)).isoformat(),
            "end": pd.Timestamp(max(spans)).isoformat(),
            "n_windows": max(len(plan.windows) for plan in experiment.plans),
            "n_features": int(np.median([len(plan.table.names) for plan in experiment.plans])),
            "cost_bps": 1e4 * rules.cost,
            "leverage": rules.leverage,
            "stoploss": rules.stoploss,
        },
        "rows": rows,
        "market": "recorded" if experiment.manifest is None else "simulated",
        "simulated": [*market_lines(experiment.manifest), *_execution_lines(rules)],
        "not_proven": list(NOT_PROVEN),
        "versions": dict(experiment.versions),
        "provenance": dict(experiment.provenance),
    }


def _execution_lines(rules: TradingRules) -> list[str]:
    return [
        (
            "Fills: at the next candle's open, every order in full, by the accounting that "
            f"reproduces Freqtrade's backtest; {1e4 * rules.cost:g} bps of what is bought or sold."
        ),
        (
            "An account a pair, with an equal part of the capital at the start; each stakes its "
            f"whole balance at leverage {rules.leverage:g}."
        ),
        "Funding: from the stored rates and mark prices; none on spot.",
        "Liquidation, partial fills, queue position, latency and market impact: none.",
    ]
