"""Random expressions that are well-formed by construction: for search, and for tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from agent_market.errors import ExpressionError
from agent_market.expressions.checker import Fault, timeframe_ratio
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import OPERATORS, Argument, Group, Kind, Operator
from agent_market.expressions.scope import Scope
from agent_market.expressions.units import PLAIN, PRICE, VOLUME, Unit, UnitRule

_LEAF_SHARE = 0.1
_AT_SHARE = 0.05
_CONSTANT_SHARE = 0.3
_TIMEFRAMES = ("15m", "1h", "4h", "1d")
_NUMBERS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LONGEST_WINDOW = 288
_KEEP_UNITS = (UnitRule.SAME, UnitRule.PRODUCT, UnitRule.QUOTIENT, UnitRule.CHOICE)
_EVERYWHERE = Scope()
_T = TypeVar("_T")


class _Room(NamedTuple):
    """What is left for a part of the expression."""

    depth: int
    n_nodes: int
    lookback: int
    timeframe: str


def sample_expression(
    rng: np.random.Generator, scope: Scope = _EVERYWHERE, *, depth: int = 4, unit: Unit = PLAIN
) -> Node:
    """Return a random expression of `unit`, at most `depth` deep, within the bounds of `scope`.

    `unit` is a plain number, a price or a volume. One state of `rng` gives one expression.

    Raises
    ------
    ExpressionError
        `scope` has no series of `unit`, or not `returns`.
    """
    return _Sampler(rng, scope).sample(depth, unit)


class _Sampler:
    """Grows an expression from its root: the unit asked for decides what may stand below."""

    def __init__(self, rng: np.random.Generator, scope: Scope) -> None:
        self._rng = rng
        self._scope = scope
        names = [name for name in INPUTS if scope.inputs is None or name in scope.inputs]
        self._series = {
            unit: [Input(name) for name in names if INPUTS[name].unit == unit]
            for unit in (PLAIN, PRICE, VOLUME)
        }
        self._features = [Feature(name) for name in sorted(scope.features or ())]
        self._units = [unit for unit, series in self._series.items() if series]

    def sample(self, depth: int, unit: Unit) -> Node:
        if not self._series.get(unit) or Input("returns") not in self._series[PLAIN]:
            raise ExpressionError(
                f"expressions of unit {unit} cannot be drawn from the inputs "
                f"{sorted(self._scope.inputs or INPUTS)}. Give a series of that unit and `returns`."
            )
        bounds = self._scope.bounds
        depth = min(depth, bounds.max_depth)
        room = _Room(depth, bounds.max_nodes, bounds.max_lookback, self._scope.timeframe)
        return self._grow(unit, room)

    def _grow(self, unit: Unit, room: _Room) -> Node:
        """Return a part of `unit`; at least one candle of lookback is left, for `returns`."""
        operators = self._operators(unit, room)
        if not operators or self._rng.random() < _LEAF_SHARE:
            return self._leaf(unit, room)
        timeframes = self._longer_timeframes(room)
        if timeframes and self._rng.random() < _AT_SHARE:
            timeframe, ratio = self._pick(timeframes)
            lookback = (room.lookback + 2) // ratio - 2
            below = _Room(room.depth - 1, room.n_nodes - 1, lookback, timeframe)
            return At(timeframe, self._grow(unit, below))
        return self._call(self._pick(operators), unit, room)

    def _leaf(self, unit: Unit, room: _Room) -> Node:
        features = self._features if unit == PLAIN else []
        if features and room.timeframe == self._scope.timeframe and self._rng.random() < 0.5:
            return self._pick(features)
        return self._pick(self._series[unit])

    def _operators(self, unit: Unit, room: _Room) -> list[Operator]:
        if room.depth <= 1:
            return []
        return [
            operator
            for operator in OPERATORS.values()
            if len(operator.arguments) < room.n_nodes
            and operator.rows_before(_least_window(operator)) < room.lookback
            and (unit == PLAIN or operator.unit in _KEEP_UNITS)
        ]

    def _longer_timeframes(self, room: _Room) -> list[tuple[str, int]]:
        found = []
        for timeframe in self._scope.timeframes or _TIMEFRAMES:
            try:
                ratio = timeframe_ratio(timeframe, room.timeframe, self._scope)
            except Fault:
                continue
            if (room.lookback + 2) // ratio > 2:
                found.append((timeframe, ratio))
        return found

    def _call(self, operator: Operator, unit: Unit, room: _Room) -> Node:
        units = self._argument_units(operator, unit)
        literals, rows = self._literals(operator, room)
        below = room._replace(
            depth=room.depth - 1,
            n_nodes=(room.n_nodes - 1 - len(literals)) // len(units),
            lookback=room.lookback - rows,
        )
        series: list[Node] = [self._grow(each, below) for each in units]
        if operator.group is Group.ELEMENTWISE and len(units) == 2:
            series = self._with_constant(series, units)
        return Call(operator.name, (*series, *literals))

    def _with_constant(self, series: list[Node], units: Sequence[Unit]) -> list[Node]:
        """Return the arguments with, now and then, a constant for one that is a plain number."""
        places = [place for place, unit in enumerate(units) if unit == PLAIN]
        if places and self._rng.random() < _CONSTANT_SHARE:
            series[self._pick(places)] = Constant(self._pick(_NUMBERS) * self._pick((-1, 1)))
        return series

    def _argument_units(self, operator: Operator, unit: Unit) -> list[Unit]:
        """Return units of the series from which the operator makes `unit`."""
        rule, n_series = operator.unit, operator.n_series
        if rule is UnitRule.ANY_TO_PLAIN:
            return [self._pick(self._units) for _ in range(n_series)]
        if rule is UnitRule.ALIKE_TO_PLAIN or (rule is UnitRule.QUOTIENT and unit == PLAIN):
            return [self._pick(self._units)] * n_series
        if rule in (UnitRule.PRODUCT, UnitRule.QUOTIENT):
            return [unit, PLAIN]
        if rule is UnitRule.CHOICE:
            return [PLAIN, unit, unit]
        return [unit] * n_series

    def _literals(self, operator: Operator, room: _Room) -> tuple[list[Constant], int]:
        """Return windows and numbers, and the rows that they make the operator look back."""
        arguments = operator.arguments[operator.n_series :]
        windows = [argument for argument in arguments if argument.kind is Kind.WINDOW]
        numbers = [argument for argument in arguments if argument.kind is Kind.NUMBER]
        drawn = [self._window(operator, room) for _ in windows]
        rows = operator.rows_before(drawn[0]) if drawn else 0
        return [*map(Constant, drawn), *map(Constant, self._numbers(numbers))], rows

    def _window(self, operator: Operator, room: _Room) -> int:
        low = _least_window(operator)
        high = max(low, min(_LONGEST_WINDOW, self._scope.bounds.max_window))
        while high > low and operator.rows_before(high) >= room.lookback:
            high = max(low, high // 2)
        return round(math.exp(self._rng.uniform(math.log(low), math.log(high))))

    def _numbers(self, arguments: Sequence[Argument]) -> list[float]:
        if len(arguments) == 1:  # a share
            return [self._pick(_QUANTILES)]
        limit = self._pick(_NUMBERS)
        return [-limit, limit] if arguments else []

    def _pick(self, choices: Sequence[_T]) -> _T:
        return choices[int(self._rng.integers(len(choices)))]


def _least_window(operator: Operator) -> int:
    """Return the shortest window worth drawing; 0 where the operator takes none."""
    lows = [int(a.low) for a in operator.arguments if a.kind is Kind.WINDOW]
    return max(1, *lows) if lows else 0
