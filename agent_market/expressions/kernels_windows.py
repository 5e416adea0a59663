"""Windows put together without sums: extremes, weighted means, slopes; and what is n candles old.

A mean of two parts lies between theirs, `x + share (y - x)`: that of a flat window is its value.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import Double, FloatArray, chunk_rows, write_finite
from agent_market.expressions.kernels_sums import begin

MIN, MAX, ARGMIN, ARGMAX = range(4)
SLOPE, DECAY = range(2)


def delay(x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in x of n rows before."""
    known = min(max(first, n), last)
    out[:, first:known] = np.nan
    out[:, known:last] = x[:, known - n : last - n]


@njit(nogil=True, cache=True, error_model="numpy")
def _lower(x: Double, xa: Double, y: Double, ya: Double, age: float, z: Double, za: Double) -> None:
    """Take the newer x unless the older y is lower; y is `age` rows older than its own ages say."""
    for i in range(z.size):
        is_older = (y[i] < x[i]) | (y[i] != y[i])
        older_age = ya[i] + age
        za[i] = older_age if is_older else xa[i]
        z[i] = y[i] if is_older else x[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest(x: Double, ages: Double, n: int, space: Double) -> tuple[Double, Double]:
    """Return the lowest of the last n values and its age, from row n - 1 on; x is overwritten."""
    rows, size = x.size, 1
    other, other_ages = space[0, :rows], space[1, :rows]
    while size < n:
        shift = min(size, n - size)  # the last two windows may overlap
        a, b = size + shift - 1, size - 1
        _lower(
            x[a:], ages[a:], x[b : rows - shift], ages[b : rows - shift], float(shift),
            other[a:], other_ages[a:],
        )  # fmt: skip
        x, ages, other, other_ages = other, other_ages, x, ages
        size += shift
    return x[n - 1 :], ages[n - 1 :]


@njit(nogil=True, cache=True, error_model="numpy")
def _lower_value(x: Double, y: Double, z: Double) -> None:
    for i in range(z.size):
        z[i] = y[i] if (y[i] < x[i]) | (y[i] != y[i]) else x[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest_value(x: Double, n: int, other: Double) -> Double:
    """Return the lowest of the last n values, from row n - 1 on; x is overwritten."""
    rows, size = x.size, 1
    while size < n:
        shift = min(size, n - size)
        a, b = size + shift - 1, size - 1
        _lower_value(x[a:], x[b : rows - shift], other[a:])
        x, other = other, x
        size += shift
    return x[n - 1 :]


@njit(nogil=True, cache=True, error_model="numpy")
def extremes(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the lowest or highest of the last n values, or how many rows ago it was."""
    known, step = begin(out, first, last, n), chunk_rows(n)
    length = min(step, last - known) + n - 1
    values, space = np.empty((2, length)), np.empty((2, length))
    sign = 1.0 if op in (MIN, ARGMIN) else -1.0
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            size = stop - start + n - 1
            rows, ages = values[0, :size], values[1, :size]
            for i in range(size):
                rows[i] = sign * x[pair, stop - size + i]
            result = out[pair, start:stop]
            if op in (MIN, MAX):
                low = _lowest_value(rows, n, space[0, :size])
                for i in range(result.size):
                    result[i] = sign * low[i]
            else:
                ages[:] = 0.0
                low, age = _lowest(rows, ages, n, space)
                for i in range(result.size):  # the age of a missing value means nothing
                    result[i] = age[i] if low[i] == low[i] else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _blend(x: Double, y: Double, share: float, z: Double) -> None:
    for i in range(z.size):
        z[i] = x[i] + share * (y[i] - x[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _blend_in(x: Double, y: Double, share: float) -> None:
    for i in range(x.size):
        x[i] += share * (y[i] - x[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _decayed(x: Double, rate: float, n: int, space: Double) -> Double:
    """Return the means of the last n values, weights exp(-rate age), from row n - 1 on."""
    rows, size, have = x.size, 1, 0
    other, total = space[0, :rows], space[1, :rows]
    while True:
        if n & size:
            a, b = have + size - 1, size - 1
            if have == 0:
                total[:] = x
            else:  # weight of the older part among both
                part = (
                    np.exp(-rate * have) * np.expm1(-rate * size) / np.expm1(-rate * (have + size))
                )
                _blend_in(total[a:], x[b : rows - have], part)
            have += size
        if have == n:
            return total[n - 1 :]
        part = 1.0 / (1.0 + np.exp(rate * size))
        a, b = 2 * size - 1, size - 1
        _blend(x[a:], x[b : rows - size], part, other[a:])
        x, other = other, x
        size *= 2


@njit(nogil=True, cache=True, error_model="numpy")
def exponential_mean(
    x: FloatArray, half_life: int, n: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill in the mean of the last n values, weights halved every `half_life` rows back."""
    known, step = begin(out, first, last, n), chunk_rows(n)
    length = min(step, last - known) + n - 1
    values, space = np.empty(length), np.empty((2, length))
    rate = np.log(2.0) / half_life
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = values[: stop - start + n - 1]
            rows[:] = x[pair, stop - rows.size : stop]
            mean = _decayed(rows, rate, n, space)
            write_finite(mean, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _join_trends(
    m: Double, d: Double, older_m: Double, older_d: Double, newer: int, older: int,
    z: Double, zd: Double,
) -> None:  # fmt: skip
    """Join means m, and means d with weights that fall by age to 1, of newer and older rows."""
    total = newer + older
    share, weight = older / total, total * (total + 1) / 2
    flat, steep = newer * older / weight, older * (older + 1) / 2 / weight
    for i in range(z.size):
        zd[i] = d[i] + (m[i] - d[i]) * flat + (older_d[i] - d[i]) * steep
        z[i] = m[i] + (older_m[i] - m[i]) * share


@njit(nogil=True, cache=True, error_model="numpy")
def _extend_trends(
    m: Double, d: Double, older_m: Double, older_d: Double, newer: int, older: int
) -> None:
    """As `_join_trends`, in place."""
    total = newer + older
    share, weight = older / total, total * (total + 1) / 2
    flat, steep = newer * older / weight, older * (older + 1) / 2 / weight
    for i in range(m.size):
        d[i] = d[i] + (m[i] - d[i]) * flat + (older_d[i] - d[i]) * steep
        m[i] = m[i] + (older_m[i] - m[i]) * share


@njit(nogil=True, cache=True, error_model="numpy")
def _trends(m: Double, d: Double, n: int, space: Double) -> tuple[Double, Double]:
    """Return both means of the last n values, from row n - 1 on; m and d are the values."""
    rows, size, have = m.size, 1, 0
    other, other_d = space[0, :rows], space[1, :rows]
    total, total_d = space[2, :rows], space[3, :rows]
    while True:
        if n & size:
            a, b, e = have + size - 1, size - 1, rows - have
            if have == 0:
                total[:], total_d[:] = m, d
            else:
                _extend_trends(total[a:], total_d[a:], m[b:e], d[b:e], have, size)
            have += size
        if have == n:
            return total[n - 1 :], total_d[n - 1 :]
        a, b, e = 2 * size - 1, size - 1, rows - size
        _join_trends(m[a:], d[a:], m[b:e], d[b:e], size, size, other[a:], other_d[a:])
        m, d, other, other_d = other, other_d, m, d
        size *= 2


@njit(nogil=True, cache=True, error_model="numpy")
def trends(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the slope, or the mean with weights that fall by age, of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n)
    length = min(step, last - known) + n - 1
    values, space = np.empty((2, length)), np.empty((4, length))
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            size = stop - start + n - 1
            m, d = values[0, :size], values[1, :size]
            m[:], d[:] = x[pair, stop - size : stop], x[pair, stop - size : stop]
            mean, decayed = _trends(m, d, n, space)
            if op == SLOPE:
                for i in range(mean.size):
                    decayed[i] = 6.0 * (decayed[i] - mean[i]) / (n - 1)
            write_finite(decayed, out[pair, start:stop])
