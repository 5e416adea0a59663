"""Arithmetic in twice the digits of a float64, and windows summed by doubling.

A sum is carried as two floats, the rounded sum and the error of the rounding, about 32 digits
together. A statistic is rounded once, at its end: a window that is flat gives exactly 0 deviation,
and windows of the same values in another order give the same bits.

A window of n values is put together from windows of 1, 2, 4, 8, ... values, which all rows share:
about 2 log2(n) additions a row, whatever n. How they are paired depends on n alone, so a value is
a function of its window, to the last bit, wherever the array begins. A running sum is not: it
carries the rounding of all that came before. The loops run along time and use vector instructions.

Source of the arithmetic: T. Ogita, S. Rump, S. Oishi, "Accurate sum and dot product", 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

FloatArray = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]

FLAT = 2.0**-92
"""Share of the sum of squares below which a variance is rounding: values alike to 1.4e-14."""

_SHORTEST_CHUNK = 1024


@intrinsic
def fused(_context: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x y + z, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


@njit(nogil=True, cache=True, error_model="numpy")
def chunk_rows(n: int) -> int:
    """Return how many rows to compute at a time: those before them are loaded anew each time."""
    return max(_SHORTEST_CHUNK, 2 * n)


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
def two_product(x: float, y: float) -> tuple[float, float]:
    """Return x y rounded, and what was lost."""
    product = x * y
    return product, fused(x, y, -product)


@njit(nogil=True, cache=True, error_model="numpy")
def add(xh: float, xl: float, yh: float, yl: float) -> tuple[float, float]:
    """Return x + y of two numbers of two floats each, unnormalized."""
    total, lost = two_sum(xh, yh)
    return total, lost + (xl + yl)


@njit(nogil=True, cache=True, error_model="numpy")
def multiply(xh: float, xl: float, yh: float, yl: float) -> tuple[float, float]:
    """Return x y of two numbers of two floats each."""
    product, lost = two_product(xh, yh)
    return product, lost + (xh * yl + xl * yh)


@njit(nogil=True, cache=True, error_model="numpy")
def divide(xh: float, xl: float, n: float) -> float:
    """Return x / n rounded once, x of two floats: the mean of a flat window is its value."""
    share = xh / n
    rest: float = fused(-share, n, xh) + xl
    return share + rest / n


@njit(nogil=True, cache=True, error_model="numpy")
def central(n: float, xyh: float, xyl: float, xh: float, xl: float, yh: float, yl: float) -> float:
    """Return n sum(x y) - sum(x) sum(y); 0 where it is no more than rounding."""
    ph, pl = multiply(n, 0.0, xyh, xyl)
    qh, ql = multiply(xh, xl, yh, yl)
    rest, lost = two_sum(ph, -qh)
    rest += lost + (pl - ql)
    return 0.0 if abs(rest) <= FLAT * (abs(ph) + abs(qh)) else rest


@njit(nogil=True, cache=True, error_model="numpy")
def _add_rows(
    total: Double, total_lost: Double, x: Double, xl: Double, y: Double, yl: Double
) -> None:
    for i in range(total.size):
        high, lost = two_sum(x[i], y[i])
        total[i] = high
        total_lost[i] = lost + (xl[i] + yl[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _gather_rows(total: Double, total_lost: Double, x: Double, xl: Double) -> None:
    for i in range(total.size):
        high, lost = two_sum(total[i], x[i])
        total[i] = high
        total_lost[i] += lost + xl[i]


@njit(nogil=True, cache=True, error_model="numpy")
def window_sums(values: Double, lost: Double, n: int, space: Double) -> tuple[Double, Double]:
    """Return the sums of the last n values, two floats each; those before row n - 1 are rubbish.

    Parameters
    ----------
    values, lost : ndarray of shape (n_rows,)
        What is summed, two floats each; overwritten.
    space : ndarray of shape (4, n_rows or more)
        Overwritten; the sums are two of its rows.
    """
    rows = values.size
    other, other_lost = space[0, :rows], space[1, :rows]
    total, total_lost = space[2, :rows], space[3, :rows]
    size, have = 1, 0
    while True:
        if n & size:
            if have == 0:
                total[:], total_lost[:] = values, lost
            else:
                a, b = have + size - 1, size - 1
                _gather_rows(
                    total[a:], total_lost[a:], values[b : rows - have], lost[b : rows - have]
                )
            have += size
        if have == n:
            return total, total_lost
        a, b = 2 * size - 1, size - 1
        _add_rows(
            other[a:], other_lost[a:], values[a:], lost[a:],
            values[b : rows - size], lost[b : rows - size],
        )  # fmt: skip
        values, lost, other, other_lost = other, other_lost, values, lost
        size *= 2
