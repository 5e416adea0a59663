"""All headlines of the market in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.market.simulator.headlines import Headlines

_WHOLE_MARKET = "Crypto market"


def news_of(
    start_ms: int, market: Headlines, by_base: dict[str, Headlines], stop_ms: int
) -> pd.DataFrame:
    """Return the headlines that are published before `stop_ms`, ascending by `available_at`.

    Parameters
    ----------
    start_ms, stop_ms : int
        Span of the market, milliseconds since 1970 UTC.
    market : Headlines
        Those that concern every pair.
    by_base : dict of str to Headlines
        The others by base currency.

    Returns
    -------
    DataFrame of shape (n_headlines, 6)
        `event_time`, `available_at` (publication), `headline`, `source`, `symbols` (list of base
        currencies) and `sentiment_truth` (-1..1).
    """
    parts = [_frame(start_ms, market, _WHOLE_MARKET, sorted(by_base))]
    parts += [_frame(start_ms, own, base, [base]) for base, own in sorted(by_base.items())]
    table = pd.concat(parts, ignore_index=True)
    stop = pd.Timestamp(stop_ms, unit="ms", tz="UTC")
    table = table[table["available_at"] < stop].sort_values("available_at", kind="stable")
    return table.reset_index(drop=True)


def _frame(start_ms: int, headlines: Headlines, name: str, symbols: list[str]) -> pd.DataFrame:
    count = len(headlines.text)
    return pd.DataFrame(
        {
            "event_time": _times(start_ms + headlines.event_ms),
            "available_at": _times(start_ms + headlines.available_ms),
            "headline": pd.Series([text.format(name=name) for text in headlines.text], dtype=str),
            "source": pd.Series(headlines.source, dtype=str),
            "symbols": pd.Series([symbols] * count, dtype=object),
            "sentiment_truth": headlines.sentiment,
        }
    )


def _times(milliseconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.to_datetime(milliseconds, unit="ms", utc=True).as_unit("ms")
