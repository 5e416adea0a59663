"""Which kernel computes an operator, and on how many rows at a time.

`KERNELS` maps an operator of the table to a function of its arguments, series as arrays (a number
where an expression has one), windows and numbers as floats, that fills `out[:, first:last]`. The
value of a row is a function of its window alone, to the last bit, so the rows may be cut anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from agent_market.expressions import kernels_cross as cross
from agent_market.expressions import kernels_elementwise as elementwise
from agent_market.expressions import kernels_order as order
from agent_market.expressions import kernels_sums as sums
from agent_market.expressions import kernels_windows as windows
from agent_market.expressions.kernels_numbers import FloatArray
from agent_market.expressions.operators import OPERATORS

Kernel = Callable[..., None]
"""Takes the arguments of the operator, then `out`, `first` and `last`."""


def _arithmetic(op: int) -> Kernel:
    return partial(elementwise.arithmetic, op)


def _compare(op: int) -> Kernel:
    return partial(elementwise.compare, op)


def _mirrored(op: int) -> Kernel:
    def kernel(x: Any, y: Any, *rows: Any) -> None:
        elementwise.compare(op, y, x, *rows)

    return kernel


def _of_window(compiled: Kernel, op: int) -> Kernel:
    def kernel(x: FloatArray, n: float, *rows: Any) -> None:
        compiled(op, x, int(n), *rows)

    return kernel


def _of_two(op: int) -> Kernel:
    def kernel(x: FloatArray, y: FloatArray, n: float, *rows: Any) -> None:
        sums.joint_moments(op, x, y, int(n), *rows)

    return kernel


def _delay(x: FloatArray, n: float, *rows: Any) -> None:
    windows.delay(x, int(n), *rows)


def _delta(x: FloatArray, n: float, *rows: Any) -> None:
    elementwise.delta(x, int(n), *rows)


def _rank(x: FloatArray, n: float, *rows: Any) -> None:
    order.order_statistics(order.RANK, 0.0, x, int(n), *rows)


def _quantile(x: FloatArray, n: float, share: float, *rows: Any) -> None:
    order.order_statistics(order.QUANTILE, share, x, int(n), *rows)


def _median(x: FloatArray, n: float, *rows: Any) -> None:
    order.order_statistics(order.QUANTILE, 0.5, x, int(n), *rows)


def _mean(x: FloatArray, n: float, *rows: Any) -> None:
    windows.means(x, 0.0, int(n), *rows)


def _sum(x: FloatArray, n: float, *rows: Any) -> None:
    sums.sums(x, int(n), *rows)


def _exponential_mean(x: FloatArray, n: float, *rows: Any) -> None:
    reach = OPERATORS["ewm"].rows_before(int(n)) + 1
    windows.means(x, math.log(2.0) / n, reach, *rows)


KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "add": _arithmetic(elementwise.ADD),
        "sub": _arithmetic(elementwise.SUB),
        "mul": _arithmetic(elementwise.MUL),
        "div": _arithmetic(elementwise.DIV),
        "gt": _compare(elementwise.GT),
        "ge": _compare(elementwise.GE),
        "lt": _mirrored(elementwise.GT),
        "le": _mirrored(elementwise.GE),
        "neg": partial(elementwise.apply, elementwise.NEG),
        "abs": partial(elementwise.apply, elementwise.ABS),
        "sign": partial(elementwise.apply, elementwise.SIGN),
        "log": elementwise.logarithm,
        "sqrt": partial(elementwise.apply, elementwise.SQRT),
        "square": partial(elementwise.apply, elementwise.SQUARE),
        "tanh": elementwise.hyperbolic_tangent,
        "minimum": _compare(elementwise.MINIMUM),
        "maximum": _compare(elementwise.MAXIMUM),
        "clip": elementwise.clip,
        "where": elementwise.choose,
        "delay": _delay,
        "delta": _delta,
        "ts_mean": _mean,
        "ts_sum": _sum,
        "ts_std": _of_window(sums.moments, sums.STD),
        "ts_zscore": _of_window(sums.moments, sums.ZSCORE),
        "ts_rank": _rank,
        "ts_min": _of_window(windows.extremes, windows.MIN),
        "ts_max": _of_window(windows.extremes, windows.MAX),
        "ts_argmin": _of_window(windows.places, windows.ARGMIN),
        "ts_argmax": _of_window(windows.places, windows.ARGMAX),
        "ts_median": _median,
        "ts_quantile": _quantile,
        "ts_skew": _of_window(sums.moments, sums.SKEW),
        "ts_corr": _of_two(sums.CORR),
        "ts_cov": _of_two(sums.COV),
        "ts_slope": _of_window(windows.trends, windows.SLOPE),
        "ts_decay": _of_window(windows.trends, windows.DECAY),
        "ewm": _exponential_mean,
        "rank": cross.rank,
        "zscore": partial(cross.centre, cross.ZSCORE),
        "demean": partial(cross.centre, cross.DEMEAN),
        "neutralize": cross.neutralize,
    }
)
