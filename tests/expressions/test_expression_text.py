"""Printing and parsing are inverse, and mean what Python means."""

import ast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_market.errors import ExpressionError
from agent_market.expressions import (
    At,
    Call,
    Constant,
    Feature,
    Input,
    Node,
    format_expression,
    parse_expression,
)
from tests.expressions.expression_samples import SCOPE, expressions

CLOSE = Input("close")
PYTHON = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Lt: "lt",
    ast.LtE: "le",
}


def as_python_reads(tree: ast.expr) -> Node:
    """Return our node for what Python's parser made of a text."""
    match tree:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Call("neg", (as_python_reads(operand),))
        case ast.BinOp(left=left, op=symbol, right=right):
            return Call(PYTHON[type(symbol)], (as_python_reads(left), as_python_reads(right)))
        case ast.Compare(left=left, ops=[symbol], comparators=[right]):
            return Call(PYTHON[type(symbol)], (as_python_reads(left), as_python_reads(right)))
        case ast.Call(func=ast.Name(id="feature"), args=[ast.Constant(value=name)]):
            return Feature(name)
        case ast.Call(func=ast.Name(id="at"), args=[ast.Constant(value=timeframe), body]):
            return At(timeframe, as_python_reads(body))
        case ast.Call(func=ast.Name(id=operator), args=args):
            return Call(operator, tuple(map(as_python_reads, args)))
        case ast.Constant(value=value):
            return Constant(value)
    assert isinstance(tree, ast.Name)
    return Input(tree.id)


def with_signs_in_constants(node: Node) -> Node:
    """Return the node with `-3` as a constant: to Python the sign is always an operator."""
    if isinstance(node, At):
        return At(node.timeframe, with_signs_in_constants(node.body))
    if not isinstance(node, Call):
        return node
    args = tuple(map(with_signs_in_constants, node.args))
    if node.operator == "neg" and isinstance(args[0], Constant):
        return Constant(-args[0].value)
    return Call(node.operator, args)


@given(expressions)
@settings(max_examples=500)
def test_that_a_text_reads_back_as_the_expression(node: Node) -> None:
    assert parse_expression(format_expression(node), SCOPE) == node


@given(expressions)
@settings(max_examples=500)
def test_that_python_reads_the_same_tree(node: Node) -> None:
    tree = ast.parse(format_expression(node), mode="eval").body
    assert with_signs_in_constants(as_python_reads(tree)) == with_signs_in_constants(node)


@given(expressions)
def test_that_no_bracket_could_be_left_out(node: Node) -> None:
    text = format_expression(node)
    pairs, opened = [], []
    for place, char in enumerate(text):
        if char == "(":
            opened.append(place)
        elif char == ")":
            pairs.append((opened.pop(), place))
    for first, last in pairs:
        if first and (text[first - 1].isalnum() or text[first - 1] == "_"):
            continue  # of a call
        shorter = text[:first] + text[first + 1 : last] + text[last + 1 :]
        try:
            assert parse_expression(shorter, SCOPE) != node, shorter
        except ExpressionError:
            continue


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
@example(1e15)
@example(123456789012345678.0)
@example(5e-324)
def test_that_a_number_keeps_every_bit(value: float) -> None:
    node = Call("add", (CLOSE, Constant(value)))
    assert parse_expression(format_expression(node)) == node


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_that_a_constant_is_finite(value: float) -> None:
    with pytest.raises(ExpressionError, match="is not finite"):
        Constant(value)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("add(close,mul(2.50,open))", "close + 2.5 * open"),
        ("((close)-((open-low)))", "close - (open - low)"),
        ("neg(neg(-3)) + close", "--(-3) + close"),
        ("(close < open) < (1)", "(close < open) < 1"),
        ("ts_mean(close, 24.0)", "ts_mean(close, 24)"),
        ("at('1h',close)/feature('x\"y')", 'at("1h", close) / feature(\'x"y\')'),
        ("close * 1e3 * 1E-7", "close * 1000 * 1e-07"),
    ],
)
def test_that_the_printed_form_is_the_shortest(text: str, printed: str) -> None:
    assert format_expression(parse_expression(text)) == printed
