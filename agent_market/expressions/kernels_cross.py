"""Operators over the pairs of one candle; a pair without a value takes no part.

The loops run along time, for one pair or two at a time, and use vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import (
    Double,
    FloatArray,
    divide,
    two_sum,
    write_finite,
)

DEMEAN, ZSCORE = range(2)
_TILE = 512
_FLAT = 2.0**-46  # of the size of what is taken apart: less is rounding


@njit(nogil=True, cache=True, error_model="numpy")
def _tally(x: FloatArray, y: FloatArray, below: Double, alike: Double) -> None:
    for i in range(x.size):
        below[i] += 1.0 if y[i] < x[i] else 0.0
        alike[i] += 1.0 if y[i] == x[i] else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _count(x: FloatArray, count: Double) -> None:
    for i in range(x.size):
        count[i] += 1.0 if x[i] == x[i] else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def rank(x: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Fill in the rank among the pairs, 0..1; equals share the average of their ranks."""
    space = np.empty((3, _TILE))
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        rows = stop - start
        count, below, alike = space[0, :rows], space[1, :rows], space[2, :rows]
        count[:] = 0.0
        for pair in range(x.shape[0]):
            _count(x[pair, start:stop], count)
        for pair in range(x.shape[0]):
            below[:], alike[:] = 0.0, 0.0
            for other in range(x.shape[0]):
                _tally(x[pair, start:stop], x[other, start:stop], below, alike)
            result = out[pair, start:stop]
            for i in range(rows):
                share = (below[i] + (alike[i] - 1) / 2) / (count[i] - 1)
                result[i] = share if (alike[i] > 0) & (count[i] > 1) else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _add_known(x: FloatArray, y: FloatArray, count: Double, total: Double, lost: Double) -> None:
    """Add x to the totals where y is known as well."""
    for i in range(x.size):
        is_known = (x[i] == x[i]) & (y[i] == y[i])
        high, low = two_sum(total[i], x[i] if is_known else 0.0)
        total[i] = high
        lost[i] += low
        count[i] += 1.0 if is_known else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _means(
    x: FloatArray, y: FloatArray, start: int, stop: int, space: Double, mean: Double, count: Double
) -> None:
    """Write the mean of x over the pairs that have x and y, and how many they are."""
    rows = stop - start
    total, lost = space[0, :rows], space[1, :rows]
    total[:], lost[:], count[:] = 0.0, 0.0, 0.0
    for pair in range(x.shape[0]):
        _add_known(x[pair, start:stop], y[pair, start:stop], count, total, lost)
    for i in range(rows):
        mean[i] = divide(total[i], lost[i], count[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _add_products(
    x: FloatArray, y: FloatArray, x_mean: Double, y_mean: Double, total: Double, size: Double
) -> None:
    """Add up (x - mean) (y - mean), and y^2, over what is known of both."""
    for i in range(x.size):
        product = (x[i] - x_mean[i]) * (y[i] - y_mean[i])
        is_known = product == product
        total[i] += product if is_known else 0.0
        size[i] += y[i] * y[i] if is_known else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def centre(op: int, x: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Fill in x less the mean of the pairs, and for ZSCORE in their standard deviations."""
    space, more = np.empty((2, _TILE)), np.empty((5, _TILE))
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        rows = stop - start
        mean, count, scale = more[0, :rows], more[1, :rows], more[2, :rows]
        squares, size = more[3, :rows], more[4, :rows]
        _means(x, x, start, stop, space, mean, count)
        for i in range(rows):
            scale[i] = 1.0 if count[i] > 1 else np.nan
        if op == ZSCORE:
            squares[:], size[:] = 0.0, 0.0
            for pair in range(x.shape[0]):
                a = x[pair, start:stop]
                _add_products(a, a, mean, mean, squares, size)
            for i in range(rows):
                is_flat = squares[i] <= _FLAT * _FLAT * size[i]
                scale[i] *= np.nan if is_flat else np.sqrt(squares[i] / (count[i] - 1))
        for pair in range(x.shape[0]):
            a = x[pair, start:stop]
            for i in range(rows):
                squares[i] = (a[i] - mean[i]) / scale[i]
            write_finite(squares, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _residuals(
    x: FloatArray, y: FloatArray, x_mean: Double, y_mean: Double, slope: Double, result: Double
) -> None:
    for i in range(x.size):
        away, explained = x[i] - x_mean[i], slope[i] * (y[i] - y_mean[i])
        rest = away - explained
        size = abs(x[i]) + abs(x_mean[i]) + abs(explained)
        result[i] = 0.0 if abs(rest) <= _FLAT * size else rest


@njit(nogil=True, cache=True, error_model="numpy")
def neutralize(x: FloatArray, y: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Fill in the residual of the least-squares line of x on y over the pairs that have both."""
    space, more = np.empty((2, _TILE)), np.empty((6, _TILE))
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        rows = stop - start
        x_mean, y_mean, count = more[0, :rows], more[1, :rows], more[2, :rows]
        joint, squares, size = more[3, :rows], more[4, :rows], more[5, :rows]
        _means(x, y, start, stop, space, x_mean, count)
        _means(y, x, start, stop, space, y_mean, count)
        joint[:], squares[:] = 0.0, 0.0
        size[:] = 0.0
        for pair in range(x.shape[0]):
            _add_products(x[pair, start:stop], y[pair, start:stop], x_mean, y_mean, joint, size)
        size[:] = 0.0
        for pair in range(x.shape[0]):
            # the product with x is NaN where x is: what has no x takes no part
            _add_squares(x[pair, start:stop], y[pair, start:stop], y_mean, squares, size)
        for i in range(rows):
            is_known = (count[i] > 2) & (squares[i] > _FLAT * _FLAT * size[i])
            joint[i] = joint[i] / squares[i] if is_known else np.nan
        for pair in range(x.shape[0]):
            _residuals(x[pair, start:stop], y[pair, start:stop], x_mean, y_mean, joint, size)
            write_finite(size, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _add_squares(x: FloatArray, y: FloatArray, mean: Double, total: Double, size: Double) -> None:
    """Add up (y - mean)^2 and y^2 over what is known of both."""
    for i in range(x.size):
        is_known = (x[i] == x[i]) & (y[i] == y[i])
        away = y[i] - mean[i]
        total[i] += away * away if is_known else 0.0
        size[i] += y[i] * y[i] if is_known else 0.0
