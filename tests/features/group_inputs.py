"""Inputs of feature groups, made up: three pairs, and everything that a group may read."""

from functools import cache

import numpy as np
import pandas as pd

from agent_market.features import FeatureInputs, Need
from tests.candles import random_candles

ROWS = 2600
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT")
PAIR = PAIRS[1]
CANDLE = pd.Timedelta("5min")
HEADLINES = ("Coin soars", "Coin slips after a hack", "An exchange lists it", "Weekly summary")


@cache
def candles(pair: str = PAIR) -> pd.DataFrame:
    return random_candles(ROWS, seed=PAIRS.index(pair))


@cache
def candles_of_kind(kind: str) -> pd.DataFrame:
    """Return a row for each 8 hours, from 10 days before the candles on."""
    rng = np.random.default_rng(7)
    dates = pd.date_range("2023-12-22", periods=60, freq="8h", tz="UTC")
    opens = rng.normal(1e-4, 1e-4, 60)
    if kind == Need.MARK:
        traded = candles().set_index("date")["open"].reindex(dates).fillna(100).to_numpy()
        opens = traded * (1 + opens)
    return pd.DataFrame(
        {"date": dates, "open": opens, "high": np.nan, "low": np.nan, "close": np.nan, "volume": 0}
    )


@cache
def side(kind: str) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    happened = pd.Series(pd.date_range("2023-12-30", periods=ROWS + 600, freq="5min", tz="UTC"))
    times = {"event_time": happened, "available_at": happened}
    if kind == Need.ORDER_FLOW:
        bought, sold = rng.lognormal(0, 1, (2, len(happened)))
        return pd.DataFrame({**times, "buy_volume": bought, "sell_volume": sold})
    if kind == Need.OPEN_INTEREST:
        level = 1e4 * np.exp(np.cumsum(rng.normal(0, 0.01, len(happened))))
        frame = pd.DataFrame({**times, "open_interest": level})
        return frame.assign(available_at=frame["event_time"] + pd.Timedelta("20s"))
    news = pd.DataFrame(times).iloc[::29].reset_index(drop=True)
    coins = [["BTC"], ["ETH", "BTC"], ["ETH"], []]
    return news.assign(
        available_at=news["event_time"] + pd.Timedelta("100s"),
        headline=np.resize(HEADLINES, len(news)),
        symbols=[coins[row % 4] for row in range(len(news))],
    )


def inputs(
    start: int = 0, stop: int = ROWS, *, known_at: pd.Timestamp | None = None
) -> FeatureInputs:
    """Return rows of the candles with readers of all else: of all time, or of what was known.

    The closes of marks and all but the opens of funding are NaN: nothing may read them.
    """

    def of_pair(pair: str, timeframe: str, kind: str) -> pd.DataFrame:
        frame = candles_of_kind(kind) if kind else candles(pair)
        age = pd.Timedelta("1h") if kind else CANDLE
        return frame if known_at is None else frame[frame["date"] + age <= known_at]

    def of_side(kind: str, pair: str) -> pd.DataFrame:
        frame = side(kind)
        return frame if known_at is None else frame[frame["available_at"] <= known_at]

    return FeatureInputs(candles().iloc[start:stop], PAIR, "5m", PAIRS, of_pair, of_side)
