"""How well predictions order what happened, with standard errors that honor overlapping labels.

A label over h candles shares h - 1 of them with the next row's label, so neighboring rows are no
independent evidence. Every standard error here accounts for that.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from agent_market.market.candles import timeframe_seconds

FloatArray = npt.NDArray[np.float64]
Method = Literal["pearson", "spearman"]

_MIN_ROWS = 3


class MeanEstimate(NamedTuple):
    """A mean, its standard error, its 95 % interval, and the number of clusters behind it."""

    mean: float
    standard_error: float
    low: float
    high: float
    n_clusters: int


def forward_returns(candles: pd.DataFrame, horizon: int, timeframe: str) -> pd.Series[float]:
    """Return close[t + horizon] / close[t] - 1 by candle open time.

    The later candle is looked up by its time, not by its row, so a gap gives NaN rather than a
    return over a longer span.

    Parameters
    ----------
    candles : DataFrame
        `date` (open time) and `close`.
    horizon : int
        Label horizon in candles, at least 1.
    timeframe : str
        Such as `5m`.

    Notes
    -----
    Information time: row t is known only at t + (horizon + 1) * timeframe. It is a label, never a
    feature. NaN where the later candle does not exist.
    """
    close = candles.set_index("date")["close"]
    later = pd.DatetimeIndex(close.index) + pd.Timedelta(
        seconds=horizon * timeframe_seconds(timeframe)
    )
    future = close.reindex(later).to_numpy()
    return pd.Series(future / close.to_numpy() - 1.0, index=close.index, name="forward_return")


def information_coefficient(
    prediction: FloatArray, realized: FloatArray, method: Method = "pearson"
) -> float:
    """Return the correlation of predictions with what was realized.

    Parameters
    ----------
    prediction, realized : ndarray of shape (n_rows,)
        Row t of `prediction` is known when candle t closes; row t of `realized` covers the
        candles after it.
    method : {"pearson", "spearman"}
        Linear, or of ranks (ties share their mean rank).

    Returns
    -------
    float
        In [-1, 1]. Rows with NaN or infinity on either side are dropped; NaN with fewer than
        three rows left or with a constant side.
    """
    x, y = _finite_rows(prediction, realized)
    if len(x) < _MIN_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    if method == "spearman":
        x, y = stats.rankdata(x), stats.rankdata(y)
    x, y = _standardized(x), _standardized(y)
    return float(np.clip(np.mean(x * y), -1.0, 1.0))


def information_coefficient_error(
    prediction: FloatArray, realized: FloatArray, horizon: int
) -> float:
    """Return the standard error of the coefficient if prediction and outcome were unrelated.

    Bartlett's formula (1946) for the correlation of two autocorrelated series: the variance is
    (1 + 2 sum_k (1 - k/n) rho_x(k) rho_y(k)) / n. Returns over `horizon` candles are correlated
    up to lag horizon - 1, so the sum ends there. Never below 1 / sqrt(n).

    NaN policy as in `information_coefficient`.
    """
    x, y = _finite_rows(prediction, realized)
    count = len(x)
    if count < _MIN_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    lags = np.arange(1, min(horizon, count - 1))
    x, y = _standardized(x), _standardized(y)
    products = [float(x[k:] @ x[:-k]) * float(y[k:] @ y[:-k]) / count**2 for k in lags]
    inflation = 1.0 + 2.0 * float(np.sum((1.0 - lags / count) * products))
    return math.sqrt(max(inflation, 1.0) / count)


def hit_rate(prediction: FloatArray, realized: FloatArray) -> float:
    """Return the share of rows whose signs agree; rows with a zero or NaN are dropped."""
    x, y = _finite_rows(prediction, realized)
    signed = (x != 0) & (y != 0)
    return float(np.mean((x > 0) == (y > 0), where=signed)) if signed.any() else math.nan


def clustered_mean(values: FloatArray, clusters: npt.ArrayLike, lag: int = 0) -> MeanEstimate:
    """Return a mean whose standard error lets values of one cluster move together.

    Coefficients of several pairs over the same window are one piece of evidence, not several:
    the window is the cluster. With `lag` > 0 neighboring clusters may be related too
    (Newey and West, 1987), which is needed once a label reaches beyond the next window.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        NaN rows are dropped.
    clusters : array-like of shape (n_values,)
        Sortable cluster keys; their order is the order in time.
    lag : int
        Clusters over which dependence may reach.

    Returns
    -------
    MeanEstimate
        The interval uses Student's t with n_clusters - 1 degrees of freedom. Error and interval
        are NaN with fewer than two clusters; everything is NaN without values.
    """
    keep = np.isfinite(values)
    kept = values[keep]
    if not len(kept):
        return MeanEstimate(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(kept.mean())
    keys, position = np.unique(np.asarray(clusters)[keep], return_inverse=True)
    count = len(keys)
    if count < 2:
        return MeanEstimate(mean, math.nan, math.nan, math.nan, count)
    sums: FloatArray = np.asarray(np.bincount(position, weights=kept - mean), float)
    error = math.sqrt(_long_run(sums, lag) * count / (count - 1)) / len(kept)
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return MeanEstimate(mean, error, mean - reach, mean + reach, count)


def _long_run(sums: FloatArray, lag: int) -> float:
    total = own = float(sums @ sums)
    for k in range(1, min(lag, len(sums) - 1) + 1):
        total += 2.0 * (1.0 - k / (lag + 1)) * float(sums[k:] @ sums[:-k])
    # Few clusters make the lagged terms noisy: never report less than the clusters' own spread.
    return max(total, own)


def _finite_rows(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    finite = np.isfinite(x) & np.isfinite(y)
    return np.asarray(x, float)[finite], np.asarray(y, float)[finite]


def _standardized(values: FloatArray) -> FloatArray:
    # Scaling first keeps the square of a very small or very large spread representable.
    centered = values - values.mean()
    centered = centered / np.abs(centered).max()
    return np.asarray(centered / centered.std(), float)
