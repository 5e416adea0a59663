"""Predictions beside what happened, as numbers: one direction, one outcome, one benchmark a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.evaluation.training.runner import PairPredictions
from agent_market.learning.adapters.inputs import AnyArray
from agent_market.learning.window_plan import PairPlan, Window

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class ScoredRows:
    """One label of one pair, each array of shape (n_rows,), in order of time.

    rows : of the pair's candles. candle : their numbers. window : `trained_at` of the model.
    score : a regressor's prediction; of a classifier the return it expects: the probability of
        each class times the mean return of that class in the training rows. NaN where not trusted.
    realized : the label; of a classifier close[t + h] / close[t] - 1. NaN where not known.
    mean : a regressor's benchmark, the label's mean over the rows it was trained on; else NaN.
    loss, mean_loss : a classifier's log loss, and that of the shares of the classes in the training
        rows; else NaN.
    """

    pair: str
    rows: IntArray
    candle: IntArray
    window: IntArray
    score: FloatArray
    realized: FloatArray
    mean: FloatArray
    loss: FloatArray
    mean_loss: FloatArray


def scored_rows(predictions: PairPredictions, label: str) -> ScoredRows:
    """Return the predictions of `label` beside its outcomes."""
    plan, frame = predictions.plan, predictions.frame
    column = plan.label_names.index(label)
    rows = frame.index.to_numpy(np.int64)
    unknown = np.full(len(rows), np.nan)
    if plan.labels.dtype == object:
        score, loss, mean_loss = _classes(predictions, column)
        realized, mean = _returns(plan)[rows], unknown
    else:
        score = np.asarray(frame[label], dtype=np.float64)
        realized = np.asarray(plan.labels[rows, column], dtype=np.float64)
        means = {at: each.label_mean.get(label) for at, each in predictions.outcomes.items()}
        mean = frame["trained_at"].map(means).to_numpy(np.float64)
        loss = mean_loss = unknown
    return ScoredRows(
        plan.pair,
        rows,
        frame["candle"].to_numpy(np.int64),
        frame["trained_at"].to_numpy(np.int64),
        np.where(frame["trusted"], score, np.nan),
        realized,
        mean,
        loss,
        mean_loss,
    )


def on_one_timeline(
    pairs: Sequence[ScoredRows], columns: Sequence[Sequence[FloatArray]]
) -> list[FloatArray]:
    """Return arrays of shape (n_candles, n_pairs): each pair's values at the candles of all pairs.

    Parameters
    ----------
    columns : for each result, one array a pair, of that pair's rows.
    """
    timeline = np.unique(np.concatenate([pair.candle for pair in pairs]))
    tables = []
    for values in columns:
        table = np.full((len(timeline), len(pairs)), np.nan)
        for place, (pair, value) in enumerate(zip(pairs, values, strict=True)):
            table[np.searchsorted(timeline, pair.candle), place] = value
        tables.append(table)
    return tables


def _returns(plan: PairPlan) -> FloatArray:
    """Return close[t + h] / close[t] - 1, NaN in the last h rows."""
    close = plan.candles["close"].to_numpy(np.float64)
    returns = np.full(len(close), np.nan)
    horizon = plan.horizon_candles
    returns[:-horizon] = close[horizon:] / close[:-horizon] - 1.0
    return returns


def _classes(
    predictions: PairPredictions, column: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return expected return, log loss, and the log loss of the training shares."""
    plan, frame = predictions.plan, predictions.frame
    returns = _returns(plan)
    parts = [np.full(len(frame), np.nan) for _ in range(3)]
    at = frame["trained_at"].to_numpy()
    for window in plan.windows:
        place = np.flatnonzero(at == window.trained_at)
        if not predictions.outcomes[window.trained_at].predictions:
            continue
        shares, means = _training_classes(plan, window, returns, column)
        held = frame.iloc[place]
        probability = {name: _probability(held, name) for name in shares}
        actual = plan.labels[held.index, column]
        parts[0][place] = sum(probability[name] * means[name] for name in shares)
        parts[1][place] = _log_loss(actual, probability)
        flat = {name: np.full(len(held), share) for name, share in shares.items()}
        parts[2][place] = _log_loss(actual, flat)
    untrusted = ~frame["trusted"].to_numpy(bool)
    for part in parts:
        part[untrusted] = np.nan
    return parts[0], parts[1], parts[2]


def _training_classes(
    plan: PairPlan, window: Window, returns: FloatArray, column: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return share and mean return of each class over the training rows with a known label."""
    labels = plan.training_labels(window)[:, column]
    rows = np.arange(*window.train)
    known = rows + plan.horizon_candles < window.known
    table = pd.DataFrame({"label": labels[known], "return": returns[rows[known]]})
    grouped = table.dropna().groupby("label")["return"]
    shares = grouped.size() / grouped.size().sum()
    return (
        {str(name): float(value) for name, value in shares.items()},
        {str(name): float(value) for name, value in grouped.mean().items()},
    )


def _probability(frame: pd.DataFrame, name: str) -> FloatArray:
    # a class that a model with a purged training part never saw has no column of its own
    return np.asarray(frame[name], np.float64) if name in frame else np.zeros(len(frame))


def _log_loss(actual: AnyArray, probability: dict[str, FloatArray]) -> FloatArray:
    """Return minus the log of the probability of what happened; NaN where that is not known."""
    loss = np.full(len(actual), np.nan)
    known = np.array([label is not None and label == label for label in actual], dtype=bool)
    loss[known] = -np.log(_LEAST_PROBABILITY)
    for name, value in probability.items():
        hit = actual == name
        loss[hit] = -np.log(np.clip(value[hit], _LEAST_PROBABILITY, 1.0))
    return loss
