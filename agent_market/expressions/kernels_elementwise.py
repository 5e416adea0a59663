"""Operators on one row: arithmetic, comparison, functions. An argument may be a number."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit

from agent_market.expressions.kernels_numbers import FloatArray

ADD, SUB, MUL, DIV = range(4)
GT, GE, MINIMUM, MAXIMUM = range(4)
NEG, ABS, SIGN, SQRT, SQUARE = range(5)

Operand: TypeAlias = "FloatArray | float"
_TILE = 2048
_CACHED = 8192  # rows of all pairs that stay in a cache


def _operand(x: Operand, like: FloatArray) -> tuple[FloatArray, bool]:
    """Return an array that the kernels read along, and whether it is the same for all rows."""
    if isinstance(x, np.ndarray):
        return x, False
    return np.full((1, _TILE), x, like.dtype), True


@njit(nogil=True, cache=True, error_model="numpy")
def _tile(x: FloatArray, is_number: bool, pair: int, start: int, stop: int) -> FloatArray:
    return x[0, : stop - start] if is_number else x[pair, start:stop]


@njit(nogil=True, cache=True, error_model="numpy")
def _arithmetic(op: int, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    if op == ADD:
        for i in range(out.size):
            value = x[i] + y[i]
            out[i] = value if value - value == 0 else np.nan
    elif op == SUB:
        for i in range(out.size):
            value = x[i] - y[i]
            out[i] = value if value - value == 0 else np.nan
    elif op == MUL:
        for i in range(out.size):
            value = x[i] * y[i]
            out[i] = value if value - value == 0 else np.nan
    else:
        for i in range(out.size):
            value = x[i] / y[i]
            out[i] = value if value - value == 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _arithmetic_rows(
    op: int, x: FloatArray, y: FloatArray, x_is_number: bool, y_is_number: bool, shift: int,
    out: FloatArray, first: int, last: int,
) -> None:  # fmt: skip
    for pair in range(out.shape[0]):
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            a = _tile(x, x_is_number, pair, start, stop)
            b = _tile(y, y_is_number, pair, start - shift, stop - shift)
            _arithmetic(op, a, b, out[pair, start:stop])


def arithmetic(op: int, x: Operand, y: Operand, out: FloatArray, first: int, last: int) -> None:
    """Fill in x + y, x - y, x y or x / y; NaN where that is not finite."""
    (a, a_is_number), (b, b_is_number) = _operand(x, out), _operand(y, out)
    _arithmetic_rows(op, a, b, a_is_number, b_is_number, 0, out, first, last)


def delta(x: FloatArray, n: int, out: FloatArray, first: int, last: int) -> None:
    """Fill in x less x of n rows before."""
    known = min(max(first, n), last)
    out[:, first:known] = np.nan
    _arithmetic_rows(SUB, x, x, False, False, n, out, known, last)


@njit(nogil=True, cache=True, error_model="numpy")
def _compare(op: int, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    if op == GT:
        for i in range(out.size):
            out[i] = 1.0 if x[i] > y[i] else (0.0 if x[i] <= y[i] else np.nan)
    elif op == GE:
        for i in range(out.size):
            out[i] = 1.0 if x[i] >= y[i] else (0.0 if x[i] < y[i] else np.nan)
    elif op == MINIMUM:
        for i in range(out.size):
            out[i] = x[i] if (x[i] <= y[i]) | (x[i] != x[i]) else y[i]
    else:
        for i in range(out.size):
            out[i] = x[i] if (x[i] >= y[i]) | (x[i] != x[i]) else y[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _compare_rows(
    op: int, x: FloatArray, y: FloatArray, x_is_number: bool, y_is_number: bool,
    out: FloatArray, first: int, last: int,
) -> None:  # fmt: skip
    for pair in range(out.shape[0]):
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            a, b = (
                _tile(x, x_is_number, pair, start, stop), _tile(y, y_is_number, pair, start, stop)
            )  # fmt: skip
            _compare(op, a, b, out[pair, start:stop])


def compare(op: int, x: Operand, y: Operand, out: FloatArray, first: int, last: int) -> None:
    """Fill in whether x > y or x >= y, 0 or 1, or the lower or the higher one."""
    (a, a_is_number), (b, b_is_number) = _operand(x, out), _operand(y, out)
    _compare_rows(op, a, b, a_is_number, b_is_number, out, first, last)


@njit(nogil=True, cache=True, error_model="numpy")
def _choose_rows(
    condition: FloatArray, x: FloatArray, y: FloatArray, numbers: tuple[bool, bool, bool],
    out: FloatArray, first: int, last: int,
) -> None:  # fmt: skip
    for pair in range(out.shape[0]):
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            c = _tile(condition, numbers[0], pair, start, stop)
            a = _tile(x, numbers[1], pair, start, stop)
            b = _tile(y, numbers[2], pair, start, stop)
            result = out[pair, start:stop]
            for i in range(result.size):
                # both are read first: the compiler would jump around a read, not use vectors
                taken, other = a[i], b[i]
                taken = taken if c[i] != 0 else other
                result[i] = taken if c[i] == c[i] else np.nan


def choose(
    condition: Operand, x: Operand, y: Operand, out: FloatArray, first: int, last: int
) -> None:
    """Fill in x where the condition is not 0, else y."""
    (c, c_is), (a, a_is), (b, b_is) = (_operand(each, out) for each in (condition, x, y))
    _choose_rows(c, a, b, (c_is, a_is, b_is), out, first, last)


@njit(nogil=True, cache=True, error_model="numpy")
def _apply(op: int, x: FloatArray, out: FloatArray) -> None:
    if op == NEG:
        out[:] = -x
    elif op == ABS:
        out[:] = np.abs(x)
    elif op == SIGN:
        for i in range(out.size):
            out[i] = 1.0 if x[i] > 0 else (-1.0 if x[i] < 0 else x[i] * 0.0)
    elif op == SQRT:
        for i in range(out.size):
            out[i] = np.sqrt(x[i])
    else:
        for i in range(out.size):
            value = x[i] * x[i]
            out[i] = value if value - value == 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _apply_rows(op: int, x: FloatArray, out: FloatArray, first: int, last: int) -> None:
    for pair in range(out.shape[0]):
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            _apply(op, x[pair, start:stop], out[pair, start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def _clip(x: FloatArray, low: float, high: float, out: FloatArray) -> None:
    for i in range(out.size):
        value = low if x[i] < low else x[i]
        out[i] = high if value > high else value


@njit(nogil=True, cache=True, error_model="numpy")
def _clip_rows(
    x: FloatArray, low: float, high: float, out: FloatArray, first: int, last: int
) -> None:
    for pair in range(out.shape[0]):
        _clip(x[pair, first:last], low, high, out[pair, first:last])


@njit(nogil=True, cache=True, error_model="numpy")
def _positive_rows(x: FloatArray, out: FloatArray) -> None:
    """Write x, 1 where it is not above 0."""
    for pair in range(x.shape[0]):
        rows, result = x[pair], out[pair]
        for i in range(result.size):
            value = rows[i]
            result[i] = value if value > 0 else 1.0


@njit(nogil=True, cache=True, error_model="numpy")
def _lose_rows(x: FloatArray, out: FloatArray) -> None:
    """Write NaN where x is not above 0."""
    for pair in range(x.shape[0]):
        rows, result = x[pair], out[pair]
        for i in range(result.size):
            value = result[i]
            result[i] = value if rows[i] > 0 else np.nan


def apply(op: int, x: Operand, out: FloatArray, first: int, last: int) -> None:
    """Fill in -x, its absolute value, its sign, its root or its square."""
    _apply_rows(op, _as_rows(x, out), out, first, last)


def clip(x: Operand, low: float, high: float, out: FloatArray, first: int, last: int) -> None:
    """Fill in x, at least `low` and at most `high`."""
    _clip_rows(_as_rows(x, out), low, high, out, first, last)


def logarithm(x: Operand, out: FloatArray, first: int, last: int) -> None:
    """Fill in the natural logarithm; NaN where x is not above 0."""
    # NumPy's vector code gives a value the same bits wherever it stands; Numba's may not. It is
    # given no NaN, for which it takes five times as long.
    rows = _as_rows(x, out)
    for start in range(first, last, _CACHED):
        stop = min(start + _CACHED, last)
        own, part = rows[:, start:stop], out[:, start:stop]
        _positive_rows(own, part)
        np.log(part, out=part)
        _lose_rows(own, part)


def hyperbolic_tangent(x: Operand, out: FloatArray, first: int, last: int) -> None:
    """Fill in tanh(x)."""
    np.tanh(_as_rows(x, out)[:, first:last], out=out[:, first:last])


def _as_rows(x: Operand, out: FloatArray) -> FloatArray:
    return x if isinstance(x, np.ndarray) else np.full(out.shape, x, out.dtype)
