"""What an error says to do: the place, the nearest name, and the words of other languages."""

from __future__ import annotations

import difflib
from bisect import bisect
from collections.abc import Collection

_LONGEST_NAME = 60
_SHOWN = 36
_FEW = 60
_NEIGHBORS = 10
HINTS = {
    "**": "Write square(x) or sqrt(x).",
    "^": "Write square(x) or sqrt(x).",
    "==": "Compare by <, <=, > or >=.",
    "!=": "Compare by <, <=, > or >=.",
    "=": "Arguments have no names and nothing is assigned: write ts_mean(close, 24).",
    ":=": "Nothing is assigned here.",
    ".": "Nothing has attributes here.",
    "[": "Nothing is indexed here: write delay(x, 1) for the value before.",
    "and": "Write minimum(a, b) for two conditions.",
    "&": "Write minimum(a, b) for two conditions.",
    "&&": "Write minimum(a, b) for two conditions.",
    "or": "Write maximum(a, b) for two conditions.",
    "|": "Write maximum(a, b) for two conditions.",
    "||": "Write maximum(a, b) for two conditions.",
    "not": "Write 1 - condition.",
    "!": "Write 1 - condition.",
    "~": "Write 1 - condition.",
    "if": "Write where(condition, x, y).",
    "?": "Write where(condition, x, y).",
    "//": "Divide by /.",
    "+": "Leave out a plus sign that adds nothing.",
    "$": "A series stands by its name alone: close.",
    ")": "A bracket is closed that was not opened.",
    '"': "A quoted name ends on its line and holds no backslash.",
    "'": "A quoted name ends on its line and holds no backslash.",
    "ref": "Write delay(x, n).",
    "lag": "Write delay(x, n).",
    "shift": "Write delay(x, n).",
    "diff": "Write delta(x, n).",
    "pct_change": "Write x / delay(x, n) - 1.",
    "sma": "Write ts_mean(x, n).",
    "ema": "Write ewm(x, n); n is the half-life.",
    "stddev": "Write ts_std(x, n).",
    "correlation": "Write ts_corr(x, y, n).",
    "covariance": "Write ts_cov(x, y, n).",
    "decay_linear": "Write ts_decay(x, n).",
    "indneutralize": "Write neutralize(x, y) or demean(x).",
    "exp": "Write tanh(x) to bound a value.",
    "pow": "Write square(x) or sqrt(x).",
    "power": "Write square(x) or sqrt(x).",
    "signedpower": "Write sign(x) * sqrt(abs(x)).",
}
"""What to write for a word of Python or of another alpha language."""


def nearest(name: str, choices: Collection[str]) -> str:
    """Return the question that names up to three near choices; empty where none is near."""
    near = difflib.get_close_matches(name[:_LONGEST_NAME], _similar(name, choices), n=3)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _similar(name: str, choices: Collection[str]) -> list[str]:
    """Return few choices that begin or end like `name`: to compare thousands takes too long."""
    if len(choices) <= _FEW:
        return list(choices)
    ending = _around(name[::-1], sorted(choice[::-1] for choice in choices))
    both = [*_around(name, sorted(choices)), *(choice[::-1] for choice in ending)]
    return list(dict.fromkeys(both))


def _around(name: str, ordered: list[str]) -> list[str]:
    place = bisect(ordered, name)
    return ordered[max(0, place - _NEIGHBORS) : place + _NEIGHBORS]


def shorten(text: str) -> str:
    """Return `text`, or its beginning where a message has no room for all of it."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def excerpt(text: str, start: int, end: int) -> tuple[str, str]:
    """Return the surroundings of [start, end) in one line, and carets below the place."""
    first, last = max(0, start - _SHOWN), min(len(text), start + _SHOWN)
    line = "".join(char if char.isprintable() else " " for char in text[first:last])
    before, after = "..." * (first > 0), "..." * (last < len(text))
    width = max(1, min(end, last) - start)
    return f"{before}{line}{after}", " " * (start - first + len(before)) + "^" * width
