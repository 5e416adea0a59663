"""Longer candles made of shorter ones, and what is known of them at each shorter one."""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import FloatArray, two_sum

FIRST, HIGHEST, LOWEST, TOTAL, NEWEST = range(5)
AGGREGATION = {
    "open": FIRST,
    "high": HIGHEST,
    "low": LOWEST,
    "close": NEWEST,
    "volume": TOTAL,
    "funding": NEWEST,
}


@njit(nogil=True, cache=True, error_model="numpy")
def _merge(op: int, x: FloatArray, start: int, ratio: int) -> float:
    stop, n_missing = start + ratio, 0
    for i in range(start, stop):
        n_missing += x[i] != x[i]
    if n_missing:
        return np.nan
    lost = 0.0
    result: float = x[stop - 1] if op == NEWEST else x[start]
    if op in (FIRST, NEWEST):
        return result
    for i in range(start + 1, stop):
        if op == TOTAL:
            result, error = two_sum(result, x[i])
            lost += error
        elif op == HIGHEST:
            result = x[i] if x[i] > result else result
        else:
            result = x[i] if x[i] < result else result
    return result + lost


@njit(nogil=True, cache=True, error_model="numpy")
def aggregate(
    op: int, x: FloatArray, ratio: int, offset: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill `out` with longer candles, each of `ratio` rows of x; NaN unless it has all of them.

    `offset` is the row of x with which longer candle 0 begins, negative where x begins inside it.
    """
    for pair in range(x.shape[0]):
        rows = x[pair]
        for row in range(first, last):
            start = offset + row * ratio
            value = np.nan
            if start >= 0 and start + ratio <= x.shape[1]:
                value = _merge(op, rows, start, ratio)
            out[pair, row] = value if value - value == 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def join(
    longer: FloatArray, ratio: int, offset: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill `out` with the newest longer candle that has closed when the row's candle closes."""
    for pair in range(out.shape[0]):
        row = first
        while row < last:
            closed = (row + 1 - offset) // ratio - 1
            stop = min(last, offset + (closed + 2) * ratio - 1)
            out[pair, row:stop] = longer[pair, closed] if closed >= 0 else np.nan
            row = stop
