"""Windows put together without moments: means, slopes, extremes; and what is n candles old.

A mean of two parts lies between theirs, `x + share (y - x)`: that of a flat window is its value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from agent_market.expressions.kernels_numbers import (
    Double,
    FloatArray,
    begin,
    chunk_rows,
    n_doublings,
    scratch,
    write_finite,
)

Rows = npt.NDArray[np.int32]

MIN, MAX, ARGMIN, ARGMAX = range(4)
SLOPE, DECAY = range(2)


def delay(x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in x of n rows before."""
    known = min(max(first, n), last)
    out[:, first:known] = np.nan
    out[:, known:last] = x[:, known - n : last - n]


@njit(nogil=True, cache=True, error_model="numpy")
def _lower(old: FloatArray, new: FloatArray, to: FloatArray) -> None:
    for i in range(to.size):
        to[i] = old[i] if (old[i] < new[i]) | (old[i] != old[i]) else new[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _higher(old: FloatArray, new: FloatArray, to: FloatArray) -> None:
    for i in range(to.size):
        to[i] = old[i] if (old[i] > new[i]) | (old[i] != old[i]) else new[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _extreme(op: int, x: FloatArray, n: int, space: FloatArray, result: FloatArray) -> None:
    """Write the lowest or highest of n values from each row of x on."""
    size, k = 1, 0
    while size < n:
        shift = min(size, n - size)  # the last two windows may overlap
        size += shift
        to = result if size == n else space[k, : x.size - shift]
        if op == MIN:
            _lower(x, x[shift:], to)
        else:
            _higher(x, x[shift:], to)
        x, k = to, 1 - k


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest_of_four(
    sign: float, x: FloatArray, second: int, third: int, fourth: int, to: Double, place: Rows
) -> None:
    """Take the lowest of four rows of sign x, the newest where several are, and its place."""
    x1, x2, x3 = x[second:], x[third:], x[fourth:]
    for i in range(to.size):
        value, row = sign * x3[i], i + fourth
        older = sign * x2[i]
        is_older = (older < value) | (older != older)
        value = older if is_older else value
        row = i + third if is_older else row
        older = sign * x1[i]
        is_older = (older < value) | (older != older)
        value = older if is_older else value
        row = i + second if is_older else row
        older = sign * x[i]
        is_older = (older < value) | (older != older)
        to[i] = older if is_older else value
        place[i] = i if is_older else row


@njit(nogil=True, cache=True, error_model="numpy")
def _lowest_of_three(
    x: Double, place: Rows, second: int, third: int, to: Double, to_place: Rows
) -> None:
    """Take the lowest of three parts, the newest where several are, and its place."""
    x1, place1, x2, place2 = x[second:], place[second:], x[third:], place[third:]
    for i in range(to.size):
        value, row = x2[i], place2[i]
        is_older = (x1[i] < value) | (x1[i] != x1[i])
        value = x1[i] if is_older else value
        row = place1[i] if is_older else row
        is_older = (x[i] < value) | (x[i] != x[i])
        to[i] = x[i] if is_older else value
        to_place[i] = place[i] if is_older else row


@njit(nogil=True, cache=True, error_model="numpy")
def _ages(op: int, x: FloatArray, n: int, space: Double, places: Rows, result: FloatArray) -> None:
    """Write how many rows before the newest of n the lowest or highest value stands."""
    size = min(4, n)
    left = x.size - size + 1
    own, place, other, other_place = space[0], places[0], space[1], places[1]
    sign = 1.0 if op == ARGMIN else -1.0
    _lowest_of_four(sign, x, 1, min(2, n - 1), size - 1, own[:left], place[:left])
    while size < n:
        second, third = min(size, n - size), min(2 * size, n - size)  # parts may overlap
        size += third
        left -= third
        _lowest_of_three(own, place, second, third, other[:left], other_place[:left])
        own, place, other, other_place = other, other_place, own, place
    for i in range(result.size):  # the place of a missing value means nothing
        result[i] = float(i + n - 1 - place[i]) if own[i] == own[i] else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def extremes(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the lowest or highest of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n, 2)
    space = np.empty((2, min(step, last - known) + n - 1), x.dtype)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            _extreme(op, x[pair, start - n + 1 : stop], n, space, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def places(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in how many rows ago the lowest or highest of the last n values was."""
    known, step = begin(out, first, last, n), chunk_rows(n, 6)
    length = min(step, last - known) + n - 1
    # places of half the width take half the room, and so half the time
    space, rows = scratch(2, length), np.empty((2, length), np.int32)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            _ages(op, x[pair, start - n + 1 : stop], n, space, rows, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _join_means(
    mean: Double, x: Double, size: int, older: float, all_older: float, is_odd: bool, to: Double
) -> None:
    """Join the means of two parts of `size` rows, and of one row more.

    older, all_older : weight of the older part of the two, and of both beside the row more.
    """
    new, last = mean[size:], x[2 * size * is_odd :]
    if is_odd:
        for i in range(to.size):
            two = new[i] + (mean[i] - new[i]) * older
            to[i] = last[i] + (two - last[i]) * all_older
    else:
        for i in range(to.size):
            to[i] = new[i] + (mean[i] - new[i]) * older


@njit(nogil=True, cache=True, error_model="numpy")
def _means(x: Double, rate: float, n: int, space: Double) -> Double:
    """Return the means of n values from each row of x on, weights exp(-rate age)."""
    mean, size, k = x, 1, 0
    for digit in range(n_doublings(n) - 1, -1, -1):
        is_odd = (n >> digit) & 1 == 1
        longer = 2 * size + is_odd
        older = 1.0 / (1.0 + np.exp(rate * size))
        total = np.expm1(-rate * 2 * size) / np.expm1(-rate) if rate > 0 else 2.0 * size
        total *= np.exp(-rate)
        to = space[k, : x.size - longer + 1]
        _join_means(mean, x, size, older, total / (1.0 + total), is_odd, to)
        mean, size, k = to, longer, 1 - k
    return mean


@njit(nogil=True, cache=True, error_model="numpy")
def means(x: FloatArray, rate: float, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the mean of the last n values, weights exp(-rate age)."""
    known, step = begin(out, first, last, n), chunk_rows(n, 3)
    space = scratch(3, min(step, last - known) + n - 1)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = space[2, : stop - start + n - 1]
            rows[:] = x[pair, stop - rows.size : stop]
            write_finite(_means(rows, rate, n, space), out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _join_trends(
    mean: Double, decayed: Double, x: Double, size: int, is_odd: bool,
    to: Double, to_decayed: Double,
) -> None:  # fmt: skip
    """Join the means of two parts, flat and with weights that fall by age to 1; and one row."""
    two, new_mean, new_decayed = 2 * size, mean[size:], decayed[size:]
    weight = two * (two + 1) / 2
    flat, steep = size * size / weight, size * (size + 1) / 2 / weight
    last = x[two * is_odd :]
    share = two / (two + 1) if is_odd else 1.0  # of the two beside the row
    steep_share = weight / (weight + two + 1) if is_odd else 1.0
    for i in range(to.size):
        a, b, c = new_decayed[i], new_mean[i], last[i] if is_odd else 0.0
        both = a + (b - a) * flat + (decayed[i] - a) * steep
        means = b + (mean[i] - b) * 0.5
        to_decayed[i] = c + (both - c) * steep_share
        to[i] = c + (means - c) * share


@njit(nogil=True, cache=True, error_model="numpy")
def trends(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the slope, or the mean with weights that fall by age, of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n, 5)
    space = scratch(5, min(step, last - known) + n - 1)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = stop - start + n - 1
            own, mean, decayed = space[0, :rows], space[1, :rows], space[2, :rows]
            other, other_decayed = space[3, :rows], space[4, :rows]
            own[:], mean[:] = x[pair, stop - rows : stop], x[pair, stop - rows : stop]
            decayed[:] = own
            size = 1
            for digit in range(n_doublings(n) - 1, -1, -1):
                is_odd = (n >> digit) & 1 == 1
                longer = 2 * size + is_odd
                left = rows - longer + 1
                _join_trends(mean, decayed, own, size, is_odd, other[:left], other_decayed[:left])
                mean, decayed, other, other_decayed = other, other_decayed, mean, decayed
                size = longer
            result = decayed[: stop - start]
            if op == SLOPE:
                for i in range(result.size):
                    result[i] = 6.0 * (result[i] - mean[i]) / (n - 1)
            write_finite(result, out[pair, start:stop])
