"""What an alpha expression is made of: immutable trees, equal where they say the same.

A node holds no position and no unit, so that equal parts of different expressions are equal nodes
and are computed once. The hash is computed once a node.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent_market.errors import ExpressionError


class _Hashed:
    """Hash that is kept, and never pickled: a string's hash differs between processes."""

    __slots__ = ()

    def _key(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return hash(self) == hash(other) and self._key() == other._key()

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), self._key()

    def _keep_hash(self) -> None:
        object.__setattr__(self, "_hash", hash((type(self).__name__, *self._key())))


@dataclass(frozen=True, slots=True, eq=False)
class Constant(_Hashed):
    """A number; a window is one too, such as the 24 of `ts_mean(close, 24)`.

    Raises
    ------
    ExpressionError
        The number is NaN or infinite.
    """

    value: float
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ExpressionError(f"the constant {self.value} is not finite. Take a number.")
        object.__setattr__(self, "value", float(self.value) + 0.0)  # no negative zero
        self._keep_hash()

    def _key(self) -> tuple[float]:
        return (self.value,)


@dataclass(frozen=True, slots=True, eq=False)
class Input(_Hashed):
    """A series of the market by its name in `agent_market.expressions.inputs`: `close`."""

    name: str
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keep_hash()

    def _key(self) -> tuple[str]:
        return (self.name,)


@dataclass(frozen=True, slots=True, eq=False)
class Feature(_Hashed):
    """A feature by the name of its column: `feature("%-rsi-period_14")`.

    Raises
    ------
    ExpressionError
        The name is one that cannot be quoted.
    """

    name: str
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        is_quotable = self.name.isprintable() and not ("'" in self.name and '"' in self.name)
        if not self.name or "\\" in self.name or not is_quotable:
            raise ExpressionError(
                f"the feature name {self.name[:60]!r} cannot be quoted. Take printable characters, "
                "no backslash and one kind of quote at most."
            )
        self._keep_hash()

    def _key(self) -> tuple[str]:
        return (self.name,)


@dataclass(frozen=True, slots=True, eq=False)
class At(_Hashed):
    """`at("1h", body)`: the body on longer candles, as of the last one that has closed.

    Everything below counts those candles: the windows, and the series themselves. A node is
    therefore only the same series as an equal node at the same timeframe.
    """

    timeframe: str
    body: Node
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keep_hash()

    def _key(self) -> tuple[str, Node]:
        return (self.timeframe, self.body)


@dataclass(frozen=True, slots=True, eq=False)
class Call(_Hashed):
    """An operator of `agent_market.expressions.operators` and its arguments, infix ones included.

    Arguments stand in the order of the operator's table; windows and numbers are `Constant`.
    """

    operator: str
    args: tuple[Node, ...]
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keep_hash()

    def _key(self) -> tuple[str, tuple[Node, ...]]:
        return (self.operator, self.args)


Node: TypeAlias = Constant | Input | Feature | At | Call


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below, left to right."""
    if isinstance(node, Call):
        return node.args
    return (node.body,) if isinstance(node, At) else ()


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all below it, each before its children, left to right."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(children(top)))
