"""What the kernels share: sums with their rounding, and windows put together by doubling.

A window of n rows is put together from windows of 1, 2, 4, ... rows, or one more at a step: of n,
the binary digits are read from the highest on, 2 k or 2 k + 1 rows from k. That takes log2(n)
passes over a chunk, all rows share the parts, and the loops run along time and use vector
instructions. How a window is put together depends on n alone, so a value is a function of its
window, to the last bit, wherever the array begins. A running sum is not: it carries the rounding
of all that came before.

Parts are written where their oldest row is. So a part of `size` rows and the next one are
`part[i]` and `part[i + size]`, and what is written is on a boundary of vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

FloatArray = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]

_CACHED = 24_576  # float64, in all arrays
_VECTOR = 8  # float64 of the widest vector instructions


@intrinsic
def fused(_context: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x y + z, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


@njit(nogil=True, cache=True, error_model="numpy")
def chunk_rows(n: int, n_arrays: int) -> int:
    """Return how many rows to compute at a time: what is at work shall stay in the second cache.

    Shorter chunks fit the first one, and take longer: every pass over a chunk has a beginning.
    The n - 1 rows before them are loaded anew each time.
    """
    return max(_CACHED // n_arrays, 2 * n)


@njit(nogil=True, cache=True, error_model="numpy")
def n_doublings(n: int) -> int:
    """Return how many binary digits n has after the first."""
    count = 0
    while n >> (count + 1):
        count += 1
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def scratch(n_arrays: int, length: int) -> Double:
    """Return arrays of `length` or more values, each on a boundary of vector instructions."""
    length = -(-length // _VECTOR) * _VECTOR
    flat = np.empty(n_arrays * length + _VECTOR)
    start = (-flat.ctypes.data // 8) % _VECTOR
    return flat[start : start + n_arrays * length].reshape(n_arrays, length)


@njit(nogil=True, cache=True, error_model="numpy")
def begin(out: FloatArray, first: int, last: int, n: int) -> int:
    """Write NaN where a window of n rows begins before the array; return the row after."""
    known = min(max(first, n - 1), last)
    out[:, first:known] = np.nan
    return known


@njit(nogil=True, cache=True, error_model="numpy")
def write_finite(values: Double, out: FloatArray) -> None:
    """Write values, NaN for what is not finite in the type of `out`."""
    for i in range(out.size):
        out[i] = values[i]
        out[i] = out[i] if out[i] - out[i] == 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def two_sum(x: float, y: float) -> tuple[float, float]:
    """Return x + y rounded, and what was lost."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


@njit(nogil=True, cache=True, error_model="numpy")
def divide(xh: float, xl: float, n: float) -> float:
    """Return x / n rounded once, x of two floats: the mean of a flat window is its value."""
    share = xh / n
    rest: float = fused(-share, n, xh) + xl
    return share + rest / n
