"""What is told of an accepted expression beside its score: ranks, turnover, costs, decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from agent_market.evaluation.expressions.layout import (
    ScoredFold,
    Span,
    forward_returns,
    known_labels,
)
from agent_market.evaluation.expressions.scoring import CLIP, Double, FloatArray, Scorer
from agent_market.expressions.panel import Panel

DECAY_HORIZONS = (1, 3, 6, 12, 24, 48)
_LEAST_ROWS = 30


class Description(NamedTuple):
    """Figures of one expression on some folds.

    rank_ic : Spearman correlation of position and label, mean over pairs and folds.
    turnover : share of the capital that is traded a candle, mean.
    gross_bps, net_bps : return of a candle, mean over pairs, before and after costs.
    decay : coefficient over other horizons, by candles; NaN where a block is no longer than that.
    """

    rank_ic: float
    turnover: float
    gross_bps: float
    net_bps: float
    decay: dict[str, float]


def describe(
    values: FloatArray,
    panel: Panel,
    labels: Double,
    folds: Sequence[ScoredFold],
    horizon: int,
    cost_bps: float,
    sign: float,
) -> Description:
    """Return the description of values of shape (n_pairs, n_rows).

    The position held after candle t is `sign` times the mean of u / 3 of the last `horizon`
    candles, so at most all of the capital; it is opened and closed at closes and pays `cost_bps` on
    what changes. The sign is the one the search found. A missing u counts as no position.
    """
    scorer = Scorer(labels, folds)
    positions = scorer.positions(values)
    held = sign * _mean_of_last(np.nan_to_num(positions), horizon) / CLIP
    rows = scorer.block_of_row >= 0
    traded = np.abs(np.diff(held, axis=1, prepend=0.0))[:, rows]
    earned = (held * np.nan_to_num(forward_returns(panel, 1)))[:, rows]
    turnover, gross = float(traded.mean()), float(earned.mean()) * 1e4
    return Description(
        _rank_coefficient(positions, scorer),
        turnover,
        gross,
        gross - turnover * cost_bps,
        {str(k): _coefficient_over(values, panel, folds, horizon, k) for k in DECAY_HORIZONS},
    )


def _coefficient_over(
    values: FloatArray, panel: Panel, folds: Sequence[ScoredFold], horizon: int, other: int
) -> float:
    """Return the coefficient over another horizon, purged by it."""
    shifted = tuple(
        ScoredFold(
            max(0, fold.known + horizon - other),
            tuple(Span(b.start, b.stop + horizon - other) for b in fold.blocks),
        )
        for fold in folds
    )
    if any(block.stop - block.start < 2 for fold in shifted for block in fold.blocks):
        return float("nan")
    labels = known_labels(forward_returns(panel, other), panel.shape[1], other)
    return Scorer(labels, shifted).score(values).ic


def _mean_of_last(values: Double, n: int) -> Double:
    sums = np.cumsum(np.pad(values, ((0, 0), (n, 0))), axis=1)
    return np.asarray((sums[:, n:] - sums[:, :-n]) / n)


def _rank_coefficient(positions: Double, scorer: Scorer) -> float:
    block = scorer.block_of_row
    fold_of_row = np.where(block >= 0, scorer.fold_of_block[block], -1)
    found = []
    for fold in range(scorer.n_folds):
        for u, y in zip(positions, scorer.outcomes, strict=True):
            rows = (fold_of_row == fold) & np.isfinite(u) & np.isfinite(y)
            if rows.sum() >= _LEAST_ROWS and np.ptp(u[rows]) > 0:
                found.append(float(stats.spearmanr(u[rows], y[rows]).statistic))
    return float(np.mean(found)) if found else float("nan")
