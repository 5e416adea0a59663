"""A grammar, in llama.cpp's notation, of answers whose every expression is of the language.

It is made from the operators' table: the rules of units decide which series may stand where, and
each nesting level has its own rules, so that depth, size and lookback are bounded as well. It
knows fewer expressions than the language: prices, volumes, amounts of quote currency and plain
numbers, some windows to 288, a few numbers, no `at`. A new operator is in it by being in the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent_market.expressions import Scope
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.operators import OPERATORS, Argument, Group, Kind, Operator
from agent_market.expressions.units import PLAIN, PRICE, VOLUME, Unit, UnitFault, result_unit
from agent_market.llm.forms import FIELD

_UNITS = {
    "plain": PLAIN,
    "price": PRICE,
    "volume": VOLUME,
    "amount": PRICE.times(VOLUME),
}
_NAMES = {unit: name for name, unit in _UNITS.items()}
_LONGEST_WINDOW = 288
_WINDOWS = (2, 3, 5, 6, 8, 10, 12, 15, 20, 24, 30, 36, 48, 60, 72, 96, 120, 144, 192, 240, 288)
_NUMBERS = ("0.1", "0.5", "1", "2", "3", "10")
_SHARES = ("0.1", "0.25", "0.5", "0.75", "0.9")
_LIMITS = (("-1", "1"), ("-2", "2"), ("-3", "3"), ("0", "1"))
_MOST_FEATURES, _LONGEST_FEATURE = 48, 40
_DEEPEST = 4


class Reference(NamedTuple):
    """A rule by its name."""

    name: str


Part = str | Reference
Rules = dict[str, list[tuple[Part, ...]]]


class _Level(NamedTuple):
    """What the expressions of one nesting level have at most."""

    depth: int
    n_nodes: int
    lookback: int


def expression_rules(scope: Scope, depth: int = _DEEPEST) -> Rules:
    """Return the rules of expressions of a plain number, named `expression`.

    A rule is a list of alternatives, an alternative a sequence of texts and references. Everything
    that they make parses in `scope`.
    """
    return _Builder(scope, depth).rules()


def answer_grammar(scope: Scope, n: int, depth: int = _DEEPEST) -> str:
    """Return the grammar of a JSON object with a list of `n` expressions, as llama.cpp reads it."""
    item: tuple[Part, ...] = ('"', Reference("expression"), '"')
    items = [part for _ in range(n - 1) for part in (*item, ", ")]
    rules: Rules = {"root": [(f'{{"{FIELD}": [', *items, *item, "]}")]}
    return format_rules(rules | expression_rules(scope, depth))


def format_rules(rules: Rules) -> str:
    """Return rules as text, one a line."""
    lines = []
    for name, alternatives in rules.items():
        shown = " | ".join(" ".join(map(_format_part, parts)) for parts in alternatives)
        lines.append(f"{name} ::= {shown}\n")
    return "".join(lines)


def _format_part(part: Part) -> str:
    if isinstance(part, Reference):
        return part.name
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Builder:
    """Rules from the leaves up; `plain-2` makes plain numbers of at most two calls inside each."""

    def __init__(self, scope: Scope, depth: int) -> None:
        self._scope = scope
        self._wanted = min(depth, scope.bounds.max_depth)
        self._rules: Rules = {}
        self._levels: list[_Level] = []

    def rules(self) -> Rules:
        self._leaves()
        while self._levels[-1].depth < self._wanted and self._next_level():
            pass
        top = Reference(f"plain-{len(self._levels)}")
        return self._used({"expression": [(top,)], **self._rules}, "expression")

    def _leaves(self) -> None:
        inputs = self._scope.inputs
        names = [name for name in INPUTS if inputs is None or name in inputs]
        leaves: dict[str, list[tuple[Part, ...]]] = {name: [] for name in _UNITS}
        for name in names:
            leaves[_NAMES[INPUTS[name].unit]].append((name,))
        leaves["plain"] += [(f"feature('{name}')",) for name in self._features()]
        for name, alternatives in leaves.items():
            self._rules[f"{name}-1"] = alternatives
        self._rules["number"] = [(number,) for number in _NUMBERS]
        lookback = max((INPUTS[name].lookback for name in names), default=0)
        self._levels.append(_Level(1, 1, lookback))

    def _features(self) -> list[str]:
        return [
            name
            for name in sorted(self._scope.features or ())
            if len(name) <= _LONGEST_FEATURE
            and name.isascii()
            and name.isprintable()
            and not set(name) & set("'\"\\")
        ][:_MOST_FEATURES]

    def _next_level(self) -> bool:
        """Add the rules of one more call; False where the bounds leave no room for it."""
        below = self._levels[-1]
        bounds = self._scope.bounds
        most_arguments = max(len(operator.arguments) for operator in OPERATORS.values())
        n_nodes = 1 + most_arguments * below.n_nodes
        longest = self._longest_window()
        lookback = below.lookback + longest
        if n_nodes > bounds.max_nodes or lookback > bounds.max_lookback or longest < min(_WINDOWS):
            return False
        level = _Level(below.depth + 1, n_nodes, lookback)
        rules: dict[str, list[tuple[Part, ...]]] = {name: [] for name in _UNITS}
        for name in _UNITS:  # what is shallower is allowed as well
            if self._rules.get(f"{name}-{below.depth}"):
                rules[name].append((Reference(f"{name}-{below.depth}"),))
        for operator in OPERATORS.values():
            for name, parts in self._calls(operator, below.depth, longest):
                rules[name].append(parts)
        self._levels.append(level)
        for name, alternatives in rules.items():
            self._rules[f"{name}-{level.depth}"] = alternatives
        return True

    def _longest_window(self) -> int:
        """Return the rows that each level may look back, so that all levels together keep to it."""
        bounds = self._scope.bounds
        each = (bounds.max_lookback - self._levels[0].lookback) // max(1, self._wanted - 1)
        return min(_LONGEST_WINDOW, bounds.max_window, each)

    def _calls(
        self, operator: Operator, depth: int, longest: int
    ) -> Iterator[tuple[str, tuple[Part, ...]]]:
        """Yield the units that an operator makes and the calls that make them."""
        literals = self._literals(operator, longest)
        if literals is None:
            return
        for units in itertools.product(_UNITS, repeat=operator.n_series):
            made = _made(operator, units)
            series = [Reference(f"{unit}-{depth}") for unit in units]
            if made is None or not all(self._rules.get(each.name) for each in series):
                continue
            yield made, _call(operator, series, literals)
            if _takes_number(operator) and units[0] == made:
                yield made, _call(operator, [series[0], Reference("number")], literals)

    def _literals(self, operator: Operator, longest: int) -> list[Part] | None:
        """Return what follows the series; None where no window is short enough."""
        arguments = operator.arguments[operator.n_series :]
        literals: list[Part] = []
        numbers = [argument for argument in arguments if argument.kind is Kind.NUMBER]
        for argument in arguments:
            if argument.kind is Kind.WINDOW:
                name = self._windows(operator, argument, longest)
                if name is None:
                    return None
                literals.append(Reference(name))
        if len(numbers) == 1:
            self._rules["share"] = [(share,) for share in _SHARES]
            literals.append(Reference("share"))
        elif numbers:
            self._rules["limits"] = [(f"{low}, {high}",) for low, high in _LIMITS]
            literals.append(Reference("limits"))
        return literals

    def _windows(self, operator: Operator, argument: Argument, longest: int) -> str | None:
        fitting = [
            window
            for window in _WINDOWS
            if window >= max(argument.low, 1)
            and window <= self._scope.bounds.max_window
            and operator.rows_before(window) <= longest
        ]
        if not fitting:
            return None
        name = f"window-{fitting[0]}-{fitting[-1]}"
        self._rules[name] = [(str(window),) for window in fitting]
        return name

    @staticmethod
    def _used(rules: Rules, start: str) -> Rules:
        """Return the rules that can be reached, in their order."""
        reached, waiting = {start}, [start]
        while waiting:
            for parts in rules[waiting.pop()]:
                for part in parts:
                    if isinstance(part, Reference) and part.name not in reached:
                        reached.add(part.name)
                        waiting.append(part.name)
        return {name: alternatives for name, alternatives in rules.items() if name in reached}


def _made(operator: Operator, units: Sequence[str]) -> str | None:
    given: list[Unit | None] = [_UNITS[unit] for unit in units]
    try:
        unit = result_unit(operator.unit, given)
    except UnitFault:
        return None
    return None if unit is None else _NAMES.get(unit)


def _takes_number(operator: Operator) -> bool:
    return operator.group is Group.ELEMENTWISE and operator.n_series == 2 == len(operator.arguments)


def _call(operator: Operator, series: Sequence[Part], literals: Sequence[Part]) -> tuple[Part, ...]:
    if operator.symbol is not None:
        before = ("(",) if len(series) == 2 else (f"({operator.symbol}",)
        inner = (series[0], f" {operator.symbol} ", series[1]) if len(series) == 2 else series
        return (*before, *inner, ")")
    arguments = [*series, *literals]
    listed: list[Part] = []
    for place, argument in enumerate(arguments):
        listed += [argument] if place == 0 else [", ", argument]
    return (f"{operator.name}(", *listed, ")")
