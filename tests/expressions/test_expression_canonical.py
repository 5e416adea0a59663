"""The canonical form: one for what says the same, and never another value."""

import hashlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.expressions import (
    At,
    Call,
    Constant,
    Input,
    Node,
    canonical_form,
    check_expression,
    expression_hash,
    format_expression,
    parse_expression,
)
from agent_market.expressions.nodes import walk
from tests.expressions.expression_samples import SCOPE, expressions

FloatArray = npt.NDArray[np.float64]


def delayed(x: FloatArray, n: FloatArray) -> FloatArray:
    return np.concatenate([np.full(int(n), np.nan), x])[: len(x)]


def windowed(reduce: Callable[..., FloatArray]) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def compute(x: FloatArray, n: FloatArray) -> FloatArray:
        return reduce(np.stack([delayed(x, np.float64(lag)) for lag in range(int(n))]), axis=0)

    return compute


EXACT: dict[str, Callable[..., FloatArray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda x, y: np.divide(x, np.where(y == 0, np.nan, y)),
    "gt": lambda x, y: np.where(np.isnan(x + y), np.nan, x > y),
    "ge": lambda x, y: np.where(np.isnan(x + y), np.nan, x >= y),
    "lt": lambda x, y: np.where(np.isnan(x + y), np.nan, x < y),
    "le": lambda x, y: np.where(np.isnan(x + y), np.nan, x <= y),
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "delay": delayed,
    "delta": lambda x, n: x - delayed(x, n),
    "ts_min": windowed(np.min),
    "ts_max": windowed(np.max),
}
"""Small definitions of the operators that are rewritten."""


def value(node: Node, inputs: dict[str, FloatArray]) -> FloatArray:
    if isinstance(node, Constant):
        return np.float64(node.value)  # type: ignore[return-value]
    if isinstance(node, Input):
        return inputs[node.name]
    assert isinstance(node, Call)
    with np.errstate(all="ignore"):
        result = EXACT[node.operator](*(value(arg, inputs) for arg in node.args))
    return np.where(np.isfinite(result), result, np.nan)


def arithmetic(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Return calls of the rewritten operators, plain numbers all of them."""
    numbers = st.sampled_from([Constant(c) for c in (-2, -1, 0, 1, 2, 0.1)])
    either = below | numbers
    window = st.integers(2, 4).map(Constant)

    def calls(operators: str, *args: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        return st.builds(Call, st.sampled_from(operators.split()), st.tuples(*args))

    infix = "add sub mul div gt ge lt le minimum maximum"
    return st.one_of(
        calls(infix, either, either),
        calls(infix, below, below).map(lambda call: Call(call.operator, (call.args[0],) * 2)),
        calls("neg neg neg abs sign square", below),
        calls("delay delta ts_min ts_max", below.filter(names_a_series), window),
        below.filter(names_a_series).map(
            lambda x: Call("sub", (x, Call("delay", (x, Constant(2)))))
        ),
        below.filter(names_a_series).map(lambda x: Call("delay", (x, Constant(0)))),
    )


def names_a_series(node: Node) -> bool:
    return any(name in format_expression(node) for name in ("returns", "funding"))


formulas = st.recursive(
    st.sampled_from([Input("returns"), Input("funding")]), arithmetic, max_leaves=8
)


@given(expressions)
@settings(max_examples=500)
def test_that_the_canonical_form_is_final_and_no_larger(node: Node) -> None:
    canonical = canonical_form(node)
    assert canonical_form(canonical) == canonical
    before, after = check_expression(node, SCOPE), check_expression(canonical, SCOPE)
    assert after.unit == before.unit
    for now, then in zip(after[1:], before[1:], strict=True):
        assert now <= then


@given(formulas, st.integers(0, 99))
@settings(max_examples=600)
def test_that_the_canonical_form_has_the_same_value_to_the_bit(node: Node, seed: int) -> None:
    rng = np.random.default_rng(seed)
    few = np.array([-1.5, -0.1, 0.0, 0.3, 7.0, np.nan])
    inputs = {"funding": rng.choice(few, 12), "returns": rng.normal(size=12)}
    canonical = canonical_form(node)
    assert canonical_form(canonical) == canonical
    np.testing.assert_array_equal(value(canonical, inputs), value(node, inputs))


SAME = [
    ["close * volume", "volume * close", "mul(volume, close)", "--close * volume * 1 + 0"],
    ["close * close", "square(close)", "square(-close)", "-close * -close"],
    [
        "close - delay(close, 3)",
        "delta(close, 3)",
        "-(delay(close, 3) - close)",
        "-delta(-close, 3)",
    ],
    ["close > open", "open < close", "gt(close, open)"],
    ["close >= open", "open <= close"],
    ["close - open", "close + -open", "-open + close", "-(open - close)", "close - open - 0"],
    ["returns - 1", "returns + -1", "-1 + returns", "-(1 - returns)", "returns - (3 - 2)"],
    ["1 - returns", "-returns + 1", "-(returns - 1)", "-(returns + -1)"],
    ["-(returns * 2)", "returns * -2", "-2 * returns", "-returns * 2", "2 * -returns"],
    ["returns / -2", "-(returns / 2)", "-returns / 2"],
    ["-close / open", "close / -open", "-(close / open)", "0 - close / open"],
    ["funding - returns * 2", "funding + returns * -2", "-2 * returns + funding"],
    ["abs(close - open)", "abs(open - close)", "abs(-(close - open))", "abs(abs(open - close))"],
    ["rank(rank(returns))", "rank(returns)"],
    ["ts_max(-returns, 9)", "-ts_min(returns, 9)"],
    ["minimum(close, close)", "close", "delay(close, 0)", "maximum(close, delay(close, 0))"],
    ["ts_corr(close, volume, 9)", "ts_corr(volume, close, 9)"],
    ["at('1h', close * volume)", "at('1h', volume * close)"],
    ["close * 0.5", "close * (1 / 2)", "close * sqrt(0.25)", "close * clip(2, 0.1, 0.5)"],
]


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_that_what_says_the_same_has_one_hash(texts: list[str]) -> None:
    forms = {format_expression(canonical_form(parse_expression(text))) for text in texts}
    assert len(forms) == 1
    assert len({expression_hash(parse_expression(text)) for text in texts}) == 1


def test_that_what_says_something_else_has_another_hash() -> None:
    hashes = [expression_hash(parse_expression(texts[0])) for texts in SAME]
    assert len(set(hashes)) == len(SAME)
    for first, second in pairwise(
        ["close - open", "open - close", "-close - open", "close / open"]
    ):
        assert expression_hash(parse_expression(first)) != expression_hash(parse_expression(second))


@pytest.mark.parametrize(
    "text",
    [
        "close - close",  # NaN where the close is
        "close / close",
        "close * 0",
        "close + open + high",  # another order rounds differently
        "close * (1 / 0)",
        "close * sqrt(-1)",
        "close * (1e200 * 1e201)",
        "where(1, close, open)",
    ],
)
def test_that_nothing_is_folded_that_could_change_a_value(text: str) -> None:
    node = parse_expression(text)
    assert len(list(walk(canonical_form(node)))) == len(list(walk(node)))


def test_that_the_hash_is_of_the_canonical_text_and_the_same_everywhere() -> None:
    node = parse_expression("rank(volume * -close + 1)")
    assert format_expression(canonical_form(node)) == "rank(1 - close * volume)"
    assert expression_hash(node) == hashlib.sha256(b"rank(1 - close * volume)").hexdigest()


def test_that_a_timeframe_is_part_of_the_hash() -> None:
    hours = At("1h", Input("close")), At("4h", Input("close"))
    assert len({expression_hash(node) for node in (*hours, Input("close"))}) == 3
