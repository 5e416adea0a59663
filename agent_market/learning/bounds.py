"""Bounds of numeric settings, checked alike for labels and splitters."""

from __future__ import annotations

from agent_market.errors import ConfigError


def require_at_least(owner: object, field: str, minimum: float) -> None:
    """Raise `ConfigError` unless the field of `owner` is a number of at least `minimum`."""
    value = getattr(owner, field)
    if not value >= minimum:  # NaN is refused too
        raise ConfigError(f"{type(owner).__name__}: {field} is {value!r}. Take at least {minimum}.")
