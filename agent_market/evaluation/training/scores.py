"""How good predictions are, over all pairs and for each, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from agent_market.evaluation.information_coefficient import (
    hit_rate,
    information_coefficient,
    information_coefficient_error,
)
from agent_market.evaluation.metrics import Interval
from agent_market.evaluation.training.bootstrap import (
    block_length,
    block_starts,
    coefficient_draws,
    percentile_interval,
)
from agent_market.evaluation.training.runner import PairPredictions
from agent_market.evaluation.training.scored_rows import (
    ScoredRows,
    on_one_timeline,
    scored_rows,
)
from agent_market.evaluation.training.sign_strategy import strategy_figures, strategy_returns

FloatArray = npt.NDArray[np.float64]


def score_label(
    predictions: Sequence[PairPredictions], label: str, cost_bps: float, seed: int
) -> dict[str, Any]:
    """Return everything that is measured of one label: overall, by pair, and by window.

    Parameters
    ----------
    predictions : sequence of PairPredictions
        Of one candidate, one entry a pair.
    cost_bps : float
        Of one fill of the sign strategy.
    seed : int
        Of the resampling.
    """
    pairs = [scored_rows(entry, label) for entry in predictions]
    plans = [entry.plan for entry in predictions]
    horizon = plans[0].horizon_candles
    earned = [
        strategy_returns(plan.candles, pair.rows, pair.score, horizon, cost_bps)
        for plan, pair in zip(plans, pairs, strict=True)
    ]
    return {
        "label": label,
        "overall": _figures(pairs, horizon, seed)
        | {"strategy": strategy_figures(earned, cost_bps)},
        "by_pair": [
            {"pair": pair.pair}
            | _figures([pair], horizon, seed)
            | {"strategy": _without_curve(strategy_figures([part], cost_bps))}
            for pair, part in zip(pairs, earned, strict=True)
        ],
        "windows": [
            row
            for plan, pair in zip(plans, pairs, strict=True)
            for row in _windows(pair, plan.candles["date"], horizon)
        ],
    }


def mean_coefficient(pairs: Sequence[ScoredRows]) -> float:
    """Return the mean over pairs of the correlation of score and outcome; NaN where none has one.

    Rows with NaN on either side count for nothing.
    """
    return _mean([information_coefficient(pair.score, pair.realized) for pair in pairs])


def mean_log_loss(pairs: Sequence[ScoredRows]) -> float:
    """Return the mean log loss over all rows of classifiers; NaN for regressors."""
    return _mean(np.concatenate([pair.loss for pair in pairs]))


def _figures(pairs: Sequence[ScoredRows], horizon: int, seed: int) -> dict[str, Any]:
    score, realized = on_one_timeline(
        pairs, [[pair.score for pair in pairs], [pair.realized for pair in pairs]]
    )
    known = np.isfinite(score) & np.isfinite(realized)
    ranks = [_ranks(table, known) for table in (score, realized)]
    every = [
        np.concatenate(part) for part in ([p.score for p in pairs], [p.realized for p in pairs])
    ]
    return {
        "n_rows": int(sum(len(pair.rows) for pair in pairs)),
        "n": int(known.sum()),
        "trusted_share": float(np.isfinite(every[0]).mean()),
        "ic": mean_coefficient(pairs),
        "ic_interval_95": list(_interval(score, realized, horizon, seed)),
        "rank_ic": _mean(
            [information_coefficient(pair.score, pair.realized, "spearman") for pair in pairs]
        ),
        "rank_ic_interval_95": list(_interval(ranks[0], ranks[1], horizon, seed)),
        "r2": _r2(pairs),
        "hit_rate": hit_rate(every[0], every[1]),
        "log_loss": mean_log_loss(pairs),
        "log_loss_of_training_shares": _mean(np.concatenate([pair.mean_loss for pair in pairs])),
    }


def _interval(x: FloatArray, y: FloatArray, horizon: int, seed: int) -> Interval:
    length = block_length(len(x), horizon)
    starts = block_starts(len(x), length, seed)
    return percentile_interval(coefficient_draws(x, y, starts, length))


def _ranks(table: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the ranks of each pair's known rows."""
    ranks = np.full(table.shape, np.nan)
    for column in range(table.shape[1]):
        rows = known[:, column]
        ranks[rows, column] = stats.rankdata(table[rows, column])
    return ranks


def _r2(pairs: Sequence[ScoredRows]) -> float:
    """Return 1 - squared error / squared error of the training mean, over all rows."""
    error = benchmark = 0.0
    for pair in pairs:
        known = np.isfinite(pair.score) & np.isfinite(pair.realized) & np.isfinite(pair.mean)
        error += float(((pair.realized - pair.score)[known] ** 2).sum())
        benchmark += float(((pair.realized - pair.mean)[known] ** 2).sum())
    return 1.0 - error / benchmark if benchmark else math.nan


def _windows(
    pair: ScoredRows, dates: pd.Series[pd.Timestamp], horizon: int
) -> list[dict[str, Any]]:
    """Return the scores of each window, in the words of the backtest's report."""
    rows = []
    for trained_at in np.unique(pair.window):
        part = pair.window == trained_at
        score, realized = pair.score[part], pair.realized[part]
        within = dates.iloc[pair.rows[part]]
        rows.append(
            {
                "pair": pair.pair,
                "trained_until": pd.Timestamp(trained_at, unit="s", tz="UTC").isoformat(),
                "window_start": within.iloc[0].isoformat(),
                "window_end": within.iloc[-1].isoformat(),
                "n": int((np.isfinite(score) & np.isfinite(realized)).sum()),
                "do_predict_share": float(np.isfinite(score).mean()),
                "ic": information_coefficient(score, realized),
                "ic_standard_error": information_coefficient_error(score, realized, horizon),
                "rank_ic": information_coefficient(score, realized, "spearman"),
                "hit_rate": hit_rate(score, realized),
            }
        )
    return rows


def _without_curve(figures: dict[str, Any]) -> dict[str, Any]:
    for side in ("net", "gross"):
        figures[side].pop("daily")
    return figures


def _mean(values: Sequence[float] | FloatArray) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
