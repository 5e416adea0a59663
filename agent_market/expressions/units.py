"""Units of series: what may be added, compared, or pooled over pairs.

A price is quote currency for one unit of base currency, a volume is base currency; price x volume
is quote currency, which is the same for all pairs, while base currency is not. A constant has no
unit of its own (`None`) and takes that of its partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Unit(NamedTuple):
    """Powers of quote and of base currency; roots halve them, which floats do exactly."""

    quote: float
    base: float

    @property
    def is_comparable(self) -> bool:
        """Whether values of two pairs can be averaged: no base currency is left."""
        return self.base == 0

    def times(self, other: Unit) -> Unit:
        """Return the unit of a product."""
        return Unit(self.quote + other.quote, self.base + other.base)

    def power(self, exponent: float) -> Unit:
        """Return the unit raised to a power."""
        return Unit(self.quote * exponent, self.base * exponent)

    def __str__(self) -> str:
        if self in _NAMES:
            return _NAMES[self]
        parts = [("quote", self.quote), ("base", self.base)]
        return " x ".join(name if p == 1 else f"{name}^{p:g}" for name, p in parts if p)


PLAIN = Unit(0, 0)
PRICE = Unit(1, -1)
VOLUME = Unit(0, 1)
_NAMES = {
    PLAIN: "a plain number",
    PRICE: "a price",
    VOLUME: "a volume",
    PRICE.times(VOLUME): "an amount of quote currency",
}


class UnitRule(Enum):
    """What an operator asks of its series; what it makes of their units.

    `comparable` units hold no base currency; `kept` is the unit of the first series that has one.
    """

    SAME = "alike; kept"
    ALIKE_TO_PLAIN = "alike; plain"
    ANY_TO_PLAIN = "any; plain"
    PLAIN = "plain; plain"
    PRODUCT = "any; multiplied"
    QUOTIENT = "any; divided"
    SQUARE = "any; squared"
    ROOT = "any; its root"
    CHOICE = "plain, then two alike; kept"
    POOLED = "comparable; kept"
    POOLED_TO_PLAIN = "comparable; plain"


class UnitFault(Exception):  # noqa: N818 - the parser turns it into an error with a position
    """An argument's unit does not fit; `argument` counts the series from 0."""

    def __init__(self, argument: int, message: str) -> None:
        super().__init__(message)
        self.argument = argument


def result_unit(rule: UnitRule, units: Sequence[Unit | None]) -> Unit | None:
    """Return the unit of an operator's result; None where all of `units` are None.

    Raises
    ------
    UnitFault
        The units do not fit the rule.
    """
    if all(unit is None for unit in units):
        return None
    if rule in _POWERS:
        exponents = _POWERS[rule]
        return _product(units, exponents)
    if rule is UnitRule.CHOICE:
        _require_plain(units[:1])
        return _common(units, first=1)
    if rule is UnitRule.PLAIN:
        _require_plain(units)
        return PLAIN
    if rule in (UnitRule.POOLED, UnitRule.POOLED_TO_PLAIN):
        _require_comparable(units)
        return units[0] if rule is UnitRule.POOLED else PLAIN
    if rule is UnitRule.ANY_TO_PLAIN:
        return PLAIN
    common = _common(units)
    return common if rule is UnitRule.SAME else PLAIN


_POWERS: dict[UnitRule, tuple[float, ...]] = {
    UnitRule.PRODUCT: (1, 1),
    UnitRule.QUOTIENT: (1, -1),
    UnitRule.SQUARE: (2,),
    UnitRule.ROOT: (0.5,),
}


def _product(units: Sequence[Unit | None], exponents: Sequence[float]) -> Unit:
    result = PLAIN
    for unit, exponent in zip(units, exponents, strict=True):
        result = result.times((unit or PLAIN).power(exponent))
    return result


def _common(units: Sequence[Unit | None], first: int = 0) -> Unit | None:
    """Return the one unit of `units[first:]`; a choice between constants is a plain number."""
    found: Unit | None = None
    for argument, unit in enumerate(units[first:], first):
        if found is not None and unit not in (None, found):
            raise UnitFault(argument, f"is {unit}, but what stands before it is {found}")
        found = found or unit
    return found or PLAIN


def _require_plain(units: Sequence[Unit | None]) -> None:
    for argument, unit in enumerate(units):
        if unit not in (None, PLAIN):
            raise UnitFault(argument, f"is {unit}, not a plain number. Take a ratio of two alike")


def _require_comparable(units: Sequence[Unit | None]) -> None:
    for argument, unit in enumerate(units):
        if unit is not None and not unit.is_comparable:
            raise UnitFault(
                argument,
                f"is {unit}, and pairs differ in base currency. Take a ratio, rank(...), or an "
                "amount of quote currency such as vwap * volume",
            )
