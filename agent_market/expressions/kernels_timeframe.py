"""Longer candles made of shorter ones, and what is known of them at each shorter one."""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import FloatArray, two_sum, write_finite

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
def _extremes(op: int, x: FloatArray, ratio: int, out: FloatArray) -> None:
    sign = 1.0 if op == HIGHEST else -1.0
    for row in range(out.size):
        start = row * ratio
        result = sign * x[start]
        for i in range(start + 1, start + ratio):
            value = sign * x[i]
            result = value if (value > result) | (value != value) else result
        out[row] = sign * result


@njit(nogil=True, cache=True, error_model="numpy")
def _totals(x: FloatArray, ratio: int, out: FloatArray) -> None:
    for row in range(out.size):
        start = row * ratio
        total, lost = x[start], 0.0
        for i in range(start + 1, start + ratio):
            total, error = two_sum(total, x[i])
            lost += error
        out[row] = total + lost


@njit(nogil=True, cache=True, error_model="numpy")
def _firsts(x: FloatArray, place: int, ratio: int, out: FloatArray) -> None:
    """Write the value at a place of each candle, NaN where any of its rows is missing."""
    for row in range(out.size):
        start = row * ratio
        n_missing = 0
        for i in range(start, start + ratio):
            n_missing += x[i] != x[i]
        out[row] = np.nan if n_missing else x[start + place]


@njit(nogil=True, cache=True, error_model="numpy")
def aggregate(
    op: int, x: FloatArray, ratio: int, offset: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill `out` with longer candles, each of `ratio` rows of x; NaN unless it has all of them.

    `offset` is the row of x with which longer candle 0 begins, negative where x begins inside it.
    """
    out[:, first:last] = np.nan
    first = max(first, -(offset // ratio))
    last = max(first, min(last, (x.shape[1] - offset) // ratio))
    for pair in range(x.shape[0]):
        rows = x[pair, offset + first * ratio : offset + last * ratio]
        result = out[pair, first:last]
        if op == TOTAL:
            _totals(rows, ratio, result)
        elif op in (HIGHEST, LOWEST):
            _extremes(op, rows, ratio, result)
        else:
            _firsts(rows, 0 if op == FIRST else ratio - 1, ratio, result)
        write_finite(result, result)


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
