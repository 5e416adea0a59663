"""What the sign of the prediction would have earned after costs: the plainest strategy there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.evaluation.metrics import (
    daily_returns,
    max_drawdown,
    sharpe_interval,
    sharpe_ratio,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEFAULT_COST_BPS = 6.0  # 5 bps taker fee and 1 bps slippage, at every fill


def strategy_returns(
    candles: pd.DataFrame,
    rows: IntArray,
    score: FloatArray,
    horizon: int,
    cost_bps: float,
) -> pd.DataFrame:
    """Return what holding the sign of each prediction for its horizon earned, candle by candle.

    Every row opens a tranche of 1 / h of the capital, long or short by the sign of its score, at
    the next candle's open, and closes it h candles later. Over the candle u, from open[u] to
    open[u + 1], the position and the return are therefore

        p[u] = (sign s[u - 1] + ... + sign s[u - h]) / h
        gross[u] = p[u] * (open[u + 1] / open[u] - 1)
        net[u] = gross[u] - |p[u] - p[u - 1]| * cost_bps / 10,000

    Parameters
    ----------
    candles : DataFrame
        `date` and `open`, without gaps.
    rows : ndarray of shape (n_rows,)
        Rows of `candles` that were predicted, ascending.
    score : ndarray of shape (n_rows,)
        Prediction; 0 or NaN opens nothing.
    horizon : int
        h, in candles.
    cost_bps : float
        Fee and slippage of one fill, in basis points of what is bought or sold.

    Returns
    -------
    DataFrame of shape (n_candles, 4)
        `gross`, `net`, `position`, `turnover`, indexed by the end of each candle, from the first
        tranche to the end of the last; what is open at the end of the data is sold there, at cost.

    Notes
    -----
    Information time: the position of candle u rests on scores of rows < u, each known at the close
    of its own row; nothing is traded before the open that follows it. No funding, no margin.
    """
    opens = candles["open"].to_numpy(np.float64)
    position = _positions(len(opens), rows, score, horizon)
    first, last = int(rows[0]) + 1, min(int(rows[-1]) + horizon + 1, len(opens) - 2)
    span = slice(first, last + 1)
    turnover = np.abs(np.diff(position, prepend=0.0))[span]
    if len(turnover):
        turnover[-1] += abs(position[last])
    gross = (position[:-1] * (opens[1:] / opens[:-1] - 1.0))[span]
    ends = pd.DatetimeIndex(candles["date"])[first + 1 : last + 2]
    return pd.DataFrame(
        {
            "gross": gross,
            "net": gross - turnover * cost_bps / 10_000,
            "position": position[span],
            "turnover": turnover,
        },
        index=ends,
    )


def strategy_figures(returns: Sequence[pd.DataFrame], cost_bps: float) -> dict[str, Any]:
    """Return the figures of equal stakes in every pair, rebalanced at every candle.

    Parameters
    ----------
    returns : sequence of DataFrame
        One a pair, of `strategy_returns`; a pair without a candle of its own earns 0 there.

    Returns
    -------
    dict
        Of net and gross: return and maximum drawdown in percent, annualized daily Sharpe ratio with
        its 95 % interval, and the equity of each day. Undefined figures are NaN.
    """
    kept = [part for part in returns if len(part)]
    if not kept:
        return {"cost_bps": cost_bps, "n_candles": 0} | {
            name: curve_figures(pd.Series(dtype=float)) for name in ("net", "gross")
        }
    whole = pd.concat(kept, axis=1, keys=range(len(kept))).fillna(0.0)
    mean = whole.T.groupby(level=1).mean().T.sort_index()
    candle = mean.index.to_series().diff().min()
    return {
        "cost_bps": cost_bps,
        "n_candles": len(mean),
        "turnover_per_day": float(mean["turnover"].mean() * (pd.Timedelta(days=1) / candle))
        if len(mean) > 1
        else math.nan,
        "mean_position": float(mean["position"].mean()),
        "net": curve_figures(_equity(mean["net"])),
        "gross": curve_figures(_equity(mean["gross"])),
    }


def _positions(n_candles: int, rows: IntArray, score: FloatArray, horizon: int) -> FloatArray:
    sign = np.zeros(n_candles)
    sign[rows] = np.sign(np.nan_to_num(score))
    total = np.concatenate([[0.0], np.cumsum(sign)])[:n_candles]  # of the rows before each one
    before = np.concatenate([np.zeros(min(horizon, n_candles)), total[:-horizon]])
    return np.asarray((total - before) / horizon, dtype=np.float64)


def _equity(returns: pd.Series[float]) -> pd.Series[float]:
    """Return equity from 1 on, the first value one candle before the first return."""
    times = pd.DatetimeIndex(returns.index)
    candle = times[1] - times[0] if len(times) > 1 else pd.Timedelta(0)
    values = np.concatenate([[1.0], np.cumprod(1.0 + returns.to_numpy())])
    return pd.Series(values, index=times.insert(0, times[0] - candle))


def curve_figures(equity: pd.Series[float]) -> dict[str, Any]:
    """Return return, Sharpe ratio with its interval, drawdown and daily values of an equity."""
    daily = daily_returns(equity)
    returns = np.asarray(daily, np.float64)
    curve = np.cumprod(1.0 + returns)
    return {
        "return_percent": 100 * (float(equity.iloc[-1]) - 1) if len(equity) else math.nan,
        "sharpe": sharpe_ratio(returns),
        "sharpe_interval_95": list(sharpe_interval(returns)),
        "max_drawdown_percent": 100 * max_drawdown(equity),
        "n_days": len(returns),
        "daily": {
            "date": [time.isoformat() for time in daily.index],
            "equity": [float(value) for value in curve],
        },
    }
