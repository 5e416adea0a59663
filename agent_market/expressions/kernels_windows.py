"""Windows that are no sums: extremes, exponential means, and what is so many candles old."""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import Double, FloatArray, chunk_rows, write_finite
from agent_market.expressions.kernels_sums import begin

MIN, MAX, ARGMIN, ARGMAX = range(4)


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
            rows[:], ages[:] = sign * x[pair, stop - size : stop], 0.0
            low, age = _lowest(rows, ages, n, space)
            if op in (MIN, MAX):
                out[pair, start:stop] = sign * low
            else:  # the age of a missing value means nothing
                out[pair, start:stop] = np.where(low == low, age, np.nan)


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
