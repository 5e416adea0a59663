"""A market whose next return follows a known expression, to see whether a search finds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from agent_market.evaluation.expressions.layout import scope_of
from agent_market.evaluation.expressions.scoring import CLIP, Double
from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel
from agent_market.expressions.parser import check_expression
from agent_market.expressions.scope import ExpressionBounds

_CHUNK = 96
_PRICES = ("open", "high", "low", "close")


def plant_expression(panel: Panel, node: Node, strength: float) -> Panel:
    """Return the panel with a drift in its prices that follows an expression of these very prices.

    The log return of candle t + 1 gains strength * volatility * u[t]; u is the expression at row t
    in standard deviations from its mean, both over the panel given, within -3..3 (0 where it is
    NaN), and the volatility is the standard deviation of the pair's log returns. Over one candle
    the information coefficient is about `strength`; it is larger over as many as u lasts.

    Parameters
    ----------
    panel : Panel
        Without alpha, no candle missing.
    node : Node
        Of series alone: what the candles do not decide stays as it is.
    strength : float
        Drift of one standard deviation of u, in volatilities.

    Notes
    -----
    The drift of a candle is a function of the candles before it, so there is exactly one such
    market. It is found chunk by chunk, in rounds: each computes the expression on the prices of the
    round before, which makes one more row final at least, and most of them at once.
    """
    returns = np.diff(np.log(panel.series["close"].astype(np.float64)), axis=1)
    volatility = np.nanstd(returns, axis=1, keepdims=True)
    values = next(Evaluator(panel).evaluate([node]))
    center = np.nanmean(values, axis=1, keepdims=True)
    deviation = np.nanstd(values, axis=1, keepdims=True)
    lookback = check_expression(node, scope_of(panel, ExpressionBounds())).lookback
    drift, n_rows = np.zeros(panel.shape), panel.shape[1]
    steps_of = partial(_steps, node, center, deviation, strength * volatility)
    for first in range(0, n_rows, _CHUNK):
        span = slice(max(0, first - lookback - 2), min(n_rows, first + _CHUNK))
        part = panel.rows(span.start, span.stop)
        _settle(part, steps_of, drift[:, span], first - span.start)
        drift[:, span.stop :] = drift[:, span.stop - 1 : span.stop]
    return _drifted(panel, drift)


def _steps(node: Node, center: Double, deviation: Double, size: Double, panel: Panel) -> Double:
    """Return what each row adds to the price of the next one."""
    values = next(Evaluator(panel).evaluate([node]))
    return np.asarray(size * np.nan_to_num(np.clip((values - center) / deviation, -CLIP, CLIP)))


def _settle(part: Panel, steps_of: Callable[[Panel], Double], drift: Double, first: int) -> None:
    """Fill the cumulative drift of a part's rows from `first` on; those before are settled."""
    for _ in range(part.shape[1] - first + 1):
        steps = steps_of(_drifted(part, drift))
        start = max(first, 1)
        before = drift[:, start:].copy()
        drift[:, start:] = drift[:, start - 1 : start] + np.cumsum(steps[:, start - 1 : -1], axis=1)
        if np.array_equal(before, drift[:, start:]):
            return


def _drifted(panel: Panel, drift: Double) -> Panel:
    """Return the panel with the drift in its prices: a candle opens with that of the one before."""
    before = np.concatenate([drift[:, :1], drift[:, :-1]], axis=1)
    moved = {
        "open": before,
        "high": np.maximum(before, drift),
        "low": np.minimum(before, drift),
        "close": drift,
    }
    series = dict(panel.series)
    for name in _PRICES:
        series[name] = (panel.series[name] * np.exp(moved[name])).astype(panel.dtype)
    return Panel(panel.pairs, panel.timeframe, panel.first_candle, series, panel.features)
