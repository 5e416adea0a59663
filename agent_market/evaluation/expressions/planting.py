"""A market whose next return follows a known expression, to see whether a search finds it."""

from __future__ import annotations

import numpy as np

from agent_market.errors import DataError
from agent_market.evaluation.expressions.scoring import CLIP, Double
from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel

_ROUNDS = 200
_TOLERANCE = 1e-12
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

    Raises
    ------
    DataError
        The expression does not settle.

    Notes
    -----
    The drift of a candle is a function of the candles before it, so there is exactly one such
    market. It is found by rounds: each computes the expression on the prices of the round before,
    and once nothing changes any more the prices are those.
    """
    returns = np.diff(np.log(panel.series["close"].astype(np.float64)), axis=1)
    volatility = np.nanstd(returns, axis=1, keepdims=True)
    values = next(Evaluator(panel).evaluate([node]))
    center = np.nanmean(values, axis=1, keepdims=True)
    scale = np.nanstd(values, axis=1, keepdims=True)
    drift, planted = np.zeros(panel.shape), panel
    for _ in range(_ROUNDS):
        values = next(Evaluator(planted).evaluate([node]))
        u = np.nan_to_num(np.clip((values - center) / scale, -CLIP, CLIP))
        found = np.zeros(panel.shape)
        found[:, 1:] = np.cumsum(strength * volatility * u[:, :-1], axis=1)
        change = float(np.abs(found - drift).max())
        drift, planted = found, _drifted(panel, found)
        if change < _TOLERANCE:
            return planted
    raise DataError(
        f"the planted expression still moves prices by {change:.2g} after {_ROUNDS} rounds. Plant "
        "one that does not jump with its own rounding, or a weaker one."
    )


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
