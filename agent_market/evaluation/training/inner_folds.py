"""Folds for a parameter search, inside what the first windows were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agent_market.errors import ConfigError
from agent_market.learning.adapters.inputs import AnyArray
from agent_market.learning.splits import WalkForward
from agent_market.learning.window_plan import PairPlan, Window


def inner_folds(plans: Sequence[PairPlan], n_folds: int) -> list[list[PairPlan]]:
    """Return, for each fold, one plan a pair with the fold as its only window.

    The training rows of a pair's first window are cut into `n_folds` + 1 blocks. Fold k trains on
    the first k + 1 blocks and tests the next one; a label that reaches into the test block is not
    trained on (`WalkForward` with the plan's horizon, and `PairPlan.training_labels` once more).

    Notes
    -----
    Nothing that any window of any pair predicts is within reach: only pairs whose first training
    window ends before the first predicted candle of all pairs take part, their plans hold no label
    but those that were known when that window was trained, and no candle after it.

    Raises
    ------
    ConfigError
        The first window is too short for the folds.
    """
    first_predicted = min(
        plan.table.index[window.predict[0]] for plan in plans for window in plan.windows
    )
    firsts = [(plan, min(plan.windows, key=lambda window: window.predict)) for plan in plans]
    early = [
        (plan, window)
        for plan, window in firsts
        if plan.table.index[window.train[1] - 1] < first_predicted
    ]
    by_pair = [_folds_of(plan, window, n_folds) for plan, window in early]
    return [list(fold) for fold in zip(*by_pair, strict=True)]


def _folds_of(plan: PairPlan, outer: Window, n_folds: int) -> list[PairPlan]:
    start, stop = outer.train
    n_rows, horizon = stop - start, plan.horizon_candles
    step = n_rows // (n_folds + 1)
    if step <= horizon:
        raise ConfigError(
            f"--search: {n_rows} training rows of {plan.pair} make {n_folds + 1} blocks of {step} "
            f"rows, no longer than the horizon of {horizon}. Raise freqai.train_period_days or "
            "take a shorter horizon."
        )
    known = _labels_known_at(plan, outer)
    candles = plan.candles.iloc[:stop]
    splitter = WalkForward(
        horizon=horizon, train_length=n_rows - n_folds * step, step=step, expanding=True
    )
    return [
        replace(
            plan,
            candles=candles,
            labels=known,
            windows=(_fold(plan, start + int(test[0]), start, start + int(test[-1]) + 1),),
            window_labels={},
        )
        for _, test in splitter.split(range(n_rows))
    ]


def _fold(plan: PairPlan, first_tested: int, start: int, stop: int) -> Window:
    moment = int(plan.candles["date"].iloc[first_tested].timestamp())
    return Window(moment, (start, first_tested), (first_tested, stop), known=first_tested)


def _labels_known_at(plan: PairPlan, window: Window) -> AnyArray:
    """Return labels of the plan's shape, missing but in the training rows of `window`."""
    missing = None if plan.labels.dtype == object else np.nan
    labels = np.full(plan.labels.shape, missing, dtype=plan.labels.dtype)
    labels[slice(*window.train)] = plan.training_labels(window)
    return labels
