"""What a perpetual has beside its price: funding, open interest, liquidations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from agent_market.market.simulator import process
from agent_market.market.simulator.crowd import SETTLEMENT_MINUTES, premium_of
from agent_market.market.simulator.frames import candle_closes, every
from agent_market.market.simulator.minutes import PairMarket
from agent_market.market.simulator.streams import (
    FloatArray,
    IntArray,
    decay_of,
    stationary,
    stream,
)

_MINUTE_MS = 60_000
_BASE_RATE, _RATE_SD, _RATE_CAP = 1e-4, 8e-5, 3e-3
_CROWDED_SPREAD = 4.0  # of the premium's share in the rate, where crowding is planted
_OPEN_INTEREST_TURNOVER = 0.5
_OPEN_INTEREST_SD = 0.15
_OPEN_INTEREST_DECAY = decay_of(10 * process.DAY / process.CANDLE)
_REFILL_DECAY = decay_of(process.DAY / process.CANDLE)
_OPEN_INTEREST_DELAY = pd.Timedelta(seconds=20)
_LIQUIDATION_THRESHOLD = 2.5
_LIQUIDATIONS_PER_EXCESS = 0.4
_LIQUIDATION_DELAY = pd.Timedelta(seconds=1)
_MOST_LIQUIDATED = 0.2  # of a minute's volume on the same side


def funding_of(pair: PairMarket, seed: int) -> pd.DataFrame:
    """Return 8-hourly funding in Freqtrade's layout: the rate stands in `open`.

    The rate of a settlement follows a slow premium and the return of the 8 hours before it. Where
    the premium predicts, it is `_CROWDED_SPREAD` times as large.
    """
    dates = every(pair, SETTLEMENT_MINUTES)
    premium = premium_of(seed, pair.profile.pair, len(dates))
    if pair.is_crowded:
        premium = _CROWDED_SPREAD * premium
    before = pair.bars.open[::SETTLEMENT_MINUTES]
    width = pair.profile.minute_volatility * SETTLEMENT_MINUTES**0.5
    past_return = np.diff(np.log(before), prepend=np.log(before[0])) / width
    rate = _BASE_RATE + _RATE_SD * (0.8 * premium + 0.6 * past_return)
    rounded = np.round(np.clip(rate, -_RATE_CAP, _RATE_CAP), 8)
    zeros = dict.fromkeys(("high", "low", "close", "volume"), 0.0)
    return pd.DataFrame({"date": dates, "open": rounded, **zeros})


def liquidations_of(pair: PairMarket, seed: int) -> pd.DataFrame:
    """Return forced orders: they come in minutes of large moves, against those who bet otherwise.

    `side` is the forced order's own: `sell` where a long is closed. Prices lie inside the minute's
    bar; a minute's forced amount is at most a fifth of its taker volume on that side.
    """
    bars = pair.bars
    move = np.log(bars.close / bars.open) / pair.profile.minute_volatility
    excess = np.maximum(0.0, np.abs(move) - _LIQUIDATION_THRESHOLD)
    generator = stream(seed, pair.profile.pair, "liquidations")
    counts = generator.poisson(np.minimum(_LIQUIDATIONS_PER_EXCESS * excess, 20.0))
    rows = np.repeat(np.arange(len(pair)), counts)
    draws = generator.random((len(rows), 3))
    is_sell = move[rows] < 0
    event_ms = pair.start_ms + rows * _MINUTE_MS + (draws[:, 0] * _MINUTE_MS).astype(np.int64)
    event = pd.to_datetime(event_ms, unit="ms", utc=True).as_unit("ms")
    frame = pd.DataFrame(
        {
            "event_time": event,
            "available_at": event + _LIQUIDATION_DELAY,
            "side": np.where(is_sell, "sell", "buy"),
            "price": pair.price(_forced_price(pair, rows, is_sell, draws[:, 1])),
            "amount": pair.amount(_forced_lots(pair, rows, is_sell, counts, draws[:, 2])),
        }
    )
    return frame.sort_values("event_time", kind="stable").reset_index(drop=True)


def open_interest_of(pair: PairMarket, seed: int, liquidations: pd.DataFrame) -> pd.DataFrame:
    """Return open interest (base currency) at each 5-minute close; liquidations reduce it."""
    closes, profile = candle_closes(pair), pair.profile
    generator = stream(seed, profile.pair, "open interest")
    slow = stationary(generator, len(closes), _OPEN_INTEREST_DECAY)
    level = _OPEN_INTEREST_TURNOVER * profile.daily_turnover / profile.price
    forced = _per_candle(pair, liquidations, len(closes))
    missing = lfilter([1.0], [1.0, -_REFILL_DECAY], forced)
    held = level * np.exp(_OPEN_INTEREST_SD * slow)
    open_interest = np.maximum(0.5 * held, held - missing)
    return pd.DataFrame(
        {
            "event_time": closes,
            "available_at": closes + _OPEN_INTEREST_DELAY,
            "open_interest": np.round(open_interest, profile.lot_decimals),
        }
    )


def _forced_price(
    pair: PairMarket, rows: IntArray, is_sell: np.ndarray, uniform: FloatArray
) -> IntArray:
    bars = pair.bars
    far = np.where(is_sell, bars.low[rows], bars.high[rows])
    near = bars.close[rows]
    return np.asarray(np.rint(near + (far - near) * uniform).astype(np.int64))


def _forced_lots(
    pair: PairMarket, rows: IntArray, is_sell: np.ndarray, counts: IntArray, uniform: FloatArray
) -> IntArray:
    side_lots = np.where(is_sell, pair.bars.sell_lots[rows], pair.bars.buy_lots[rows])
    share = _MOST_LIQUIDATED / counts[rows] * uniform**2
    return np.asarray(np.maximum(1, (side_lots * share).astype(np.int64)))


def _per_candle(pair: PairMarket, liquidations: pd.DataFrame, n_candles: int) -> FloatArray:
    event_ms = liquidations["event_time"].dt.as_unit("ms").astype("int64").to_numpy()
    rows = (event_ms - pair.start_ms) // (process.CANDLE * _MINUTE_MS)
    return np.asarray(np.bincount(rows, liquidations["amount"].to_numpy(), n_candles), np.float64)
