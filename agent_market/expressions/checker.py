"""The rules that a well-formed call must keep: literals, units, bounds, lookback."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from agent_market.expressions.nodes import Constant, Node
from agent_market.expressions.operators import Argument, Group, Kind, Operator
from agent_market.expressions.scope import ExpressionBounds, Scope
from agent_market.expressions.units import Unit, UnitFault, result_unit
from agent_market.market.candles import timeframe_seconds

_TIMEFRAME = re.compile(r"[1-9][0-9]{0,3}[mhdw]")


class Traits(NamedTuple):
    """What is known of a well-formed expression.

    unit : of its values; None for a constant.
    depth : calls inside each other, 1 for a name; a sign adds none.
    n_nodes : series, constants and operators.
    lookback : candles before row t that row t uses, of the timeframe it stands at.
    """

    unit: Unit | None
    depth: int
    n_nodes: int
    lookback: int


class Fault(Exception):  # noqa: N818 - the parser turns it into an error with a position
    """A rule is broken by an argument, counted from 0, or by the call itself (None)."""

    def __init__(self, argument: int | None, message: str) -> None:
        super().__init__(message)
        self.argument = argument


def call_traits(
    operator: Operator,
    args: Sequence[Node],
    traits: Sequence[Traits],
    bounds: ExpressionBounds,
) -> Traits:
    """Return the traits of a call whose arguments are well-formed.

    Raises
    ------
    Fault
        A literal is missing or out of bounds, a unit does not fit, or the call is too large.
    """
    if len(args) != len(operator.arguments):
        wanted = len(operator.arguments)
        plural = "" if wanted == 1 else "s"
        raise Fault(
            None,
            f"takes {wanted} argument{plural}, found {len(args)}. Write {operator.signature}",
        )
    for place, (argument, node) in enumerate(zip(operator.arguments, args, strict=True)):
        if argument.kind is not Kind.SERIES:
            _check_literal(place, argument, node, bounds)
    _check_ascending(operator, args)
    return within_bounds(_combine(operator, args, traits), bounds)


def at_traits(ratio: int, body: Traits, bounds: ExpressionBounds) -> Traits:
    """Return the traits of `at(timeframe, body)`, `ratio` rows making one of its candles.

    The last closed candle may have closed up to ratio - 1 rows ago.
    """
    if body.unit is None:
        raise Fault(None, "is a constant. Put a series into it")
    lookback = (body.lookback + 2) * ratio - 2
    return within_bounds(
        Traits(body.unit, body.depth + 1, body.n_nodes + 1, lookback),
        bounds,
    )


def timeframe_ratio(timeframe: str, inside: str, scope: Scope) -> int:
    """Return how many candles of `inside` make one of `timeframe`.

    Raises
    ------
    Fault
        There is no such timeframe, or it is not a longer multiple of `inside`.
    """
    allowed = scope.timeframes
    if not _TIMEFRAME.fullmatch(timeframe):
        raise Fault(None, "is not of the form 15m, 1h or 1d")
    if allowed is not None and timeframe not in allowed:
        raise Fault(None, f"is not available. Timeframes: {', '.join(allowed) or 'none'}")
    ratio, rest = divmod(timeframe_seconds(timeframe), timeframe_seconds(inside))
    if rest or ratio < 2:
        raise Fault(None, f"is not a longer multiple of {inside}, the timeframe around it")
    return ratio


def within_bounds(traits: Traits, bounds: ExpressionBounds) -> Traits:
    """Return `traits`, or raise `Fault` where they are out of bounds."""
    for found, limit, what in (
        (traits.depth, bounds.max_depth, "is nested {} deep; at most {} are allowed"),
        (traits.n_nodes, bounds.max_nodes, "makes {} names, numbers and operators; at most {}"),
        (traits.lookback, bounds.max_lookback, "looks back {} candles; at most {} are allowed"),
    ):
        if found > limit:
            raise Fault(None, what.format(found, limit))
    return traits


def _check_literal(place: int, argument: Argument, node: Node, bounds: ExpressionBounds) -> None:
    is_window = argument.kind is Kind.WINDOW
    high = min(argument.high, bounds.max_window) if is_window else argument.high
    wanted = "a whole number of candles" if is_window else "a number"
    if not isinstance(node, Constant) or (is_window and not node.value.is_integer()):
        raise Fault(place, f"is not {wanted}, written as digits")
    if not argument.low <= node.value <= high:
        raise Fault(place, f"is {node.value:g}. Take {argument.low:g} to {high:g}")


def _check_ascending(operator: Operator, args: Sequence[Node]) -> None:
    numbers = [
        (place, node.value)
        for place, (argument, node) in enumerate(zip(operator.arguments, args, strict=True))
        if argument.kind is Kind.NUMBER and isinstance(node, Constant)
    ]
    for (_, before), (place, value) in pairwise(numbers):
        if value <= before:
            raise Fault(place, f"is {value:g}, not above the {before:g} before it")


def _combine(operator: Operator, args: Sequence[Node], traits: Sequence[Traits]) -> Traits:
    series = traits[: operator.n_series]
    units = [part.unit for part in series]
    if operator.group is not Group.ELEMENTWISE and None in units:
        raise Fault(units.index(None), "is a constant. Put a series there")
    try:
        unit = result_unit(operator.unit, units)
    except UnitFault as fault:
        raise Fault(fault.argument, str(fault)) from fault
    return Traits(
        unit=unit,
        depth=max(part.depth for part in series) + (operator.name != "neg"),
        n_nodes=1 + sum(part.n_nodes for part in traits),
        lookback=max(part.lookback for part in series)
        + operator.rows_before(window_of(operator, args)),
    )


def window_of(operator: Operator, args: Sequence[Node]) -> int:
    """Return the window among well-formed arguments; 0 where the operator takes none."""
    for argument, node in zip(operator.arguments, args, strict=True):
        if argument.kind is Kind.WINDOW and isinstance(node, Constant):
            return int(node.value)
    return 0
