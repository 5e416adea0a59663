"""What a group of features may read, and where the host gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from agent_market.market.candles import timeframe_seconds

CandleReader = Callable[[str, str, str], pd.DataFrame]
"""Takes pair, timeframe and kind (`""` for what is traded, `funding_rate`, `mark`)."""
SideReader = Callable[[str, str], pd.DataFrame]
"""Takes kind and pair; returns rows ascending by `available_at`."""


class Need(StrEnum):
    """What a group reads beside its own candles.

    `funding_rate` and `mark` are Freqtrade's candle types; `peers` are the candles of the
    correlated pairs; the others are kinds of side data.
    """

    FUNDING = "funding_rate"
    MARK = "mark"
    PEERS = "peers"
    OPEN_INTEREST = "open_interest"
    ORDER_FLOW = "order_flow"
    NEWS = "news"


CANDLE_NEEDS = (Need.FUNDING, Need.MARK)
SIDE_NEEDS = (Need.OPEN_INTEREST, Need.ORDER_FLOW, Need.NEWS)


@dataclass(frozen=True)
class FeatureInputs:
    """The candles of one pair and timeframe, and readers of everything else.

    candles : DataFrame of shape (n_rows, ...) with `date` (open time, UTC), open, high, low, close,
        volume; ascending, without gaps.
    peers : pairs that stand for the market.
    """

    candles: pd.DataFrame
    pair: str
    timeframe: str
    peers: tuple[str, ...]
    candles_of: CandleReader
    side_of: SideReader

    @property
    def coin(self) -> str:
        """The base currency, as news name it."""
        return self.pair.split("/")[0]

    @property
    def close_time(self) -> pd.Series:
        """When each row is known, shape (n_rows,)."""
        return self.candles["date"] + pd.Timedelta(seconds=timeframe_seconds(self.timeframe))


def candles_in(days: float, timeframe: str) -> int:
    """Return how many candles so many days hold, at least 1."""
    return max(1, round(days * 86_400 / timeframe_seconds(timeframe)))
