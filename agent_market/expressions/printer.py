"""Expressions as text: the inverse of the parser, with no bracket that could be left out."""

from __future__ import annotations

from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import OPERATORS

PRECEDENCE = {">": 1, ">=": 1, "<": 1, "<=": 1, "+": 2, "-": 2, "*": 3, "/": 3}
"""How tightly a symbol between two arguments binds; equals bind from the left."""

COMPARISON, _SIGN, _ATOM = 1, 4, 5
_EXACT_IN_DIGITS = 1e15


def format_expression(node: Node) -> str:
    """Return the text of an expression: `parse_expression` makes an equal node of it."""
    return _render(node)[0]


def format_number(value: float) -> str:
    """Return the shortest digits that read back as the same number."""
    if value.is_integer() and abs(value) < _EXACT_IN_DIGITS:
        return str(int(value))
    return repr(value)


def _render(node: Node) -> tuple[str, int]:
    """Return the text and how tightly its outermost operator binds."""
    if isinstance(node, Constant):
        return format_number(node.value), _SIGN if node.value < 0 else _ATOM
    if isinstance(node, Input):
        return node.name, _ATOM
    if isinstance(node, Feature):
        return f"feature({_quote(node.name)})", _ATOM
    if isinstance(node, At):
        return f"at({_quote(node.timeframe)}, {format_expression(node.body)})", _ATOM
    return _render_call(node)


def _render_call(call: Call) -> tuple[str, int]:
    symbol = OPERATORS[call.operator].symbol if call.operator in OPERATORS else None
    if symbol is not None and len(call.args) == 2:
        binding = PRECEDENCE[symbol]
        left = _enclose(call.args[0], binding + (binding == COMPARISON))
        return f"{left} {symbol} {_enclose(call.args[1], binding + 1)}", binding
    if call.operator == "neg" and len(call.args) == 1:
        # `-3` is a constant, `-(3)` the negation of one
        least = _ATOM + 1 if isinstance(call.args[0], Constant) else _SIGN
        return f"-{_enclose(call.args[0], least)}", _SIGN
    return f"{call.operator}({', '.join(map(format_expression, call.args))})", _ATOM


def _enclose(node: Node, least: int) -> str:
    text, binding = _render(node)
    return text if binding >= least else f"({text})"


def _quote(name: str) -> str:
    return f"'{name}'" if '"' in name else f'"{name}"'
