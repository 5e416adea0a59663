"""The operators of the language: one table that parser, checker, evaluator and manual share.

No value is infinite: a result that is not finite is NaN. Missing values follow one rule a group,
and `Operator.undefined` names what else gives NaN:

- elementwise: NaN where an argument is NaN;
- time: row t uses `rows_before(n)` rows and itself; it is NaN unless all of them exist and none is
  NaN; `delay` and `delta` ask this only of the rows they name;
- cross: over the pairs that have a value at the candle; a pair without one stays NaN, and all are
  NaN where fewer than two have one.

Deviations and covariances divide by n - 1. Ranks are 0..1, `(average rank - 1) / (count - 1)`, ties
take the average of their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from agent_market.expressions.units import UnitRule

EWM_HALF_LIVES = 8
"""Half-lives that `ewm` looks back, so that it has a beginning; 0.4 % of the weight lies before."""


class Group(Enum):
    """What a value depends on: its own row, the rows before it, or the other pairs."""

    ELEMENTWISE = "elementwise"
    TIME = "time"
    CROSS = "cross"


class Kind(Enum):
    """What may stand as an argument: a series, a literal whole number of candles, a literal."""

    SERIES = "series"
    WINDOW = "window"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument's name in the manual, its kind, and the bounds of its literal."""

    name: str
    kind: Kind = Kind.SERIES
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    group : what a value depends on, and with it the rule of missing values.
    arguments : series first, then windows, then numbers, which ascend.
    unit : rule of the units of the series.
    definition : of row t, in a line.
    undefined : what gives NaN beside the group's rule, "" where nothing does.
    symbol : how it is written between its arguments (`neg`: before), or None.
    is_commutative : the first two arguments may change places without changing a bit.
    is_idempotent : doing it twice is doing it once, to the bit.
    rows_before : rows before t that row t uses, of the window.
    """

    name: str
    group: Group
    arguments: tuple[Argument, ...]
    unit: UnitRule
    definition: str
    undefined: str = ""
    symbol: str | None = None
    is_commutative: bool = False
    is_idempotent: bool = False
    rows_before: Callable[[int], int] = lambda _: 0

    @property
    def n_series(self) -> int:
        """How many of the arguments are series; they come first."""
        return sum(argument.kind is Kind.SERIES for argument in self.arguments)

    @property
    def signature(self) -> str:
        """The call as the manual shows it: `ts_quantile(x, n, q)`."""
        return f"{self.name}({', '.join(argument.name for argument in self.arguments)})"


_X, _Y = Argument("x"), Argument("y")


def _elementwise(
    name: str, arguments: tuple[Argument, ...], unit: UnitRule, definition: str, **more: object
) -> Operator:
    return Operator(name, Group.ELEMENTWISE, arguments, unit, definition, **more)  # type: ignore[arg-type]


def _time(
    name: str,
    definition: str,
    unit: UnitRule = UnitRule.SAME,
    *,
    least: int = 2,
    series: tuple[Argument, ...] = (_X,),
    numbers: tuple[Argument, ...] = (),
    rows_before: Callable[[int], int] = lambda n: n - 1,
    undefined: str = "",
    is_commutative: bool = False,
) -> Operator:
    arguments = (*series, Argument("n", Kind.WINDOW, low=least), *numbers)
    return Operator(
        name,
        Group.TIME,
        arguments,
        unit,
        definition,
        undefined,
        is_commutative=is_commutative,
        rows_before=rows_before,
    )


def _itself(n: int) -> int:
    return n


_FLAT = "the n values do not differ"
_CLIP = (_X, Argument("low", Kind.NUMBER), Argument("high", Kind.NUMBER))
_SHARE = (Argument("q", Kind.NUMBER, low=0, high=1),)

_TABLE = (
    _elementwise("add", (_X, _Y), UnitRule.SAME, "x + y", symbol="+", is_commutative=True),
    _elementwise("sub", (_X, _Y), UnitRule.SAME, "x - y", symbol="-"),
    _elementwise("mul", (_X, _Y), UnitRule.PRODUCT, "x y", symbol="*", is_commutative=True),
    _elementwise("div", (_X, _Y), UnitRule.QUOTIENT, "x / y", symbol="/", undefined="y is 0"),
    _elementwise("gt", (_X, _Y), UnitRule.ALIKE_TO_PLAIN, "1 where x > y, else 0", symbol=">"),
    _elementwise("ge", (_X, _Y), UnitRule.ALIKE_TO_PLAIN, "1 where x >= y, else 0", symbol=">="),
    _elementwise("lt", (_X, _Y), UnitRule.ALIKE_TO_PLAIN, "1 where x < y, else 0", symbol="<"),
    _elementwise("le", (_X, _Y), UnitRule.ALIKE_TO_PLAIN, "1 where x <= y, else 0", symbol="<="),
    _elementwise("neg", (_X,), UnitRule.SAME, "-x", symbol="-"),
    _elementwise("abs", (_X,), UnitRule.SAME, "x without its sign", is_idempotent=True),
    _elementwise("sign", (_X,), UnitRule.ANY_TO_PLAIN, "-1, 0 or 1", is_idempotent=True),
    _elementwise("log", (_X,), UnitRule.PLAIN, "natural logarithm", undefined="x is not above 0"),
    _elementwise("sqrt", (_X,), UnitRule.ROOT, "square root", undefined="x is below 0"),
    _elementwise("square", (_X,), UnitRule.SQUARE, "x x"),
    _elementwise("tanh", (_X,), UnitRule.PLAIN, "hyperbolic tangent, -1..1"),
    _elementwise("minimum", (_X, _Y), UnitRule.SAME, "the lower one", is_commutative=True),
    _elementwise("maximum", (_X, _Y), UnitRule.SAME, "the higher one", is_commutative=True),
    _elementwise("clip", _CLIP, UnitRule.SAME, "x, at least low and at most high"),
    _elementwise(
        "where",
        (Argument("condition"), _X, _Y),
        UnitRule.CHOICE,
        "x where the condition is not 0, else y; the one not taken may be NaN",
    ),
    _time("delay", "x of n candles ago", least=0, rows_before=_itself),
    _time("delta", "x less x of n candles ago", least=1, rows_before=_itself),
    _time("ts_mean", "mean of the last n values"),
    _time("ts_sum", "sum of the last n values"),
    _time("ts_std", "standard deviation of the last n values"),
    _time(
        "ts_zscore",
        "x less the mean of the last n values, in their standard deviations",
        UnitRule.ANY_TO_PLAIN,
        undefined=_FLAT,
    ),
    _time("ts_rank", "rank of x among the last n values, 0..1", UnitRule.ANY_TO_PLAIN),
    _time("ts_min", "lowest of the last n values"),
    _time("ts_max", "highest of the last n values"),
    _time(
        "ts_argmin",
        "candles since the lowest of the last n values, the newest where several are",
        UnitRule.ANY_TO_PLAIN,
    ),
    _time(
        "ts_argmax",
        "candles since the highest of the last n values, the newest where several are",
        UnitRule.ANY_TO_PLAIN,
    ),
    _time("ts_median", "median of the last n values"),
    _time(
        "ts_quantile",
        "quantile q of the last n values, linear between two of them",
        numbers=_SHARE,
    ),
    _time(
        "ts_skew",
        "skewness of the last n values: their third central moment over the second to the 1.5",
        UnitRule.ANY_TO_PLAIN,
        least=3,
        undefined=_FLAT,
    ),
    _time(
        "ts_corr",
        "correlation of the last n values of x and of y",
        UnitRule.ANY_TO_PLAIN,
        series=(_X, _Y),
        least=3,
        undefined="the n values of x or of y do not differ",
        is_commutative=True,
    ),
    _time(
        "ts_cov",
        "covariance of the last n values of x and of y",
        UnitRule.PRODUCT,
        series=(_X, _Y),
        is_commutative=True,
    ),
    _time("ts_slope", "slope a candle of the least-squares line through the last n values"),
    _time("ts_decay", "mean of the last n values, weights n (newest) to 1 (oldest)"),
    _time(
        "ewm",
        f"mean of the last {EWM_HALF_LIVES} n values, weights halved every n candles back",
        least=1,
        rows_before=lambda n: EWM_HALF_LIVES * n - 1,
    ),
    Operator(
        "rank",
        Group.CROSS,
        (_X,),
        UnitRule.ANY_TO_PLAIN,
        "rank among the pairs, 0..1",
        is_idempotent=True,
    ),
    Operator(
        "zscore",
        Group.CROSS,
        (_X,),
        UnitRule.POOLED_TO_PLAIN,
        "x less the mean of the pairs, in their standard deviations",
        "the pairs do not differ",
    ),
    Operator("demean", Group.CROSS, (_X,), UnitRule.POOLED, "x less the mean of the pairs"),
    Operator(
        "neutralize",
        Group.CROSS,
        (_X, _Y),
        UnitRule.POOLED,
        "residual of the least-squares line of x on y over the pairs that have both",
        "fewer than three pairs have both, or y does not differ among them",
    ),
)

OPERATORS: MappingProxyType[str, Operator] = MappingProxyType(
    {operator.name: operator for operator in _TABLE}
)
"""Name to operator, in the order of the manual."""

INFIX: MappingProxyType[str, Operator] = MappingProxyType(
    {o.symbol: o for o in _TABLE if o.symbol is not None and len(o.arguments) == 2}
)
"""Symbol to the operator written between its two arguments."""
