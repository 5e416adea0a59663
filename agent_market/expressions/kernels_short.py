"""Rank, median and quantile of a short moving window, exact, with vector instructions.

The rank is a count: every row of the window is compared with the newest one. For quantiles the
window is kept in order, eight stretches of rows side by side, a lane of a vector each: one pass
over it takes the oldest value out and puts the newest in. That is as many steps as the window has
rows; `kernels_order` has what takes as long whatever the window. Nothing is rounded on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from agent_market.expressions.kernels_numbers import Double, FloatArray, scratch

Lanes = npt.NDArray[np.float64]  # of shape (rows, _LANES)

_TILE = 512
_LANES = 8  # stretches side by side: float64 of the widest vector instructions
_STRETCH = 1024  # rows; all at work shall stay in the second cache


@njit(nogil=True, cache=True, error_model="numpy")
def between(low: float, high: float, share: float) -> float:
    """Return the point between two values, from the nearer end: exact at both and in the middle."""
    if share == 0.5:
        return (low + high) / 2
    if share < 0.5:
        return low + (high - low) * share
    return high - (high - low) * (1 - share)


@njit(nogil=True, cache=True, error_model="numpy")
def _copy_known(x: FloatArray, rows: Double) -> bool:
    """Write x, infinity for what is missing; return whether anything is."""
    is_missing = False
    for i in range(x.size):
        is_missing |= x[i] != x[i]
        # one zero: which of two equal ones the order holds depends on what came before
        rows[i] = x[i] + 0.0 if x[i] == x[i] else np.inf
    rows[x.size :] = 0.0
    return is_missing


@njit(nogil=True, cache=True, error_model="numpy")
def _lose(x: FloatArray, n: int, out: FloatArray) -> None:
    """Write NaN where a window holds one."""
    lost = -1
    for row in range(x.size):
        lost = row if x[row] != x[row] else lost
        if row >= n - 1 and lost > row - n:
            out[row - n + 1] = np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _rank_rows(x: Double, n: int, out: FloatArray) -> None:
    space = np.empty(_TILE)
    for start in range(0, out.size, _TILE):
        rows = min(_TILE, out.size - start)
        newest, twice = x[start + n - 1 : start + n - 1 + rows], space[:rows]
        twice[:] = 0.0
        for age in range(1, n):
            older = x[start + n - 1 - age :]
            for i in range(rows):
                less = 1.0 if older[i] < newest[i] else 0.0
                twice[i] += less + (1.0 if older[i] <= newest[i] else 0.0)
        result = out[start : start + rows]
        for i in range(rows):
            result[i] = twice[i] / 2 / (n - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def short_ranks(x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in the rank of x among its last n values, from the first row that has so many."""
    rows = np.empty(last - first + n - 1)
    for pair in range(x.shape[0]):
        own, result = x[pair, first - n + 1 : last], out[pair, first:last]
        is_missing = _copy_known(own, rows)
        _rank_rows(rows, n, result)
        if is_missing:
            _lose(own, n, result)


@intrinsic
def _exchange(_context: Any, ordered: Any, n: Any, rows: Any, old: Any, new: Any) -> Any:
    """Take a row of `rows` out of n ascending ones, and put another in, each lane for itself.

    The one more that `ordered` has is infinite. Spelled out, because the compiler would keep what
    goes from one value to the next in memory.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), _LANES)

        def place(array: int, row: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            return builder.gep(builder.bitcast(data, vector.as_pointer()), [row])

        def load(array: int, row: Any) -> Any:
            return builder.load(place(array, row), align=8 * _LANES)

        def pick(order: str, x: Any, y: Any, a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(order, x, y), a, b)

        leaves, comes = load(2, args[3]), load(2, args[4])
        below = ir.Constant(vector, [float("-inf")] * _LANES)
        here = cgutils.alloca_once_value(builder, load(0, args[3].type(0)))
        before = cgutils.alloca_once_value(builder, below)
        with cgutils.for_range(builder, args[1]) as loop:
            value, above = builder.load(here), load(0, cgutils.increment_index(builder, loop.index))
            left = pick("<", value, leaves, value, above)
            last = builder.load(before)
            highest = pick(">", last, comes, last, comes)
            found = pick("<", left, highest, left, highest)
            builder.store(found, place(0, loop.index), align=8 * _LANES)
            builder.store(above, here)
            builder.store(left, before)
        return context.get_dummy_value()

    return types.none(ordered, types.intp, rows, types.intp, types.intp), generate


@njit(nogil=True, cache=True, error_model="numpy")
def _into_lanes(x: Double, stretch: int, rows: Lanes) -> None:
    for row in range(rows.shape[0]):
        for lane in range(_LANES):
            rows[row, lane] = x[lane * stretch + row]


@njit(nogil=True, cache=True, error_model="numpy")
def _out_of_lanes(rows: Lanes, x: Double) -> None:
    for row in range(rows.shape[0]):
        for lane in range(_LANES):
            x[lane * rows.shape[0] + row] = rows[row, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _quantile_rows(x: Double, n: int, share: float, space: Lanes, out: Double) -> None:
    """Write the quantiles of `_LANES` stretches, one behind the other in x and out."""
    stretch = out.size // _LANES
    whole = int(share * (n - 1))
    part = share * (n - 1) - whole
    rows, above = space[: stretch + n], space[stretch + n : 2 * stretch + n]
    ordered = space[2 * stretch + n :]
    rows[0], ordered[:] = np.inf, np.inf
    _into_lanes(x, stretch, rows[1:])
    for row in range(n - 1):
        _exchange(ordered, n, rows, 0, row + 1)
    for row in range(stretch):
        _exchange(ordered, n, rows, row, row + n)
        for lane in range(_LANES):  # what left the window is read no more
            rows[row, lane], above[row, lane] = ordered[whole, lane], ordered[whole + 1, lane]
    if part > 0:
        low, high = rows[:stretch].ravel(), above.ravel()
        for i in range(low.size):
            low[i] = between(low[i], high[i], part)
    _out_of_lanes(rows[:stretch], out)


@njit(nogil=True, cache=True, error_model="numpy")
def short_quantiles(
    x: FloatArray, n: int, share: float, out: FloatArray, first: int, last: int
) -> None:
    """Fill in quantile `share` of the last n values, from the first row that has so many."""
    stretch = min(max(_STRETCH, 4 * n), -(-(last - first) // _LANES))
    step = stretch * _LANES
    rows, quantiles = np.empty(step + n - 1), np.empty(step)
    space = scratch(1, (2 * stretch + 2 * n + 1) * _LANES)[0].reshape(-1, _LANES)
    for pair in range(x.shape[0]):
        for start in range(first, last, step):
            stop = min(start + step, last)
            own, result = x[pair, start - n + 1 : stop], out[pair, start:stop]
            is_missing = _copy_known(own, rows)
            _quantile_rows(rows, n, share, space, quantiles)
            for i in range(result.size):
                result[i] = quantiles[i] if quantiles[i] - quantiles[i] == 0 else np.nan
            if is_missing:
                _lose(own, n, result)
