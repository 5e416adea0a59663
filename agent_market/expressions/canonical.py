"""One form for expressions that say the same, and the hash that they are recognized by.

Every rewriting keeps the values to the last bit, NaN included; two expressions that differ only by
rounding, such as `a + b + c` and `a + (b + c)`, stay two. The canonical form is never larger,
deeper or longer in lookback than the expression, so it keeps the same bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from agent_market.expressions.nodes import At, Call, Constant, Node, walk
from agent_market.expressions.operators import OPERATORS
from agent_market.expressions.printer import format_expression
from agent_market.store import hash_bytes


def canonical_form(node: Node) -> Node:
    """Return the canonical form of a well-formed expression.

    Constants are folded; arguments that may change places are sorted; double signs, `x * 1`,
    `x + 0`, `delay(x, 0)` and the like are left out; signs move outwards, `x - delay(x, n)` becomes
    `delta(x, n)`, `x * x` becomes `square(x)`, and `>` becomes `<`.
    """
    if isinstance(node, At):
        return At(node.timeframe, canonical_form(node.body))
    if isinstance(node, Call):
        return _call(node.operator, *map(canonical_form, node.args))
    return node


def expression_hash(node: Node) -> str:
    """Return the SHA-256 of the canonical form's text as 64 hexadecimal digits."""
    return hash_bytes(format_expression(canonical_form(node)).encode())


def _call(operator: str, *args: Node) -> Node:
    """Return the canonical form of a call whose arguments are canonical."""
    folded = _fold(operator, args)
    if folded is not None:
        return folded
    rewrite = _REWRITES.get(operator)
    rewritten = rewrite(*args) if rewrite is not None else None
    if rewritten is not None:
        return rewritten
    definition = OPERATORS[operator]
    if definition.is_idempotent and _is_call(args[0], operator):
        return args[0]
    if definition.is_commutative:
        args = (*sorted(args[:2], key=_order), *args[2:])
    return Call(operator, args)


def _is_call(node: Node, operator: str) -> bool:
    return isinstance(node, Call) and node.operator == operator


def _fold(operator: str, args: tuple[Node, ...]) -> Constant | None:
    """Return the constant that constants make; None where they do not, or not a number."""
    fold = _FOLDS.get(operator)
    values = [arg.value for arg in args if isinstance(arg, Constant)]
    if fold is None or len(values) < len(args):
        return None
    try:
        value = fold(*values)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return Constant(value) if math.isfinite(value) else None


_FOLDS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: x / y,
        "gt": lambda x, y: float(x > y),
        "ge": lambda x, y: float(x >= y),
        "lt": lambda x, y: float(x < y),
        "le": lambda x, y: float(x <= y),
        "neg": lambda x: -x,
        "abs": abs,
        "sign": lambda x: float((x > 0) - (x < 0)),
        "sqrt": math.sqrt,
        "square": lambda x: x * x,
        "minimum": min,
        "maximum": max,
        "clip": lambda x, low, high: min(max(x, low), high),
        "where": lambda condition, x, y: x if condition else y,
    }
)
"""Operators whose value Python and the kernels compute to the same bit: not log, not tanh."""


def _add(x: Node, y: Node) -> Node | None:
    x, y = _constant_last(x, y)
    if y == _ZERO:
        return x
    if _is_call(x, "neg") and _is_call(y, "neg"):
        return _negate(_call("add", _negate(x), _negate(y)))
    if _is_call(x, "neg") or (_is_negative(x) and not _is_negative(y)):
        return _call("sub", y, _negate(x))
    if _is_call(y, "neg") or (_is_negative(y) and not _is_negative(x)):
        return _call("sub", x, _negate(y))
    return None


def _sub(x: Node, y: Node) -> Node | None:
    if y == _ZERO:
        return x
    if x == _ZERO:
        return _negate(y)
    if isinstance(y, Call) and y.operator == "delay" and y.args[0] == x:
        return Call("delta", y.args)
    if isinstance(x, Call) and x.operator == "delay" and x.args[0] == y:
        return _negate(Call("delta", x.args))
    if _is_negative(y):
        return _call("add", x, _negate(y))
    return _negate(_call("add", _negate(x), y)) if _is_call(x, "neg") else None


