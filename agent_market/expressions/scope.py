"""What an expression may name, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from agent_market.settings import Section


class ExpressionBounds(Section):
    """How large an expression may be.

    max_characters : of the text; a longer one is refused unread.
    max_depth : calls inside each other; a sign adds none. Brackets may be nested twice as deep.
    max_nodes : series, constants and operators together.
    max_window : candles of one window.
    max_lookback : candles of the base timeframe before row t that a value uses, windows inside
        each other added up.
    """

    max_characters: int = Field(default=2000, ge=1, le=20_000)
    max_depth: int = Field(default=10, ge=1, le=32)
    max_nodes: int = Field(default=64, ge=1, le=150)
    max_window: int = Field(default=2016, ge=1)
    max_lookback: int = Field(default=10_000, ge=1)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression is to be computed.

    timeframe : of the rows.
    timeframes : longer ones that `at` may name; None: every multiple of `timeframe`.
    inputs : series that are there; None: all. Spot has no `funding`.
    features : columns that `feature` may name; None: any.
    bounds : how large the expression may be.
    """

    timeframe: str = "5m"
    timeframes: tuple[str, ...] | None = None
    inputs: frozenset[str] | None = None
    features: frozenset[str] | None = None
    bounds: ExpressionBounds = field(default_factory=ExpressionBounds)
