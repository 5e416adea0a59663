"""Windows that are sums: mean, deviation, skewness, covariance, correlation.

Every kernel here and beside fills `out[:, first:last]` from rows up to each row, of arrays of shape
(n_pairs, n_rows). A row of which the window holds a NaN, or begins before the array, is NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import (
    Double,
    FloatArray,
    add,
    central,
    chunk_rows,
    divide,
    fused,
    multiply,
    two_product,
    window_sums,
    write_finite,
)

_LOST = 2.0**-100
"""Share of its terms below which a sum of two floats is rounding."""

SUM, MEAN, STD, ZSCORE, SKEW = range(5)
COV, CORR = range(2)


@njit(nogil=True, cache=True, error_model="numpy")
def begin(out: FloatArray, first: int, last: int, n: int) -> int:
    """Write NaN where a window of n rows begins before the array; return the row after."""
    known = min(max(first, n - 1), last)
    out[:, first:known] = np.nan
    return known


@njit(nogil=True, cache=True, error_model="numpy")
def _powers(x: Double, power: int, high: Double, low: Double) -> None:
    """Write x, x^2 or x^3 as two floats each."""
    for i in range(x.size):
        h, e = x[i], 0.0
        if power > 1:
            h, e = two_product(x[i], x[i])
        if power > 2:
            h, e = multiply(h, e, x[i], 0.0)
        high[i], low[i] = h, e


@njit(nogil=True, cache=True, error_model="numpy")
def _sums_of_power(
    x: Double, power: int, n: int, values: Double, space: Double
) -> tuple[Double, Double]:
    high, low = values[0, : x.size], values[1, : x.size]
    _powers(x, power, high, low)
    total, lost = window_sums(high, low, n, space)
    return total[n - 1 :], lost[n - 1 :]


@njit(nogil=True, cache=True, error_model="numpy")
def _means(total: Double, lost: Double, divisor: float, result: Double) -> None:
    for i in range(result.size):
        result[i] = divide(total[i], lost[i], divisor)


@njit(nogil=True, cache=True, error_model="numpy")
def _deviations(s1: Double, e1: Double, s2: Double, e2: Double, n: float, result: Double) -> None:
    for i in range(result.size):
        square = central(n, s2[i], e2[i], s1[i], e1[i], s1[i], e1[i])
        result[i] = np.sqrt(square / (n * (n - 1)))


@njit(nogil=True, cache=True, error_model="numpy")
def _scores(x: Double, s1: Double, e1: Double, n: float, result: Double) -> None:
    """Turn deviations into scores."""
    for i in range(result.size):
        away = fused(n, x[i], -s1[i]) - e1[i]
        result[i] = away / (n * result[i]) if result[i] > 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _skews(
    s1: Double, e1: Double, s2: Double, e2: Double, s3: Double, e3: Double, n: float, result: Double
) -> None:
    for i in range(result.size):
        square = central(n, s2[i], e2[i], s1[i], e1[i], s1[i], e1[i])
        # n^2 sum(x^3) - 3 n sum(x) sum(x^2) + 2 sum(x)^3
        ah, al = multiply(n * n, 0.0, s3[i], e3[i])
        bh, bl = multiply(s1[i], e1[i], s2[i], e2[i])
        bh, bl = multiply(-3.0 * n, 0.0, bh, bl)
        ch, cl = multiply(s1[i], e1[i], s1[i], e1[i])
        ch, cl = multiply(ch, cl, 2.0 * s1[i], 2.0 * e1[i])
        size = abs(ah) + abs(bh) + abs(ch)
        ah, al = add(ah, al, ch, cl)
        ah, al = add(ah, al, bh, bl)
        cube = ah + al if abs(ah + al) > _LOST * size else 0.0 * size
        result[i] = cube / (square * np.sqrt(square)) if square > 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def moments(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in sum, mean, deviation, score or skewness of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n)
    length = min(step, last - known) + n - 1
    own, values, space, result = (
        np.empty(length), np.empty((2, length)), np.empty((12, length)), np.empty(length)
    )  # fmt: skip
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            size = stop - start + n - 1
            rows, r = own[:size], result[: stop - start]
            rows[:] = x[pair, stop - size : stop]
            s1, e1 = _sums_of_power(rows, 1, n, values, space[0:4])
            if op <= MEAN:
                _means(s1, e1, float(n if op == MEAN else 1), r)
            else:
                s2, e2 = _sums_of_power(rows, 2, n, values, space[4:8])
                if op == SKEW:
                    s3, e3 = _sums_of_power(rows, 3, n, values, space[8:12])
                    _skews(s1, e1, s2, e2, s3, e3, float(n), r)
                else:
                    _deviations(s1, e1, s2, e2, float(n), r)
            if op == ZSCORE:
                _scores(rows[n - 1 :], s1, e1, float(n), r)
            write_finite(r, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _covariances(
    x: tuple[Double, Double], y: tuple[Double, Double], xy: tuple[Double, Double],
    divisor: float, n: float, result: Double,
) -> None:  # fmt: skip
    for i in range(result.size):
        joint = central(n, xy[0][i], xy[1][i], x[0][i], x[1][i], y[0][i], y[1][i])
        result[i] = joint / divisor


@njit(nogil=True, cache=True, error_model="numpy")
def _correlations(x: Double, y: Double, result: Double) -> None:
    for i in range(result.size):
        scale = np.sqrt(x[i]) * np.sqrt(y[i])
        value = result[i] / scale if scale > 0 else np.nan
        result[i] = min(max(value, -1.0), 1.0) if value == value else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _flatten(x: Double, y: Double, result: Double) -> None:
    """Set the covariance with a flat window to 0: rounding alone is left of it."""
    for i in range(result.size):
        if (x[i] == 0 or y[i] == 0) and result[i] == result[i]:
            result[i] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _sums_of_product(
    x: Double, y: Double, n: int, values: Double, space: Double
) -> tuple[Double, Double]:
    high, low = values[0, : x.size], values[1, : x.size]
    for i in range(x.size):
        high[i], low[i] = two_product(x[i], y[i])
    total, lost = window_sums(high, low, n, space)
    return total[n - 1 :], lost[n - 1 :]


@njit(nogil=True, cache=True, error_model="numpy")
def joint_moments(
    op: int, x: FloatArray, y: FloatArray, n: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill in covariance or correlation of the last n values of x and of y."""
    known, step = begin(out, first, last, n), chunk_rows(n)
    length = min(step, last - known) + n - 1
    own, values, space, results = (
        np.empty((2, length)), np.empty((2, length)), np.empty((16, length)), np.empty((3, length))
    )  # fmt: skip
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            size = stop - start + n - 1
            a, b, v, s = own[0, :size], own[1, :size], values, space
            r, rx, ry = (
                results[0, : stop - start], results[1, : stop - start], results[2, : stop - start]
            )  # fmt: skip
            a[:], b[:] = x[pair, stop - size : stop], y[pair, stop - size : stop]
            sx, sy = _sums_of_power(a, 1, n, v, s[0:4]), _sums_of_power(b, 1, n, v, s[4:8])
            count = float(n)
            divisor = count * (count - 1) if op == COV else 1.0
            _covariances(sx, sy, _sums_of_product(a, b, n, v, s[8:12]), divisor, count, r)
            _covariances(sx, sx, _sums_of_power(a, 2, n, v, s[8:12]), 1.0, count, rx)
            _covariances(sy, sy, _sums_of_power(b, 2, n, v, s[12:16]), 1.0, count, ry)
            if op == CORR:
                _correlations(rx, ry, r)
            else:
                _flatten(rx, ry, r)
            write_finite(r, out[pair, start:stop])