def _mul(x: Node, y: Node) -> Node | None:
    x, y = _constant_last(x, y)
    if y in (_ONE, _MINUS_ONE):
        return x if y == _ONE else _negate(x)
    if x == y:
        return _call("square", x)
    return _signs_outwards("mul", x, y)


def _div(x: Node, y: Node) -> Node | None:
    if y in (_ONE, _MINUS_ONE):
        return x if y == _ONE else _negate(x)
    return _signs_outwards("div", x, y)


def _signs_outwards(operator: str, x: Node, y: Node) -> Node | None:
    """Return a product or quotient with the signs of its parts before it, or in its constant."""
    if _is_call(x, "neg"):
        return _negate(_call(operator, _negate(x), y))
    return _negate(_call(operator, x, _negate(y))) if _is_call(y, "neg") else None


def _negate(node: Node) -> Node:
    """Return the canonical form of `-node`; `node` is canonical, and so is what is inside it."""
    if isinstance(node, Constant):
        return Constant(-node.value)
    if not isinstance(node, Call):
        return Call("neg", (node,))
    if node.operator == "neg":
        return node.args[0]
    x, y = node.args[0], node.args[-1]
    if node.operator == "sub":
        return _call("sub", y, x)
    if node.operator == "add" and isinstance(y, Constant):
        return _call("sub", Constant(-y.value), x)
    if node.operator in ("mul", "div") and isinstance(y, Constant):
        return _call(node.operator, x, Constant(-y.value))
    if node.operator == "div" and isinstance(x, Constant):
        return _call("div", Constant(-x.value), y)
    return Call("neg", (node,))


def _is_negative(node: Node) -> bool:
    """Whether the negation is as simple or simpler: a sign, or a negative constant factor."""
    if isinstance(node, Constant):
        return node.value < 0
    if not isinstance(node, Call):
        return False
    factors = node.args if node.operator in ("mul", "div") else ()
    return node.operator == "neg" or any(
        isinstance(factor, Constant) and factor.value < 0 for factor in factors
    )


def _even(operator: str) -> Callable[..., Node | None]:
    """Return the rewriting of an operator that does not see its argument's sign."""

    def rewrite(x: Node) -> Node | None:
        simpler = min(x, _negate(x), key=_simplicity)
        return None if simpler == x else _call(operator, simpler)

    return rewrite


def _odd(operator: str, mirrored: str) -> Callable[..., Node | None]:
    """Return the rewriting of `operator(-x, ...)` as `-mirrored(x, ...)`."""

    def rewrite(x: Node, *rest: Node) -> Node | None:
        return _negate(_call(mirrored, _negate(x), *rest)) if _is_call(x, "neg") else None

    return rewrite


def _delay(x: Node, n: Node) -> Node | None:
    return x if n == _ZERO else _odd("delay", "delay")(x, n)


def _same(x: Node, y: Node) -> Node | None:
    return x if x == y else None


def _constant_last(x: Node, y: Node) -> tuple[Node, Node]:
    return (y, x) if isinstance(x, Constant) else (x, y)


def _simplicity(node: Node) -> tuple[int, bool, str]:
    return sum(1 for _ in walk(node)), _is_negative(node), format_expression(node)


def _order(node: Node) -> tuple[bool, str]:
    return isinstance(node, Constant), format_expression(node)


_ZERO, _ONE, _MINUS_ONE = Constant(0), Constant(1), Constant(-1)
_REWRITES: Mapping[str, Callable[..., Node | None]] = MappingProxyType(
    {
        "add": _add,
        "sub": _sub,
        "mul": _mul,
        "div": _div,
        "neg": _negate,
        "gt": lambda x, y: _call("lt", y, x),
        "ge": lambda x, y: _call("le", y, x),
        "abs": _even("abs"),
        "square": _even("square"),
        "sign": _odd("sign", "sign"),
        "delay": _delay,
        "delta": _odd("delta", "delta"),
        "ts_min": _odd("ts_min", "ts_max"),
        "ts_max": _odd("ts_max", "ts_min"),
        "minimum": _same,
        "maximum": _same,
    }
)
"""Operators that have a simpler form for some arguments: None where these are not among them."""
