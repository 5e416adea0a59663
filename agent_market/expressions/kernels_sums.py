"""Windows that are moments: sum, deviation, score, skewness, covariance, correlation.

Every kernel here and beside fills `out[:, first:last]` from rows up to each row, of arrays of shape
(n_pairs, n_rows). A row of which the window holds a NaN, or begins before the array, is NaN.

The mean of a part is carried as its distance from the part's oldest value, and so are those of two
parts compared: what is rounded is a share of how far the values of the window lie apart, not of
their size, and a flat window has deviation and covariance exactly 0. A sum is carried as two
floats, the rounded sum and what the rounding lost.

Source of the joining of moments: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise
algorithm for computing sample variances", 1979; P. Pébay, Sandia report SAND2008-6212, 2008.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import (
    Double,
    FloatArray,
    begin,
    chunk_rows,
    n_doublings,
    scratch,
    two_sum,
    write_finite,
)

STD, ZSCORE, SKEW = range(3)
COV, CORR = range(2)

FLAT = 2.0**-92
"""Share of the sum of squares below which a variance is rounding: values alike to 1.4e-14."""

_SYMMETRIC = 2.0**-44
"""Skewness below which it is rounding."""


@njit(nogil=True, cache=True, error_model="numpy")
def _add_parts(
    high: Double, low: Double, x: Double, size: int, is_odd: bool, to: Double, to_low: Double
) -> None:
    """Add the sums of two parts of `size` rows, and of one row more, two floats each."""
    next_high, next_low, last = high[size:], low[size:], x[2 * size * is_odd :]
    share = 1.0 if is_odd else 0.0
    for i in range(to.size):
        total, lost = two_sum(high[i], next_high[i])
        lost += low[i] + next_low[i]
        to[i], error = two_sum(total, share * last[i])
        to_low[i] = lost + error


@njit(nogil=True, cache=True, error_model="numpy")
def sums(x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the sum of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n, 5)
    space = scratch(5, min(step, last - known) + n - 1)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = stop - start + n - 1
            own, high, low = space[0, :rows], space[1, :rows], space[2, :rows]
            other, other_low = space[3, :rows], space[4, :rows]
            own[:], high[:], low[:] = x[pair, stop - rows : stop], x[pair, stop - rows : stop], 0.0
            size = 1
            for digit in range(n_doublings(n) - 1, -1, -1):
                is_odd = (n >> digit) & 1 == 1
                longer = 2 * size + is_odd
                left = rows - longer + 1
                _add_parts(high, low, own, size, is_odd, other[:left], other_low[:left])
                high, low, other, other_low, size = other, other_low, high, low, longer
            for i in range(stop - start):
                high[i] += low[i]
            write_finite(high, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _begin(x: Double, is_odd: bool, to: Double, to_squares: Double) -> None:
    """Write the moments of two rows, or of three."""
    next_x = x[1:]
    if not is_odd:
        for i in range(to.size):
            apart = next_x[i] - x[i]
            to[i], to_squares[i] = 0.5 * apart, apart * apart * 0.5
        return
    last, share, last_weight = x[2:], 1 / 3, 2 / 3
    for i in range(to.size):
        apart = next_x[i] - x[i]
        mean = 0.5 * apart
        rest = (last[i] - x[i]) - mean
        to[i] = mean + rest * share
        to_squares[i] = apart * apart * 0.5 + rest * rest * last_weight


@njit(nogil=True, cache=True, error_model="numpy")
def _join(
    x: Double, away: Double, squares: Double, size: int, is_odd: bool,
    to: Double, to_squares: Double,
) -> None:  # fmt: skip
    """Join the moments of two parts of `size` rows, and of one row more.

    away : mean less the oldest value.
    squares : sum of the squares around the mean.
    """
    two = 2 * size
    next_x, next_away, next_squares = x[size:], away[size:], squares[size:]
    weight = size / 2
    if not is_odd:
        for i in range(to.size):
            apart = (next_x[i] - x[i]) + (next_away[i] - away[i])
            to[i] = away[i] + 0.5 * apart
            to_squares[i] = squares[i] + next_squares[i] + apart * apart * weight
        return
    last, share, last_weight = x[two:], 1 / (two + 1), two / (two + 1)
    for i in range(to.size):
        apart = (next_x[i] - x[i]) + (next_away[i] - away[i])
        mean = away[i] + 0.5 * apart
        rest = (last[i] - x[i]) - mean
        to[i] = mean + rest * share
        to_squares[i] = (
            squares[i] + next_squares[i] + apart * apart * weight + rest * rest * last_weight
        )


@njit(nogil=True, cache=True, error_model="numpy")
def _join_cubes(
    x: Double, away: Double, squares: Double, cubes: Double, size: int, is_odd: bool, to: Double
) -> None:
    """Join the sums of cubes around the mean."""
    two = 2 * size
    next_x, next_away, next_squares, next_cubes = (
        x[size:],
        away[size:],
        squares[size:],
        cubes[size:],
    )
    weight = size / 2
    last = x[two * is_odd :]
    cubic = two * (two - 1) / (two + 1) ** 2 if is_odd else 0.0
    linear = 3 / (two + 1) if is_odd else 0.0
    for i in range(to.size):
        apart = (next_x[i] - x[i]) + (next_away[i] - away[i])
        cube = cubes[i] + next_cubes[i] + 1.5 * apart * (next_squares[i] - squares[i])
        square = squares[i] + next_squares[i] + apart * apart * weight
        rest = (last[i] - x[i]) - (away[i] + 0.5 * apart)
        to[i] = cube + rest * (rest * rest * cubic - linear * square)


@njit(nogil=True, cache=True, error_model="numpy")
def _begin_both(
    x: Double, y: Double, is_odd: bool, to_x: Double, to_x_squares: Double, to_y: Double,
    to_y_squares: Double, to_products: Double,
) -> None:  # fmt: skip
    """Write the moments of two rows of x and of y, or of three."""
    next_x, next_y = x[1:], y[1:]
    if not is_odd:
        for i in range(to_x.size):
            apart, y_apart = next_x[i] - x[i], next_y[i] - y[i]
            to_x[i], to_y[i] = 0.5 * apart, 0.5 * y_apart
            to_x_squares[i] = apart * apart * 0.5
            to_y_squares[i] = y_apart * y_apart * 0.5
            to_products[i] = apart * y_apart * 0.5
        return
    last_x, last_y = x[2:], y[2:]
    share, last_weight = 1 / 3, 2 / 3
    for i in range(to_x.size):
        apart, y_apart = next_x[i] - x[i], next_y[i] - y[i]
        mean, y_mean = 0.5 * apart, 0.5 * y_apart
        rest, y_rest = (last_x[i] - x[i]) - mean, (last_y[i] - y[i]) - y_mean
        to_x[i] = mean + rest * share
        to_y[i] = y_mean + y_rest * share
        to_x_squares[i] = apart * apart * 0.5 + rest * rest * last_weight
        to_y_squares[i] = y_apart * y_apart * 0.5 + y_rest * y_rest * last_weight
        to_products[i] = apart * y_apart * 0.5 + rest * y_rest * last_weight


@njit(nogil=True, cache=True, error_model="numpy")
def _join_both(
    x: Double, x_away: Double, x_squares: Double, y: Double, y_away: Double, y_squares: Double,
    products: Double, size: int, to_x: Double, to_x_squares: Double, to_y: Double,
    to_y_squares: Double, to_products: Double,
) -> None:  # fmt: skip
    """Join the moments of x and of y, and the sums of products around both means, in one pass."""
    weight = size / 2
    next_x, next_x_away, next_x_squares = x[size:], x_away[size:], x_squares[size:]
    next_y, next_y_away, next_y_squares = y[size:], y_away[size:], y_squares[size:]
    next_products = products[size:]
    for i in range(to_x.size):
        apart = (next_x[i] - x[i]) + (next_x_away[i] - x_away[i])
        y_apart = (next_y[i] - y[i]) + (next_y_away[i] - y_away[i])
        to_x[i] = x_away[i] + 0.5 * apart
        to_y[i] = y_away[i] + 0.5 * y_apart
        to_x_squares[i] = x_squares[i] + next_x_squares[i] + apart * apart * weight
        to_y_squares[i] = y_squares[i] + next_y_squares[i] + y_apart * y_apart * weight
        to_products[i] = products[i] + next_products[i] + apart * y_apart * weight


@njit(nogil=True, cache=True, error_model="numpy")
def _join_both_and_row(
    x: Double, x_away: Double, x_squares: Double, y: Double, y_away: Double, y_squares: Double,
    products: Double, size: int, to_x: Double, to_x_squares: Double, to_y: Double,
    to_y_squares: Double, to_products: Double,
) -> None:  # fmt: skip
    """Join as `_join_both` does, and one row more."""
    two, weight = 2 * size, size / 2
    share, last_weight = 1 / (two + 1), two / (two + 1)
    next_x, next_x_away, next_x_squares = x[size:], x_away[size:], x_squares[size:]
    next_y, next_y_away, next_y_squares = y[size:], y_away[size:], y_squares[size:]
    next_products, last_x, last_y = products[size:], x[two:], y[two:]
    for i in range(to_x.size):
        apart = (next_x[i] - x[i]) + (next_x_away[i] - x_away[i])
        y_apart = (next_y[i] - y[i]) + (next_y_away[i] - y_away[i])
        mean, y_mean = x_away[i] + 0.5 * apart, y_away[i] + 0.5 * y_apart
        rest, y_rest = (last_x[i] - x[i]) - mean, (last_y[i] - y[i]) - y_mean
        to_x[i] = mean + rest * share
        to_y[i] = y_mean + y_rest * share
        to_x_squares[i] = (
            x_squares[i] + next_x_squares[i] + apart * apart * weight + rest * rest * last_weight
        )
        to_y_squares[i] = (
            y_squares[i]
            + next_y_squares[i]
            + y_apart * y_apart * weight
            + y_rest * y_rest * last_weight
        )
        to_products[i] = (
            products[i] + next_products[i] + apart * y_apart * weight + rest * y_rest * last_weight
        )


@njit(nogil=True, cache=True, error_model="numpy")
def _flatten(x: Double, away: Double, squares: Double, n: int) -> None:
    """Set to 0 what is rounding."""
    for i in range(squares.size):
        mean = x[i] + away[i]
        is_flat = squares[i] <= FLAT * (n * mean * mean + squares[i])
        squares[i] = 0.0 if is_flat else squares[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _scores(x: Double, away: Double, squares: Double, n: int, result: Double) -> None:
    newest, share = x[n - 1 :], 1 / (n - 1)
    for i in range(result.size):
        rest = (newest[i] - x[i]) - away[i]
        result[i] = rest / np.sqrt(squares[i] * share) if squares[i] > 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _skews(x: Double, away: Double, squares: Double, cubes: Double, n: int, result: Double) -> None:
    scale = np.sqrt(float(n))
    for i in range(result.size):
        root = np.sqrt(squares[i])
        value = scale * (cubes[i] / (squares[i] * root))
        result[i] = (0.0 if abs(value) <= _SYMMETRIC else value) if root > 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def moments(op: int, x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in deviation, score or skewness of the last n values."""
    known, step = begin(out, first, last, n), chunk_rows(n, 7)
    space = scratch(7, min(step, last - known) + n - 1)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = stop - start + n - 1
            own, away, squares = space[0, :rows], space[1, :rows], space[2, :rows]
            other, other_squares = space[3, :rows], space[4, :rows]
            cubes, other_cubes = space[5, :rows], space[6, :rows]
            own[:], digits, size = x[pair, stop - rows : stop], n_doublings(n), 1
            if op == SKEW:
                away[:], squares[:], cubes[:] = 0.0, 0.0, 0.0
            else:
                digits -= 1
                size = n >> digits  # two or three
                left = rows - size + 1
                _begin(own, size == 3, away[:left], squares[:left])
            for digit in range(digits - 1, -1, -1):
                is_odd = (n >> digit) & 1 == 1
                longer = 2 * size + is_odd
                left = rows - longer + 1
                if op == SKEW:
                    _join_cubes(own, away, squares, cubes, size, is_odd, other_cubes[:left])
                    cubes, other_cubes = other_cubes, cubes
                _join(own, away, squares, size, is_odd, other[:left], other_squares[:left])
                away, squares, other, other_squares = other, other_squares, away, squares
                size = longer
            squares, result = squares[: stop - start], other[: stop - start]
            _flatten(own, away, squares, n)
            if op == STD:
                share = 1 / (n - 1)
                for i in range(result.size):
                    result[i] = np.sqrt(squares[i] * share)
            elif op == ZSCORE:
                _scores(own, away, squares, n, result)
            else:
                _skews(own, away, squares, cubes, n, result)
            write_finite(result, out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _correlations(products: Double, x: Double, y: Double, result: Double) -> None:
    for i in range(result.size):
        scale = np.sqrt(x[i]) * np.sqrt(y[i])
        value = min(max(products[i] / scale, -1.0), 1.0)
        result[i] = value if (scale > 0) & (products[i] == products[i]) else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _covariances(products: Double, x: Double, y: Double, n: int, result: Double) -> None:
    for i in range(result.size):
        is_flat = ((x[i] == 0) | (y[i] == 0)) & (products[i] == products[i])
        result[i] = 0.0 if is_flat else products[i] / (n - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def joint_moments(
    op: int, x: FloatArray, y: FloatArray, n: int, out: FloatArray, first: int, last: int
) -> None:
    """Fill in covariance or correlation of the last n values of x and of y."""
    known, step = begin(out, first, last, n), chunk_rows(n, 6)
    space = scratch(12, min(step, last - known) + n - 1)
    for pair in range(x.shape[0]):
        for start in range(known, last, step):
            stop = min(start + step, last)
            rows = stop - start + n - 1
            a, a_away, a_squares = space[0, :rows], space[1, :rows], space[2, :rows]
            b, b_away, b_squares = space[3, :rows], space[4, :rows], space[5, :rows]
            o1, o2, o3, o4 = space[6, :rows], space[7, :rows], space[8, :rows], space[9, :rows]
            products, o5 = space[10, :rows], space[11, :rows]
            a[:], b[:] = x[pair, stop - rows : stop], y[pair, stop - rows : stop]
            digits = n_doublings(n) - 1
            size = n >> digits  # two or three
            left = rows - size + 1
            _begin_both(
                a, b, size == 3,
                a_away[:left], a_squares[:left], b_away[:left], b_squares[:left], products[:left],
            )  # fmt: skip
            for digit in range(digits - 1, -1, -1):
                is_odd = (n >> digit) & 1 == 1
                longer = 2 * size + is_odd
                left = rows - longer + 1
                if is_odd:
                    _join_both_and_row(
                        a, a_away, a_squares, b, b_away, b_squares, products, size,
                        o1[:left], o2[:left], o3[:left], o4[:left], o5[:left],
                    )  # fmt: skip
                else:
                    _join_both(
                        a, a_away, a_squares, b, b_away, b_squares, products, size,
                        o1[:left], o2[:left], o3[:left], o4[:left], o5[:left],
                    )  # fmt: skip
                a_away, a_squares, o1, o2 = o1, o2, a_away, a_squares
                b_away, b_squares, o3, o4 = o3, o4, b_away, b_squares
                products, o5, size = o5, products, longer
            a_squares, b_squares = a_squares[: stop - start], b_squares[: stop - start]
            result = o5[: stop - start]
            _flatten(a, a_away, a_squares, n)
            _flatten(b, b_away, b_squares, n)
            if op == CORR:
                _correlations(products, a_squares, b_squares, result)
            else:
                _covariances(products, a_squares, b_squares, n, result)
            write_finite(result, out[pair, start:stop])
