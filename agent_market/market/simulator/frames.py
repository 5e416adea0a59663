"""Bars as Freqtrade candles, and the flow inside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.market.candles import timeframe_seconds
from agent_market.market.simulator import process
from agent_market.market.simulator.market import signal_of
from agent_market.market.simulator.minutes import PairMarket
from agent_market.market.simulator.streams import FloatArray, IntArray

_MINUTE_MS = 60_000
_CANDLE_MS = process.CANDLE * _MINUTE_MS
_SETTLEMENT_MINUTES = 8 * 60


def candles_of(pair: PairMarket, timeframe: str) -> pd.DataFrame:
    """Return candles of a timeframe in Freqtrade's columns; the minute bars make them exactly."""
    minutes, bars = timeframe_seconds(timeframe) // 60, pair.bars
    volume = _grouped(bars.buy_lots + bars.sell_lots, minutes).sum(axis=1)
    return pd.DataFrame(
        {
            "date": every(pair, minutes),
            "open": pair.price(_grouped(bars.open, minutes)[:, 0]),
            "high": pair.price(_grouped(bars.high, minutes).max(axis=1)),
            "low": pair.price(_grouped(bars.low, minutes).min(axis=1)),
            "close": pair.price(_grouped(bars.close, minutes)[:, -1]),
            "volume": pair.amount(volume),
        }
    )


def mark_of(pair: PairMarket) -> pd.DataFrame:
    """Return 8-hour mark price candles: the minute closes, without the spikes between them."""
    first, last = pair.bars.open, pair.bars.close
    both = np.stack([first, last])
    return pd.DataFrame(
        {
            "date": every(pair, _SETTLEMENT_MINUTES),
            "open": pair.price(_grouped(first, _SETTLEMENT_MINUTES)[:, 0]),
            "high": pair.price(_grouped(both.max(axis=0), _SETTLEMENT_MINUTES).max(axis=1)),
            "low": pair.price(_grouped(both.min(axis=0), _SETTLEMENT_MINUTES).min(axis=1)),
            "close": pair.price(_grouped(last, _SETTLEMENT_MINUTES)[:, -1]),
            "volume": 0.0,
        }
    )


def order_flow_of(pair: PairMarket) -> pd.DataFrame:
    """Return taker volume (base currency) and trades of each 5-minute candle, at its close."""
    bars, closes = pair.bars, candle_closes(pair)
    return pd.DataFrame(
        {
            "event_time": closes,
            "available_at": closes,
            "buy_volume": pair.amount(_grouped(bars.buy_lots, process.CANDLE).sum(axis=1)),
            "sell_volume": pair.amount(_grouped(bars.sell_lots, process.CANDLE).sum(axis=1)),
            "n_trades": _grouped(bars.n_trades, process.CANDLE).sum(axis=1),
        }
    )


def planted_of(pair: PairMarket) -> pd.DataFrame:
    """Return the true signals at each 5-minute close: for judging a model, never for feeding it."""
    closes = candle_closes(pair)
    truth: dict[str, FloatArray] = {
        name: signal_of(pair, name).astype(np.float32) for name in ("order_flow", "regime", "news")
    }
    return pd.DataFrame({"event_time": closes, "available_at": closes, **truth})


def every(pair: PairMarket, minutes: int) -> pd.DatetimeIndex:
    """Return the opens of consecutive spans of `minutes`, those that begin inside the market."""
    opens = pair.start_ms + np.arange(0, len(pair), minutes) * _MINUTE_MS
    return pd.to_datetime(opens, unit="ms", utc=True).as_unit("ms")


def candle_closes(pair: PairMarket) -> pd.DatetimeIndex:
    """Return when each 5-minute candle closes."""
    return every(pair, process.CANDLE) + pd.Timedelta(milliseconds=_CANDLE_MS)


def _grouped(values: IntArray, minutes: int) -> IntArray:
    # Markets are whole days long, and every timeframe divides a day.
    return values.reshape(-1, minutes)
