"""The trades inside each candle: stored ones where it has any, else a path derived from it.

The derived path of a candle starts at its open, visits both extremes, ends at its close, and its
amounts sum to the volume; so forming candles, the last price and the trades agree, and at the
close the aggregate is the stored candle. It depends on the symbol and the row alone.

Trade ids are the exchange's own, stored trades included: row of the candle times a stride, plus the
place in the candle. So they ascend through stored and derived stretches, and an id names its row.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cached_property

import numpy as np

from agent_market.market.replay.library import Instrument
from agent_market.market.replay.series import (
    CLOSE,
    HIGH,
    LOW,
    MINUTE,
    OPEN,
    VOLUME,
    FloatArray,
    IntArray,
    Series,
)
from agent_market.market.replay.sides import Trades, stored_trades

_PER_MINUTE = 20
_MOST_PER_CANDLE = 300
_AMOUNT_DECIMALS = 8


def scramble(numbers: IntArray, seed: int) -> FloatArray:
    """Return a reproducible uniform number in [0, 1) for each integer (splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


class Tape:
    """The trades of one instrument up to any moment."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        series = instrument.finest
        minutes = max(1, series.length_ms // MINUTE)
        self.per_candle = min(_MOST_PER_CANDLE, _PER_MINUTE * minutes)
        self._forming: tuple[int, Trades] | None = None

    @cached_property
    def _stored(self) -> Trades | None:
        """The directory's own trades with this exchange's ids."""
        instrument = self.instrument
        found = stored_trades(instrument.datadir, instrument.pair, instrument.shift_ms)
        if found is None:
            return None
        series = instrument.finest
        rows = np.searchsorted(series.open_ms, found.time_ms, "right") - 1
        inside = (rows >= 0) & (found.time_ms < series.open_ms[rows] + series.length_ms)
        rows, found = rows[inside], found.part(inside)
        if not len(found):
            return None
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        self._stride = max(self.per_candle, int(place.max()) + 1)
        return replace(found, id=rows * self._stride + place)

    @property
    def stride(self) -> int:
        """Ids set aside for each candle."""
        return self._stride if self._stored is not None else self.per_candle

    def forming(self, row: int) -> Trades:
        """Return all trades of one candle of the finest interval, future ones included."""
        if self._forming is None or self._forming[0] != row:
            self._forming = (row, self._of_rows(row, row + 1))
        return self._forming[1]

    def between(self, start_ms: int, end_ms: int, limit: int | None = None) -> Trades:
        """Return trades with start <= time <= end, the first `limit` of them."""
        series = self.instrument.finest
        row = max(0, int(np.searchsorted(series.open_ms, start_ms, "right")) - 1)
        stop = int(np.searchsorted(series.open_ms, end_ms, "right"))
        return self._ascending(row, stop, limit, start_ms, end_ms, 0)

    def from_id(self, first_id: int, limit: int, now_ms: int) -> Trades:
        """Return up to `limit` trades with id >= `first_id` that have happened by now."""
        row = first_id // self.stride
        stop = int(np.searchsorted(self.instrument.finest.open_ms, now_ms, "right"))
        return self._ascending(row, stop, limit, 0, now_ms, first_id)

    def latest(self, limit: int, now_ms: int) -> Trades:
        """Return the last `limit` trades that have happened by now."""
        stop = int(np.searchsorted(self.instrument.finest.open_ms, now_ms, "right"))
        rows = limit // self.per_candle + 2
        while True:
            found = self._of_rows(max(0, stop - rows), stop)
            found = found.part(found.time_ms <= now_ms)
            if len(found) >= limit or rows >= stop:
                return found.part(slice(max(0, len(found) - limit), None))
            rows *= 4  # candles without volume hold no trades

    def _ascending(
        self, row: int, stop: int, limit: int | None, start_ms: int, end_ms: int, first_id: int
    ) -> Trades:
        rows = stop - row if limit is None else limit // self.per_candle + 2
        while True:
            found = self._of_rows(row, min(stop, row + rows))
            kept = (found.time_ms >= start_ms) & (found.time_ms <= end_ms) & (found.id >= first_id)
            found = found.part(kept)
            if limit is None or len(found) >= limit or row + rows >= stop:
                return found.part(slice(None, limit))
            rows *= 4

    def _of_rows(self, first: int, stop: int) -> Trades:
        derived = self._derive(first, stop)
        if self._stored is None:
            return derived
        span = slice(*np.searchsorted(self._stored.id, [first * self.stride, stop * self.stride]))
        stored = self._stored.part(span)
        if not len(stored):
            return derived
        rows = np.unique(stored.id // self.stride)
        derived = derived.part(~np.isin(derived.id // self.stride, rows))
        return _joined(derived, stored)

    def _derive(self, first: int, stop: int) -> Trades:
        instrument = self.instrument
        series = instrument.finest
        rows = np.arange(first, max(first, stop), dtype=np.int64)
        place = np.arange(self.per_candle)
        draws = rows[:, None] * self.per_candle + place
        noise = scramble(draws.ravel(), instrument.seed).reshape(draws.shape)
        ids = rows[:, None] * self.stride + place
        prices = _path(series.values[first:stop], noise, instrument.filters.price_decimals)
        amounts = _amounts(series.values[first:stop, VOLUME], noise)
        is_buyer_maker = np.diff(prices, axis=1, prepend=prices[:, :1]) < 0
        is_buyer_maker |= (np.diff(prices, axis=1, prepend=prices[:, :1]) == 0) & (noise < 0.5)
        times = _trade_times(series, rows, noise)
        traded = amounts.ravel() > 0
        return Trades(
            times.ravel()[traded],
            ids.ravel()[traded],
            prices.ravel()[traded],
            amounts.ravel()[traded],
            is_buyer_maker.ravel()[traded],
        )


def _joined(one: Trades, other: Trades) -> Trades:
    names = [field.name for field in fields(Trades)]
    both = Trades(*(np.concatenate([getattr(one, n), getattr(other, n)]) for n in names))
    return both.part(np.argsort(both.id))


def _path(candles: FloatArray, noise: FloatArray, decimals: int) -> FloatArray:
    """Return prices (n_rows, n_trades) from open over both extremes to close."""
    count = noise.shape[1]
    half = count // 2
    early = 1 + (noise[:, :1] * (half - 1)).astype(np.int64)
    late = half + (noise[:, 1:2] * (half - 1)).astype(np.int64)
    rises = (candles[:, CLOSE] >= candles[:, OPEN])[:, None]
    low, high = candles[:, [LOW]], candles[:, [HIGH]]
    first, second = np.where(rises, low, high), np.where(rises, high, low)
    at = np.arange(count)[None, :]
    legs = [
        candles[:, [OPEN]] + (first - candles[:, [OPEN]]) * (at / early),
        first + (second - first) * ((at - early) / (late - early)),
        second + (candles[:, [CLOSE]] - second) * ((at - late) / (count - 1 - late)),
    ]
    legged = np.select([at <= early, at <= late], legs[:2], legs[2])
    prices: FloatArray = np.clip(np.round(legged, decimals), low, high)
    prices[:, 0] = candles[:, OPEN]
    prices[:, -1] = candles[:, CLOSE]
    np.put_along_axis(prices, early, first, axis=1)
    np.put_along_axis(prices, late, second, axis=1)
    return prices


def _amounts(volume: FloatArray, noise: FloatArray) -> FloatArray:
    """Return amounts (n_rows, n_trades) that sum to each row's volume."""
    share = np.cumsum(0.5 + noise, axis=1)
    total = np.round(volume[:, None] * share / share[:, -1:], _AMOUNT_DECIMALS)
    amounts: FloatArray = np.round(np.diff(total, axis=1, prepend=0.0), _AMOUNT_DECIMALS)
    return amounts


def _trade_times(series: Series, rows: IntArray, noise: FloatArray) -> IntArray:
    count = noise.shape[1]
    slot = series.length_ms // count
    offsets = np.arange(count) * slot + (noise * slot).astype(np.int64)
    offsets[:, 0] = 0  # the open is known as soon as the candle is
    times: IntArray = series.open_ms[rows][:, None] + offsets
    return times
