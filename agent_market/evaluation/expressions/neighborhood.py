"""All expressions one step away from one: what a local search looks at, leaving nothing out.

Variation draws at random and mostly far away; a candidate that is nearly right is bettered by one
small step of a few hundred, which chance finds late. The steps are those a reader would try:
another window or number, another operator or series, a part left out, an operator put around one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import combinations, product
from types import MappingProxyType

from agent_market.errors import ExpressionError
from agent_market.expressions.canonical import canonical_form, expression_hash
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import OPERATORS, Kind, Operator
from agent_market.expressions.parser import check_expression
from agent_market.expressions.scope import Scope
from agent_market.expressions.units import PLAIN, PRICE, VOLUME
from agent_market.expressions.variation import alike, leaves, literals, replace_at, sites

_FACTORS = (1 / 2, 2 / 3, 5 / 6, 6 / 5, 3 / 2, 2.0)
_WINDOWS = (6, 24, 96)
_SCALES = ("ts_mean", "ts_std")
_TWO_AND_A_WINDOW = [Kind.SERIES, Kind.SERIES, Kind.WINDOW]
_KEPT = 4096


class Neighborhood:
    """The neighbors of expressions within a scope.

    Parameters
    ----------
    scope : Scope
        Neighbors out of its bounds, or that are no plain number, are left out.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._leaves = [leaf for unit in (PLAIN, PRICE, VOLUME) for leaf in leaves(scope, unit)]
        self.of = lru_cache(_KEPT)(self._of)
        self.tuned = lru_cache(_KEPT)(self._tuned)

    def shallow(self) -> tuple[Node, ...]:
        """Return all small expressions: of one series, of two, and each of them among the pairs.

        What has the unit of its series is divided by that. What is planted deep mostly shows in one
        of them, which chance may never draw.
        """
        found = dict.fromkeys(node for leaf in self._leaves for node in self.of(leaf).values())
        for leaf in self._leaves:
            ratios = (self._well_formed(Call("div", (part, leaf))) for part in _wrapped(leaf))
            found |= dict.fromkeys(form for form in ratios if form is not None)
        for operator in OPERATORS.values():
            if [argument.kind for argument in operator.arguments] == _TWO_AND_A_WINDOW:
                for (x, y), window in product(combinations(self._leaves, 2), _WINDOWS):
                    form = self._well_formed(Call(operator.name, (x, y, Constant(window))))
                    if form is not None:
                        found[form] = None
        among = [self._well_formed(Call("zscore", (node,))) for node in found]
        return tuple({**found, **dict.fromkeys(form for form in among if form is not None)})

    def _of(self, node: Node) -> Mapping[str, Node]:
        """Return the canonical forms of all neighbors by their hashes, in a fixed order."""
        steps = (self._literals, self._operators, self._series, self._without, self._around)
        return self._forms(node, (made for step in steps for made in step(node)))

    def _tuned(self, node: Node) -> Mapping[str, Node]:
        """Return those neighbors that differ in one number."""
        return self._forms(node, self._literals(node))

    def _forms(self, node: Node, made: Iterable[Node]) -> Mapping[str, Node]:
        forms = (self._well_formed(each) for each in made)
        found = dict.fromkeys(form for form in forms if form is not None and form != node)
        return MappingProxyType({expression_hash(form): form for form in found})

    def _well_formed(self, made: Node) -> Node | None:
        try:
            form = canonical_form(made)
            return form if check_expression(form, self._scope).unit == PLAIN else None
        except ExpressionError:  # out of bounds, or units that do not fit
            return None

    def _literals(self, node: Node) -> Iterator[Node]:
        for path, constant, is_window in literals(node):
            moved = {constant.value * factor for factor in _FACTORS}
            if is_window:
                moved = {float(round(value)) for value in moved}
                moved |= {constant.value - 1, constant.value + 1}
            for value in sorted(moved - {constant.value}):
                yield replace_at(node, path, Constant(value))

    def _operators(self, node: Node) -> Iterator[Node]:
        for site in sites(node):
            if isinstance(site.node, Call):
                for name in alike(OPERATORS[site.node.operator]):
                    yield replace_at(node, site.path, Call(name, site.node.args))

    def _series(self, node: Node) -> Iterator[Node]:
        for site in sites(node):
            if isinstance(site.node, Input | Feature):
                for leaf in self._leaves:
                    yield replace_at(node, site.path, leaf)

    def _without(self, node: Node) -> Iterator[Node]:
        for site in sites(node):
            if isinstance(site.node, At):
                yield replace_at(node, site.path, site.node.body)
            elif isinstance(site.node, Call):
                for part in site.node.args[: OPERATORS[site.node.operator].n_series]:
                    yield replace_at(node, site.path, part)

    def _around(self, node: Node) -> Iterator[Node]:
        for site in sites(node):
            for wrapped in _wrapped(site.node):
                yield replace_at(node, site.path, wrapped)
            for leaf in self._leaves:
                for name in ("mul", "div"):
                    yield replace_at(node, site.path, Call(name, (site.node, leaf)))


def _wrapped(part: Node) -> Iterator[Node]:
    """Yield a part inside each operator of one series, and beside its own mean and deviation."""
    for operator in OPERATORS.values():
        if operator.n_series == 1 and operator.name != "neg":
            for numbers in _windows(operator):
                yield Call(operator.name, (part, *numbers))
    for window in map(Constant, _WINDOWS):
        for scale in _SCALES:
            yield Call("div", (part, Call(scale, (part, window))))
        yield Call("sub", (part, Call("ts_mean", (part, window))))


def _windows(operator: Operator) -> Iterator[tuple[Constant, ...]]:
    """Yield the literals that an operator of one series is tried with; none with free numbers."""
    kinds = [argument.kind for argument in operator.arguments[1:]]
    if not kinds:
        yield ()
    elif kinds == [Kind.WINDOW]:
        yield from ((Constant(window),) for window in _WINDOWS)
