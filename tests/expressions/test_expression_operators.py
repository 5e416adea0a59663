"""The table of operators: in order, and told to the user as it is."""

import math
from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ExpressionError
from agent_market.expressions import (
    Call,
    ExpressionBounds,
    Node,
    Scope,
    check_expression,
    format_expression,
    parse_expression,
    sample_expression,
)
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.nodes import walk
from agent_market.expressions.operators import OPERATORS, Group, Kind, Operator
from agent_market.expressions.printer import PRECEDENCE
from agent_market.expressions.units import PLAIN, PRICE, VOLUME
from tests.expressions.expression_samples import SCOPE

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "expressions.md"


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_that_an_operator_has_series_then_a_window_then_numbers(operator: Operator) -> None:
    order = [Kind.SERIES, Kind.WINDOW, Kind.NUMBER]
    kinds = [order.index(argument.kind) for argument in operator.arguments]
    assert kinds == sorted(kinds)
    assert kinds.count(0) == operator.n_series >= 1
    assert kinds.count(1) == (operator.group is Group.TIME)
    assert not operator.is_commutative or operator.n_series == 2
    assert operator.symbol is None or operator.name == "neg" or operator.symbol in PRECEDENCE


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_that_no_operator_looks_ahead(operator: Operator) -> None:
    lows = [a.low for a in operator.arguments if a.kind is Kind.WINDOW]
    assert all(low >= 0 for low in lows)
    rows = [operator.rows_before(window) for window in range(int(max(lows, default=0)), 99)]
    assert rows == sorted(rows) and rows[0] >= 0


def windows_of(operator: Operator) -> str:
    return ", ".join(
        f"{argument.name} from {argument.low:g}"
        + (f" to {argument.high:g}" if argument.high < math.inf else "")
        for argument in operator.arguments
        if argument.low > -math.inf
    )


def manual_row(operator: Operator) -> str:
    names = [argument.name for argument in operator.arguments]
    usage = operator.signature
    if operator.symbol is not None:
        usage = f" {operator.symbol} ".join(names) if len(names) == 2 else f"{operator.symbol}x"
    return (
        f"| `{usage}` | {operator.definition} | {operator.undefined} | {operator.unit.value} "
        f"| {windows_of(operator)} |"
    )


def test_that_the_manual_lists_every_operator_as_it_is() -> None:
    text = MANUAL.read_text()
    missing = [row for row in map(manual_row, OPERATORS.values()) if row not in text]
    assert not missing, "\n".join(missing)
    listed = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 6]
    assert len(listed) == len(OPERATORS)


def test_that_the_manual_lists_every_series_and_bound_as_it_is() -> None:
    text = MANUAL.read_text()
    for name, series in INPUTS.items():
        assert f"| `{name}` | {series.definition} | {series.unit} |" in text
    for name, bound in ExpressionBounds():
        assert f"| `{name}` | {bound} |" in text


def test_that_the_manual_s_expressions_are_valid() -> None:
    text = MANUAL.read_text()
    examples = [
        line.split("#")[0].strip()
        for block in text.split("```alpha\n")[1:]
        for line in block.split("```")[0].splitlines()
    ]
    assert len(examples) >= 5
    for example in examples:
        assert format_expression(parse_expression(example)) == example


@pytest.mark.parametrize("unit", [PLAIN, PRICE, VOLUME], ids=str)
@pytest.mark.parametrize("depth", [1, 3, 10])
def test_that_drawn_expressions_are_valid(unit: object, depth: int) -> None:
    rng = np.random.default_rng(depth)
    for _ in range(100):
        node = sample_expression(rng, SCOPE, depth=depth, unit=unit)  # type: ignore[arg-type]
        traits = check_expression(node, SCOPE)
        assert traits.unit == unit and traits.depth <= depth


@pytest.mark.parametrize(
    "bounds",
    [
        ExpressionBounds(max_nodes=3, max_depth=2),
        ExpressionBounds(max_lookback=1),
        ExpressionBounds(max_lookback=30, max_window=5),
        ExpressionBounds(max_depth=32, max_nodes=150, max_characters=20_000),
    ],
    ids=lambda bounds: str(bounds.max_nodes) + "-" + str(bounds.max_lookback),
)
def test_that_drawn_expressions_keep_any_bounds(bounds: ExpressionBounds) -> None:
    rng = np.random.default_rng(1)
    scope = Scope(bounds=bounds, timeframes=("15m", "1h"))
    for _ in range(100):
        check_expression(sample_expression(rng, scope, depth=bounds.max_depth), scope)


def drawn(count: int, seed: int) -> list[Node]:
    rng = np.random.default_rng(seed)
    return [sample_expression(rng, SCOPE, depth=6) for _ in range(count)]


def test_that_every_operator_is_drawn_and_a_seed_repeats() -> None:
    nodes = drawn(1000, seed=3)
    found = {part.operator for node in nodes for part in walk(node) if isinstance(part, Call)}
    assert found == set(OPERATORS)
    assert drawn(20, seed=3) == nodes[:20] != drawn(20, seed=4)


def test_that_nothing_is_drawn_that_is_not_there() -> None:
    scope = Scope(inputs=frozenset({"close", "returns"}), timeframes=())
    rng = np.random.default_rng(0)
    for _ in range(100):
        check_expression(sample_expression(rng, scope, unit=PRICE), scope)
    with pytest.raises(ExpressionError, match="Give a series of that unit and `returns`"):
        sample_expression(rng, scope, unit=VOLUME)
