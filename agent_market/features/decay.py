"""Averages that forget: the newest row counts most, and nothing before a fixed reach counts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

FloatArray = npt.NDArray[np.float64]

REACH_HALF_LIVES = 10  # what is older would weigh less than a thousandth of the whole


def reach_of(half_life_candles: float) -> int:
    """Return how many rows a decayed average reads: ten half-lives."""
    return math.ceil(REACH_HALF_LIVES * half_life_candles)


def decayed_mean(values: pd.Series, half_life_candles: float) -> pd.Series:
    """Return the mean of the last rows, each weighed by 0.5 ** (age / half-life).

    Parameters
    ----------
    values : Series of shape (n_rows,)
        Consecutive candles.
    half_life_candles : float
        Age in rows at which a row weighs half; above 0.

    Returns
    -------
    Series of shape (n_rows,)
        NaN until ten half-lives of rows exist, or where one of them is NaN.

    Notes
    -----
    Information time: row t uses the ten half-lives of rows that end at t, nothing before, and is
    computed afresh from them. An exponential average without an end would depend, in its last
    digits, on where the history starts.
    """
    weights = 0.5 ** (np.arange(reach_of(half_life_candles)) / half_life_candles)
    averages = _decayed(values.to_numpy(np.float64), weights / weights.sum())
    return pd.Series(averages, index=values.index)


@njit(cache=True)
def _decayed(values: FloatArray, weights: FloatArray) -> FloatArray:
    result = np.full(values.size, np.nan)
    for row in range(weights.size - 1, values.size):
        total = 0.0
        for age in range(weights.size):
            total += weights[age] * values[row - age]
        result[row] = total
    return result
