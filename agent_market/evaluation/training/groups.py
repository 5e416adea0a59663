"""Groups of features, from FreqAI's column names or as the user gives them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from agent_market.errors import ConfigError

# FreqAI's expansion: `%-rsi-period_12_shift-1_ETH/USDTUSDT_1h`, or the bare `%-day_cos`.
_COLUMN = re.compile(
    r"%-?(?P<family>[^-_]+)(?:[-_].*?)??(?:_(?P<coin>[^_/]+)/[^_]+_(?P<tf>\d+[mhdw]))?"
)


def derived_groups(names: Sequence[str]) -> dict[str, str]:
    """Return a pattern for each group that the column names show, and for each set of columns once.

    - `rsi`: columns whose name begins with that word, up to the first `-` or `_`.
    - `timeframe 1h`: columns of one timeframe, where there are several.
    - `candles of ETH`: columns made from one coin's candles, where there are several.

    Examples
    --------
    >>> names = ["%-rsi-period_12_ETH/USDT_1h", "%-rsi-period_12_BTC/USDT_5m", "%-news_age"]
    >>> list(derived_groups(names))
    ['news', 'rsi', 'timeframe 1h', 'timeframe 5m']
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        match = _COLUMN.fullmatch(name)
        for part, value in (match.groupdict() if match else {}).items():
            if value is not None:
                found[part].add(value)
    groups = {word: rf"^%-?{re.escape(word)}(?=[-_]|$)" for word in sorted(found["family"])}
    if len(found["tf"]) > 1:
        groups |= {f"timeframe {tf}": rf"/[^_]+_{tf}$" for tf in sorted(found["tf"])}
    if len(found["coin"]) > 1:
        groups |= {
            f"candles of {coin}": rf"_{re.escape(coin)}/[^_]+_\d+[mhdw]$"
            for coin in sorted(found["coin"])
        }
    return _distinct(groups, names)


def _distinct(groups: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Leave out groups of all columns, and those of the same columns as an earlier one."""
    kept: dict[frozenset[str], tuple[str, str]] = {}
    for name, pattern in groups.items():
        columns = frozenset(column for column in names if re.search(pattern, column))
        if len(columns) < len(names):
            kept.setdefault(columns, (name, pattern))
    return dict(kept.values())


def given_groups(texts: Sequence[str]) -> dict[str, str]:
    """Return the groups of texts of the form `name=regex`.

    Raises
    ------
    ConfigError
        A text has another form, or the expression cannot be read.
    """
    groups = {}
    for text in texts:
        name, separator, pattern = text.partition("=")
        if not (name and separator and pattern):
            raise ConfigError(
                f"--ablate {text!r} is not of the form name=regex, such as news=^%-news."
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"--ablate {text!r}: the expression cannot be read ({error}). Correct it."
            ) from error
        groups[name] = pattern
    return groups


def check_groups(groups: Mapping[str, str], names: Sequence[str]) -> None:
    """Refuse a group that finds no feature, or all of them.

    Raises
    ------
    ConfigError
        Names the group.
    """
    for name, pattern in groups.items():
        found = sum(bool(re.search(pattern, column)) for column in names)
        if not found or found == len(names):
            raise ConfigError(
                f"--ablate {name}={pattern} finds {found} of {len(names)} features, such as "
                f"{names[0]!r}. Give an expression that finds some of them."
            )
