"""Numbers and times as a report's reader wants them; an undefined one reads `n/a`."""

from __future__ import annotations

import pandas as pd

MISSING = "n/a"
# U+2212: a true minus sign is as wide as a digit, so columns line up.
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, decimals: int = 2) -> str:
    """Return a number with thousands separators and fixed decimals.

    >>> number(1234.5)
    '1,234.50'
    """
    if value is None:
        return MISSING
    text = f"{abs(value):,.{decimals}f}"
    return _MINUS + text if value < 0 and float(text.replace(",", "")) else text


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a number with its sign, `+` included."""
    text = number(value, decimals)
    is_positive = value is not None and value > 0 and text.strip("0.,")
    return f"+{text}" if is_positive else text


def share(value: float | None, decimals: int = 1) -> str:
    """Return a fraction as a percentage: 0.25 reads 25.0 %."""
    return MISSING if value is None else f"{number(100 * value, decimals)} %"


def percent(value: float | None, decimals: int = 2) -> str:
    """Return a percentage with its sign."""
    return MISSING if value is None else f"{signed(value, decimals)} %"


def whole(value: float | None) -> str:
    """Return a count with thousands separators."""
    return number(value, 0)


def interval(bounds: list[float | None], decimals: int = 2) -> str:
    """Return an interval as `[low, high]`, or `n/a` if an end is missing."""
    low, high = bounds
    if low is None or high is None:
        return MISSING
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def duration(minutes: float | None) -> str:
    """Return a duration in the two largest units: `1 d 3 h`, `2 h 05 min`, `7 min`."""
    if minutes is None:
        return MISSING
    total = round(minutes)
    days, rest = divmod(total, 1440)
    hours, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {left:02d} min" if hours else f"{left} min"


def day(moment: str) -> str:
    """Return the calendar day (UTC) of an ISO time."""
    return pd.Timestamp(moment).strftime("%Y-%m-%d")


def minute(moment: str) -> str:
    """Return an ISO time as `2024-01-10 00:05`."""
    return pd.Timestamp(moment).strftime("%Y-%m-%d %H:%M")
