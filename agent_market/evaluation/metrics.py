"""Statistics of returns and equity, with their uncertainty."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]

DAYS_PER_YEAR = 365
MIN_DAYS_FOR_INTERVAL = 10
_DUST = 1e-12
_HALF_DAY = pd.Timedelta(hours=12)
_DAY = pd.Timedelta(days=1)


class Interval(NamedTuple):
    """A two-sided interval; both ends NaN where it cannot be given."""

    low: float
    high: float


def sharpe_ratio(returns: FloatArray, periods_per_year: int = DAYS_PER_YEAR) -> float:
    """Return the annualized Sharpe ratio, risk-free rate zero.

    Parameters
    ----------
    returns : ndarray of shape (n_periods,)
        Simple returns of equal periods, fractions; NaN rows are dropped.
    periods_per_year : int
        Crypto trades every day: 365 for daily returns.

    Returns
    -------
    float
        mean / standard deviation (ddof 1) * sqrt(periods per year); NaN with fewer than two
        returns or no variation.
    """
    values = returns[np.isfinite(returns)]
    if len(values) < 2:
        return math.nan
    deviation = values.std(ddof=1)
    if deviation <= _DUST * np.abs(values).max():
        return math.nan
    return float(values.mean() / deviation * math.sqrt(periods_per_year))


def sortino_ratio(returns: FloatArray, periods_per_year: int = DAYS_PER_YEAR) -> float:
    """Return the annualized Sortino ratio against a target of zero.

    The denominator is the root mean square of the negative returns over *all* periods.
    NaN rows are dropped; the result is NaN without returns or without a loss.
    """
    values = returns[np.isfinite(returns)]
    if len(values) < 2:
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    return float(values.mean()) / downside * math.sqrt(periods_per_year) if downside else math.nan


def sharpe_interval(
    returns: FloatArray, seed: int = 0, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Return a block-bootstrap percentile interval of the annualized daily Sharpe ratio.

    Circular blocks keep the dependence between neighboring days (Politis and Romano, 1992);
    their length is n^(1/3) days, at least 2.

    Parameters
    ----------
    returns : ndarray of shape (n_days,)
        Daily simple returns; NaN rows are dropped.
    seed : int
        Seed of the resampling: equal seeds give equal intervals.
    resamples : int
        Number of resamples.
    confidence : float
        Probability content.

    Returns
    -------
    Interval
        NaN with fewer than 10 returns.
    """
    values = returns[np.isfinite(returns)]
    count = len(values)
    if count < MIN_DAYS_FOR_INTERVAL:
        return Interval(math.nan, math.nan)
    length = max(2, round(count ** (1 / 3)))
    blocks = math.ceil(count / length)
    starts = np.random.default_rng(seed).integers(0, count, size=(resamples, blocks, 1))
    rows = ((starts + np.arange(length)) % count).reshape(resamples, -1)[:, :count]
    draws = values[rows]
    deviation = draws.std(axis=1, ddof=1)
    # A resample of one repeated value has no ratio; rounding leaves it a deviation of dust.
    varied = deviation > _DUST * np.abs(values).max()
    if not varied.any():
        return Interval(math.nan, math.nan)
    ratios = draws.mean(axis=1)[varied] / deviation[varied] * math.sqrt(DAYS_PER_YEAR)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(float(low), float(high))


def drawdown(equity: pd.Series[float]) -> pd.Series[float]:
    """Return equity's distance below its running maximum as a fraction, 0 at a new high.

    Information time: row t uses rows <= t. NaN in equity gives NaN.
    """
    peak = equity.cummax()
    return 1.0 - equity / peak


def max_drawdown(equity: pd.Series[float]) -> float:
    """Return the largest fall from a running maximum, a fraction of it; NaN if empty."""
    return float(drawdown(equity).max()) if len(equity) else math.nan


def daily_returns(equity: pd.Series[float]) -> pd.Series[float]:
    """Return simple returns over periods of 24 hours counted from the first row.

    Parameters
    ----------
    equity : Series of shape (n_rows,)
        Indexed by the time at which each value is known, ascending.

    Returns
    -------
    Series
        Indexed by the end of each period. A rest shorter than 12 hours joins the last full
        day; a longer one is a period of its own. Empty if equity spans less than 12 hours.
    """
    if equity.empty:
        return equity
    start, end = equity.index[0], equity.index[-1]
    marks = list(pd.date_range(start, end, freq=_DAY))
    if end - marks[-1] >= _HALF_DAY:
        marks.append(end)
    elif len(marks) > 1:
        marks[-1] = end
    return equity.reindex(pd.DatetimeIndex(marks), method="ffill").pct_change().dropna()


def profit_factor(profits: FloatArray) -> float:
    """Return gross profit / gross loss; NaN without a losing trade. NaN rows are dropped."""
    values = profits[np.isfinite(profits)]
    loss = -values[values < 0].sum()
    return float(values[values > 0].sum() / loss) if loss > 0 else math.nan


def win_rate(profits: FloatArray) -> float:
    """Return the share of trades with a positive profit; NaN without trades."""
    values = profits[np.isfinite(profits)]
    return float(np.mean(values > 0)) if len(values) else math.nan
