"""Text to expression: a grammar of its own that knows nothing but what it lists.

The grammar is a part of Python's, with Python's precedence, but no text ever reaches Python's own
parser, compiler or evaluator. Reading stops at the first fault, and the work is bounded by
`ExpressionBounds`, whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from agent_market.errors import ExpressionError
from agent_market.expressions.checker import (
    Fault,
    Traits,
    at_traits,
    call_traits,
    timeframe_ratio,
    within_bounds,
)
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.operators import INFIX, OPERATORS, Operator
from agent_market.expressions.printer import COMPARISON, PRECEDENCE, format_expression
from agent_market.expressions.scope import Scope
from agent_market.expressions.suggestions import HINTS, excerpt, nearest, shorten
from agent_market.expressions.tokens import Token, TokenKind, read_token
from agent_market.expressions.units import PLAIN

_EVERYWHERE = Scope()
_SPECIAL = {"at": 'at("1h", x)', "feature": 'feature("name")'}
_FUNCTIONS = (*OPERATORS, *_SPECIAL)


class _Part(NamedTuple):
    """A node that was read, what is known of it, and where it stands."""

    node: Node
    traits: Traits
    start: int
    end: int


def parse_expression(text: str, scope: Scope = _EVERYWHERE) -> Node:
    """Return the expression that `text` says.

    Raises
    ------
    ExpressionError
        The text is not of the language, names what `scope` does not hold, mixes units, or is too
        large. The message shows the place and the nearest valid name; `position` is the place.
    """
    return _read(text, scope).node


def check_expression(node: Node, scope: Scope = _EVERYWHERE) -> Traits:
    """Return unit, size and lookback of an expression that was built, not read.

    Raises
    ------
    ExpressionError
        As `parse_expression` for its text, or the text says another expression.
    """
    text = format_expression(node)
    part = _read(text, scope)
    if part.node != node:
        raise ExpressionError(
            f"the expression {excerpt(text, 0, len(text))[0]!r} is not made of its own nodes. "
            "Build it from the operators' table, or parse its text."
        )
    return part.traits


def _read(text: str, scope: Scope) -> _Part:
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is text, found {type(text).__name__}. Pass a string.")
    limit = scope.bounds.max_characters
    if len(text) > limit:
        raise ExpressionError(
            f"the expression has {len(text)} characters; at most {limit} are allowed. Shorten it.",
            limit,
        )
    return _Parser(text, scope).read()


class _Parser:
    """Precedence climbing, one word ahead."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._timeframes = [scope.timeframe]
        self._inputs = [n for n in INPUTS if scope.inputs is None or n in scope.inputs]
        self._brackets = 0
        self._token = read_token(text, 0)

    def read(self) -> _Part:
        """Return the whole text as one part."""
        part = self._operation(COMPARISON)
        if self._token.kind is not TokenKind.END:
            self._refuse_token("an operator or the end")
        if part.traits.unit is None:
            self._refuse(part, "the expression is a constant. Name a series, such as close.")
        return part

    def _operation(self, least: int) -> _Part:
        """Read operators that bind at least so tightly; equals bind from the left."""
        left = self._signed()
        while (binding := PRECEDENCE.get(self._token.text, 0)) >= least:
            symbol = self._next()
            right = self._operation(binding + 1)
            left = self._call(INFIX[symbol.text], (left, right), left.start, right.end, symbol)
            if binding == COMPARISON == PRECEDENCE.get(self._token.text):
                self._refuse(self._token, "comparisons do not chain. Write (a < b) * (b < c).")
        return left

    def _signed(self) -> _Part:
        """Read signs and what they stand before; a sign before digits belongs to the number."""
        signs: list[Token] = []
        limit = self._scope.bounds.max_nodes
        while self._token.text == "-":
            if len(signs) == limit:
                self._refuse(self._token, f"more than {limit} signs stand before one value.")
            signs.append(self._next())
        if signs and self._token.kind is TokenKind.NUMBER:
            part = self._number(signs.pop())
        else:
            part = self._atom()
        for sign in reversed(signs):
            part = self._call(OPERATORS["neg"], (part,), sign.start, part.end, sign)
        return part

    def _atom(self) -> _Part:
        token = self._token
        if token.kind is TokenKind.NUMBER:
            return self._number()
        if token.kind is TokenKind.NAME:
            return self._name(self._next())
        if token.kind is TokenKind.STRING:
            column = shorten(token.text[1:-1])
            self._refuse(token, f"a quoted name stands alone. Write feature({column!r}).")
        if token.text != "(":
            self._refuse_token("a series, a number or a bracket")
        self._open()
        part = self._operation(COMPARISON)
        return part._replace(start=token.start, end=self._close().end)

    def _number(self, sign: Token | None = None) -> _Part:
        token = self._next()
        value = float(token.text)
        start = token.start if sign is None else sign.start
        if value == float("inf"):
            self._refuse(token, "the number is too large.")
        node = Constant(value if sign is None else -value)
        return _Part(node, Traits(None, 1, 1, 0), start, token.end)

    def _name(self, name: Token) -> _Part:
        if self._token.text != "(":
            return self._series(name)
        if name.text == "at":
            return self._at(name)
        if name.text == "feature":
            return self._feature(name)
        if name.text not in OPERATORS:
            self._refuse(name, self._unknown_operator(name.text))
        operator = OPERATORS[name.text]
        args = self._arguments(operator, name)
        return self._call(operator, args, name.start, self._close().end, name)

    def _series(self, name: Token) -> _Part:
        if self._token.text == "=":
            self._refuse_token("an operator or the end")
        if name.text not in self._inputs:
            self._refuse(name, self._unknown_series(name.text))
        series = INPUTS[name.text]
        traits = Traits(series.unit, 1, 1, series.lookback)
        return _Part(Input(name.text), self._bounded(name, traits), name.start, name.end)

    def _arguments(self, operator: Operator, name: Token) -> list[_Part]:
        self._open()
        args: list[_Part] = []
        while self._token.text != ")" or args:
            args.append(self._operation(COMPARISON))
            if self._token.text != ",":
                break
            if len(args) == len(operator.arguments):
                self._refuse(name, f"too many arguments. Write {operator.signature}.")
            self._next()
        return args

    def _at(self, name: Token) -> _Part:
        self._open()
        quoted = self._quoted('at("1h", close)')
        timeframe = quoted.text[1:-1]
        try:
            ratio = timeframe_ratio(timeframe, self._timeframes[-1], self._scope)
        except Fault as fault:
            self._refuse(quoted, f"the timeframe {shorten(timeframe)!r} {fault}.")
        if self._token.text != ",":
            self._refuse_token("a comma and what to take at that timeframe")
        self._next()
        self._timeframes.append(timeframe)
        body = self._operation(COMPARISON)
        self._timeframes.pop()
        place = name._replace(end=self._close().end)
        try:
            traits = at_traits(ratio, body.traits, self._scope.bounds)
        except Fault as fault:
            self._refuse(place, f"at(...) {fault}.")
        return _Part(At(timeframe, body.node), traits, place.start, place.end)

    def _feature(self, name: Token) -> _Part:
        self._open()
        quoted = self._quoted('feature("%-rsi-period_14")')
        column, known = quoted.text[1:-1], self._scope.features
        if known is not None and column not in known:
            self._refuse(quoted, self._unknown_feature(column, known))
        if len(self._timeframes) > 1:
            self._refuse(name, "a feature stands outside at(...): its name says its timeframe.")
        try:
            node = Feature(column)
        except ExpressionError as error:
            self._refuse(quoted, str(error))
        return _Part(node, Traits(PLAIN, 1, 1, 0), name.start, self._close().end)

    def _quoted(self, example: str) -> Token:
        if self._token.kind is not TokenKind.STRING:
            self._refuse_token(f"a quoted name, as in {example}")
        return self._next()

    def _call(
        self, operator: Operator, args: Sequence[_Part], start: int, end: int, name: Token
    ) -> _Part:
        nodes = tuple(part.node for part in args)
        try:
            traits = call_traits(
                operator, nodes, [part.traits for part in args], self._scope.bounds
            )
        except Fault as fault:
            if fault.argument is None:
                self._refuse(name, f"{operator.name} {fault}.")
            argument = operator.arguments[fault.argument].name
            self._refuse(args[fault.argument], f"{argument} of {_usage(operator)} {fault}.")
        return _Part(Call(operator.name, nodes), traits, start, end)

    def _bounded(self, place: Token, traits: Traits) -> Traits:
        try:
            return within_bounds(traits, self._scope.bounds)
        except Fault as fault:
            self._refuse(place, f"{place.text} {fault}.")

    def _open(self) -> None:
        self._brackets += 1
        limit = 2 * self._scope.bounds.max_depth
        if self._brackets > limit:
            self._refuse(self._token, f"more than {limit} brackets are open. Nest less.")
        self._next()

    def _close(self) -> Token:
        if self._token.text != ")":
            self._refuse_token("an operator, a comma or a closing bracket")
        self._brackets -= 1
        return self._next()

    def _next(self) -> Token:
        token = self._token
        self._token = read_token(self._text, token.end)
        return token

    def _unknown_operator(self, name: str) -> str:
        if name in self._inputs:
            return f"{name} is a series, not an operator. Write {name} alone."
        near = nearest(name.lower(), _FUNCTIONS) or f"Operators: {', '.join(_FUNCTIONS)}."
        return f"unknown operator {shorten(name)!r}. {HINTS.get(name.lower(), near)}"

    def _unknown_series(self, name: str) -> str:
        if name in _FUNCTIONS:
            usage = _SPECIAL.get(name) or OPERATORS[name].signature
            return f"{name} is an operator. Write {usage}."
        if name in (self._scope.features or ()):
            return f"{name} is a feature. Write feature({name!r})."
        near = nearest(name.lower(), self._inputs) or f"Series: {', '.join(self._inputs)}."
        return f"unknown series {shorten(name)!r}. {HINTS.get(name.lower(), near)}"

    @staticmethod
    def _unknown_feature(name: str, known: frozenset[str]) -> str:
        near = nearest(name, known) or f"None of the {len(known)} features is like it."
        return f"unknown feature {shorten(name)!r}. {near}"

    def _refuse_token(self, expected: str) -> NoReturn:
        token = self._token
        found = "the end" if token.kind is TokenKind.END else repr(shorten(token.text))
        hint = f" {HINTS[token.text]}" if token.text in HINTS else ""
        self._refuse(token, f"expected {expected}, found {found}.{hint}")

    def _refuse(self, place: Token | _Part, message: str) -> NoReturn:
        shown, caret = excerpt(self._text, place.start, place.end)
        raise ExpressionError(
            f"expression, character {place.start + 1}: {message}\n    {shown}\n    {caret}",
            place.start,
        ) from None


def _usage(operator: Operator) -> str:
    names = [argument.name for argument in operator.arguments]
    if operator.symbol is None:
        return operator.signature
    return f" {operator.symbol} ".join(names) if len(names) == 2 else f"{operator.symbol}{names[0]}"
