"""New expressions from old ones: mutation and crossover that keep units and bounds.

A part gives way to one of the same unit, mostly, and the result is checked by the language's own
checker, so that nothing ill-formed comes out. One state of the generator gives one result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from agent_market.errors import ExpressionError
from agent_market.expressions.canonical import canonical_form
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import OPERATORS, Kind, Operator
from agent_market.expressions.parser import check_expression
from agent_market.expressions.sampling import sample_expression
from agent_market.expressions.scope import Scope
from agent_market.expressions.units import PLAIN, PRICE, VOLUME, Unit, result_unit

_TRIES = 8
_WINDOW_SPREAD = 0.5
_NEW_DEPTH = 3
_ALIKE_SHARE = 0.7
_T = TypeVar("_T")


class Site(NamedTuple):
    """A series inside an expression: the way to it, itself, and its unit."""

    path: tuple[int, ...]
    node: Node
    unit: Unit


class Variation:
    """Draws variations within a scope.

    Parameters
    ----------
    rng : numpy Generator
        Every draw is taken from it.
    scope : Scope
        Of what comes out.
    """

    def __init__(self, rng: np.random.Generator, scope: Scope) -> None:
        self._rng = rng
        self._scope = scope

    def sample(self, depth: int) -> Node:
        """Return a new expression that is a plain number, at most `depth` deep."""
        return canonical_form(sample_expression(self._rng, self._scope, depth=depth))

    def crossover(self, parent: Node, donor: Node) -> Node | None:
        """Return `parent` with a part of `donor` in the place of one of its own.

        None where that makes nothing new within the bounds, here and below.
        """
        return self._attempt(parent, lambda: self._crossed(parent, donor))

    def mutate_subtree(self, parent: Node) -> Node | None:
        """Return `parent` with a new part in the place of one."""
        return self._attempt(parent, lambda: self._with_new_part(parent))

    def mutate_point(self, parent: Node) -> Node | None:
        """Return `parent` with one operator or series exchanged for another of its kind."""
        return self._attempt(parent, lambda: self._with_new_name(parent))

    def mutate_literal(self, parent: Node) -> Node | None:
        """Return `parent` with one window or number moved a little."""
        return self._attempt(parent, lambda: self._with_moved_literal(parent))

    def hoist(self, parent: Node) -> Node | None:
        """Return `parent` with a part in the place of what was made of it."""
        return self._attempt(parent, lambda: self._without_a_call(parent))

    def wrap(self, parent: Node) -> Node | None:
        """Return `parent` with a part as an argument of an operator drawn anew."""
        return self._attempt(parent, lambda: self._wrapped(parent))

    def _attempt(self, parent: Node, make: Callable[[], Node | None]) -> Node | None:
        for _ in range(_TRIES):
            made = make()
            if made is None:
                continue
            try:
                node = canonical_form(made)
                if check_expression(node, self._scope).unit == PLAIN and node != parent:
                    return node
            except ExpressionError:  # out of bounds, or a constant is left
                continue
        return None

    def _crossed(self, parent: Node, donor: Node) -> Node | None:
        site, is_alike = self._pick(sites(parent)), self._rng.random() < _ALIKE_SHARE
        parts = [part.node for part in sites(donor) if part.unit == site.unit or not is_alike]
        return replace_at(parent, site.path, self._pick(parts)) if parts else None

    def _with_new_part(self, parent: Node) -> Node:
        site = self._pick(sites(parent))
        depth = int(self._rng.integers(1, _NEW_DEPTH + 1))
        return replace_at(parent, site.path, self._new_part(depth, site.unit))

    def _new_part(self, depth: int, unit: Unit) -> Node:
        """Return a part of `unit`, or now and then of another: many operators take any."""
        units = [known for known in (PLAIN, PRICE, VOLUME) if leaves(self._scope, known)]
        if unit not in units or self._rng.random() >= _ALIKE_SHARE:
            unit = self._pick(units)
        return sample_expression(self._rng, self._scope, depth=depth, unit=unit)

    def _with_new_name(self, parent: Node) -> Node | None:
        site = self._pick(sites(parent))
        if isinstance(site.node, Call):
            others = alike(OPERATORS[site.node.operator])
            return (
                replace_at(parent, site.path, Call(self._pick(others), site.node.args))
                if others
                else None
            )
        if isinstance(site.node, At):
            return replace_at(parent, site.path, site.node.body)
        return replace_at(parent, site.path, self._pick(leaves(self._scope, site.unit)))

    def _with_moved_literal(self, parent: Node) -> Node | None:
        found = literals(parent)
        if not found:
            return None
        path, constant, is_window = self._pick(found)
        factor = math.exp(self._rng.normal(0, _WINDOW_SPREAD))
        if is_window:
            moved = round(constant.value * factor)
            value = float(moved if moved != constant.value else moved + self._pick((-1, 1)))
        else:
            value = float(f"{constant.value * factor * self._pick((1, 1, 1, -1)):.2g}")
        return replace_at(parent, path, Constant(value))

    def _without_a_call(self, parent: Node) -> Node | None:
        calls = [site for site in sites(parent) if len(sites(site.node)) > 1]
        if not calls:
            return None
        site = self._pick(calls)
        return replace_at(parent, site.path, self._pick(sites(site.node)[1:]).node)

    def _wrapped(self, parent: Node) -> Node | None:
        site = self._pick(sites(parent))
        frame = self._new_part(2, site.unit)
        edges = [edge for edge in sites(frame) if edge.path and edge.unit == site.unit]
        if not edges:
            return None
        part = replace_at(frame, self._pick(edges).path, site.node)
        return replace_at(parent, site.path, part)

    def _pick(self, choices: Sequence[_T]) -> _T:
        return choices[int(self._rng.integers(len(choices)))]


def leaves(scope: Scope, unit: Unit) -> list[Node]:
    """Return the series and features of `scope` that have the unit."""
    names = [name for name in INPUTS if scope.inputs is None or name in scope.inputs]
    found: list[Node] = [Input(name) for name in names if INPUTS[name].unit == unit]
    return found + [Feature(name) for name in sorted(scope.features or ()) if unit == PLAIN]


def sites(node: Node) -> list[Site]:
    """Return every series of a well-formed expression, itself first; constants are left out."""
    found: list[Site] = []
    _collect(node, (), found)
    return sorted(found, key=lambda site: site.path)


def replace_at(node: Node, path: Sequence[int], part: Node) -> Node:
    """Return `node` with `part` at `path`."""
    if not path:
        return part
    if isinstance(node, At):
        return At(node.timeframe, replace_at(node.body, path[1:], part))
    if not isinstance(node, Call):
        raise ExpressionError(f"{node} has no part {path[0]}. Take a path from `sites`.")
    args = list(node.args)
    args[path[0]] = replace_at(args[path[0]], path[1:], part)
    return Call(node.operator, tuple(args))


def _collect(node: Node, path: tuple[int, ...], found: list[Site]) -> Unit | None:
    """Add the series at and below `node`; return its unit, None for a constant."""
    unit: Unit | None = PLAIN
    if isinstance(node, Constant):
        return None
    if isinstance(node, Input):
        unit = INPUTS[node.name].unit
    elif isinstance(node, At):
        unit = _collect(node.body, (*path, 0), found)
    elif isinstance(node, Call):
        operator = OPERATORS[node.operator]
        series = node.args[: operator.n_series]
        units = [_collect(arg, (*path, place), found) for place, arg in enumerate(series)]
        unit = result_unit(operator.unit, units)
    if unit is not None:
        found.append(Site(path, node, unit))
    return unit


def literals(
    node: Node, path: tuple[int, ...] = ()
) -> list[tuple[tuple[int, ...], Constant, bool]]:
    """Return the way to each constant, itself, and whether it is a window."""
    if isinstance(node, At):
        return literals(node.body, (*path, 0))
    if not isinstance(node, Call):
        return []
    found = []
    for place, (argument, arg) in enumerate(
        zip(OPERATORS[node.operator].arguments, node.args, strict=True)
    ):
        if isinstance(arg, Constant):
            found.append(((*path, place), arg, argument.kind is Kind.WINDOW))
        else:
            found.extend(literals(arg, (*path, place)))
    return found


def alike(operator: Operator) -> list[str]:
    """Return the other operators that take the same kinds of arguments."""
    kinds = [argument.kind for argument in operator.arguments]
    return [
        other.name
        for other in OPERATORS.values()
        if other is not operator and [argument.kind for argument in other.arguments] == kinds
    ]
