"""Order book snapshots around the last price."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.market.simulator.minutes import PairMarket
from agent_market.market.simulator.streams import FloatArray, IntArray, stream

LEVELS = 20
_MINUTE_MS = 60_000
_LEVEL_GAP = 0.5e-4  # of the price
_SPREAD_SHARE = 0.05  # of the path's width inside a minute
_DEPTH_SHARE = 0.1  # of a typical minute's lots, at the best price
_LEAN = 0.3  # how far order-flow pressure leans the depth
_LATENCY = pd.Timedelta(milliseconds=100)


def book_of(pair: PairMarket, seed: int, first_minute: int) -> pd.DataFrame:
    """Return a snapshot at the end of every minute from `first_minute` on.

    Returns
    -------
    DataFrame of shape (n_minutes - first_minute, 10)
        `event_time`, `available_at`, the best `bid_price`, `bid_amount`, `ask_price`, `ask_amount`
        and 20 levels of each side, best first, as list columns `bid_prices`, `bid_amounts`,
        `ask_prices`, `ask_amounts`. The last trade lies between the best prices, or on one.
    """
    rows = np.arange(first_minute, len(pair))
    close = pair.bars.close[rows]
    spread = 1 + (_SPREAD_SHARE * pair.bars.deviation[rows]).astype(np.int64)
    gap = np.maximum(1, np.rint(_LEVEL_GAP * close)).astype(np.int64)
    offsets = gap[:, None] * np.arange(LEVELS)
    best_bid = close - spread // 2
    bids = np.maximum(1, best_bid[:, None] - offsets)
    asks = (best_bid + spread)[:, None] + offsets
    generator = stream(seed, pair.profile.pair, "book")
    pressure = pair.signals.order_flow[rows]
    bid_lots, ask_lots = (_depth(pair, generator, sign * pressure) for sign in (1, -1))
    ends = pair.start_ms + (rows + 1) * _MINUTE_MS
    event = pd.to_datetime(ends, unit="ms", utc=True).as_unit("ms")
    times = pd.DataFrame({"event_time": event, "available_at": event + _LATENCY})
    sides = [_side(pair, "bid", bids, bid_lots), _side(pair, "ask", asks, ask_lots)]
    return pd.concat([times, *sides], axis=1)


def _depth(pair: PairMarket, generator: np.random.Generator, lean: FloatArray) -> IntArray:
    noise = 0.5 * generator.standard_normal((len(lean), LEVELS))
    typical = _DEPTH_SHARE * pair.profile.minute_lots * (1 + 0.2 * np.arange(LEVELS))
    lots = typical * np.exp(noise + _LEAN * lean[:, None])
    return np.asarray(np.maximum(1, np.rint(lots)).astype(np.int64))


def _side(pair: PairMarket, name: str, ticks: IntArray, lots: IntArray) -> pd.DataFrame:
    prices, amounts = pair.price(ticks), pair.amount(lots)
    return pd.DataFrame(
        {
            f"{name}_price": prices[:, 0],
            f"{name}_amount": amounts[:, 0],
            f"{name}_prices": list(prices),
            f"{name}_amounts": list(amounts),
        }
    )
