"""Rolling statistics that depend on their own window and on nothing before it.

Running sums carry rounding errors from the start of the history into every later value. Here each
value is computed afresh, so a bot that loads 500 candles and a backtest over years agree to the
last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

FloatArray = npt.NDArray[np.float64]


def rolling_mean(values: pd.Series, window: int) -> pd.Series:
    """Return the mean of rows t-window+1..t; NaN until they exist or where one is NaN."""
    return _apply(_mean, values, window)


def rolling_sum(values: pd.Series, window: int) -> pd.Series:
    """Return the sum of rows t-window+1..t; NaN until they exist or where one is NaN."""
    return _apply(_mean, values, window) * window


def rolling_std(values: pd.Series, window: int) -> pd.Series:
    """Return the standard deviation (ddof 1) of rows t-window+1..t, NaN as in `rolling_mean`."""
    return _apply(_std, values, window)


def rolling_zscore(values: pd.Series, window: int) -> pd.Series:
    """Return the distance from the rolling mean in standard deviations; NaN where they are 0."""
    spread = rolling_std(values, window)
    return (values - rolling_mean(values, window)) / spread.where(spread > 0)


def rolling_slope(values: pd.Series, window: int) -> pd.Series:
    """Return the slope of the least-squares line through rows t-window+1..t, per row.

    NaN as in `rolling_mean`. TA-Lib's LINEARREG_SLOPE is the same but for the rounding errors that
    its running sums carry along.
    """
    return _apply(_slope, values, window)


def _apply(
    kernel: Callable[[FloatArray, int], FloatArray], values: pd.Series, window: int
) -> pd.Series:
    return pd.Series(kernel(values.to_numpy(np.float64), window), index=values.index)


@njit(cache=True)
def _mean(values: FloatArray, window: int) -> FloatArray:
    result = np.full(values.size, np.nan)
    for end in range(window, values.size + 1):
        total = 0.0
        for row in range(end - window, end):
            total += values[row]
        result[end - 1] = total / window
    return result


@njit(cache=True)
def _std(values: FloatArray, window: int) -> FloatArray:
    result = np.full(values.size, np.nan)
    mean = _mean(values, window)
    for end in range(window, values.size + 1):
        squares = 0.0
        for row in range(end - window, end):
            squares += (values[row] - mean[end - 1]) ** 2
        result[end - 1] = np.sqrt(squares / (window - 1))
    return result


@njit(cache=True)
def _slope(values: FloatArray, window: int) -> FloatArray:
    result = np.full(values.size, np.nan)
    middle = (window - 1) / 2
    scale = window * (window * window - 1) / 12
    for end in range(window, values.size + 1):
        total = 0.0
        for place in range(window):
            total += (place - middle) * values[end - window + place]
        result[end - 1] = total / scale
    return result
