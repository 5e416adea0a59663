"""What one instrument shows at a moment: last price, candles, statistics, mark, funding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent_market.market.replay.clock import Clock
from agent_market.market.replay.library import Instrument
from agent_market.market.replay.series import (
    CLOSE,
    DAY,
    HIGH,
    HOUR,
    LOW,
    OPEN,
    VOLUME,
    FloatArray,
    IntArray,
    Series,
    merge,
    opened_at,
)
from agent_market.market.replay.sides import Trades, stored_liquidations, stored_open_interest
from agent_market.market.replay.tape import Tape

_FUNDING_INTERVAL = 8 * HOUR
_DERIVED_FUNDING = 0.0001
_DERIVED_OPEN_INTEREST_DAYS = 0.5


@dataclass(frozen=True)
class DayStatistics:
    """The last 24 hours: a row of open, high, low, close, volume, and when they begin."""

    candle: FloatArray
    start_ms: int
    previous_close: float


class State:
    """One instrument as of `now`, which each method takes in served milliseconds.

    Information time: nothing after `now` is shown, except in `Tape.forming`, which is cut here.
    """

    def __init__(self, instrument: Instrument, clock: Clock) -> None:
        self.instrument = instrument
        self.clock = clock
        self.tape = Tape(instrument)

    def now(self) -> int:
        """Return the market's time, at most the end of this instrument's history."""
        return min(self.clock.market_ms(), self.instrument.end_ms)

    @property
    def is_listed(self) -> bool:
        """Whether its history has begun."""
        return self.instrument.start_ms < self.clock.market_ms()

    @property
    def is_trading(self) -> bool:
        """Whether its history goes on; always so where the market stands still."""
        return not self.clock.is_live or self.clock.market_ms() < self.instrument.end_ms

    def forming_trades(self, now_ms: int) -> Trades | None:
        """Return the trades so far of the candle of the finest interval that is forming."""
        row = self.instrument.finest.row_at(now_ms)
        if row is None:
            return None
        trades = self.tape.forming(row)
        return trades.part(slice(0, int(np.searchsorted(trades.time_ms, now_ms, "right"))))

    def last_price(self, now_ms: int) -> float:
        """Return the price of the last trade."""
        trades = self.forming_trades(now_ms)
        if trades is not None and len(trades):
            return float(trades.price[-1])
        series = self.instrument.finest
        row = series.row_at(now_ms)
        return self._price_before(series.closed(now_ms) if row is None else row)

    def _price_before(self, row: int) -> float:
        """Return the close before a row of the finest interval; the first row has only its open."""
        values = self.instrument.finest.values
        return float(values[row - 1, CLOSE] if row else values[0, OPEN])

    def forming(self, interval: str, now_ms: int) -> tuple[int, FloatArray] | None:
        """Return open time and values of the price candle that is forming, None without data."""
        series = self.instrument.finest
        if self.instrument.candles(interval) is None:
            return None
        opened = opened_at(interval, now_ms)
        rows = slice(int(np.searchsorted(series.open_ms, opened)), series.closed(now_ms))
        parts = [series.values[rows]]
        partial = self._partial(now_ms)
        if partial is not None:
            parts.append(partial[None, :])
        candles = np.concatenate(parts)
        return (opened, merge(candles)) if len(candles) else None

    def _partial(self, now_ms: int) -> FloatArray | None:
        series = self.instrument.finest
        row = series.row_at(now_ms)
        if row is None:
            return None
        trades = self.forming_trades(now_ms)
        if trades is None or not len(trades):
            price = self._price_before(row)
            return np.array([price, price, price, price, 0.0])
        prices = trades.price
        return np.array(
            [prices[0], prices.max(), prices.min(), prices[-1], round(trades.amount.sum(), 8)]
        )

    def last_day(self, now_ms: int) -> DayStatistics:
        """Return statistics of the 24 hours before now."""
        series = self.instrument.finest
        closed = max(1, series.closed(now_ms))
        first = min(int(np.searchsorted(series.open_ms, now_ms - DAY)), closed - 1)
        candles = series.values[first:closed]
        partial = self._partial(now_ms)
        if partial is not None:
            candles = np.concatenate([candles, partial[None, :]])
        return DayStatistics(
            merge(candles),
            int(series.open_ms[first]),
            float(series.values[max(0, first - 1), CLOSE]),
        )

    def mark_series(self, interval: str) -> Series | None:
        """Return mark candles: stored or aggregated, else the price candles without volume."""
        stored = self.instrument.candles(interval, "mark")
        if stored is not None:
            return stored
        price = self.instrument.candles(interval)
        if price is None:
            return None
        values = price.values.copy()
        values[:, VOLUME] = 0.0
        return Series(interval, price.open_ms, values)

    def forming_mark(self, interval: str, now_ms: int) -> tuple[int, FloatArray] | None:
        """Return open time and values of the forming mark candle, None without data.

        A stored mark candle gives its open; the rest follows the price, so nothing after now
        shows.
        """
        series = self.mark_series(interval)
        row = None if series is None else series.row_at(now_ms)
        if series is None or row is None:
            return None
        forming = self.forming(interval, now_ms)
        opened = float(series.values[row, OPEN])
        if forming is None:
            return int(series.open_ms[row]), np.array([opened] * 4 + [0.0])
        moves = forming[1][[HIGH, LOW, CLOSE]] / forming[1][OPEN] * opened
        moves = np.round(moves, self.instrument.filters.price_decimals)
        return int(series.open_ms[row]), np.array([opened, *moves, 0.0])

    def mark_price(self, now_ms: int) -> float:
        """Return the mark price: from the stored mark candle that now falls in, else last."""
        names = self.instrument.intervals("mark")
        if names:
            forming = self.forming_mark(names[0], now_ms)
            if forming is not None:
                return float(forming[1][CLOSE])
        return self.last_price(now_ms)

    @cached_property
    def funding_interval_ms(self) -> int:
        """Time between fundings as stored; 8 hours where it cannot be told."""
        stored = self.instrument.funding
        if stored is None or len(stored[0]) < 2:
            return _FUNDING_INTERVAL
        return int(np.median(np.diff(stored[0])))

    @cached_property
    def funding(self) -> tuple[IntArray, FloatArray]:
        """Funding times and rates; without stored ones 0.01 % every 8 hours."""
        if self.instrument.funding is not None:
            return self.instrument.funding
        start, end = self.instrument.start_ms, self.instrument.end_ms
        first = -(-start // _FUNDING_INTERVAL) * _FUNDING_INTERVAL
        times = np.arange(first, end, _FUNDING_INTERVAL, dtype=np.int64)
        return times, np.full(len(times), _DERIVED_FUNDING)

    def last_funding(self, now_ms: int) -> float:
        """Return the latest funding rate."""
        times, rates = self.funding
        row = int(np.searchsorted(times, now_ms, "right")) - 1
        return float(rates[row]) if row >= 0 else _DERIVED_FUNDING

    def next_funding_ms(self, now_ms: int) -> int:
        """Return when the next funding is due."""
        step = self.funding_interval_ms
        return (now_ms // step + 1) * step

    def mark_at(self, time_ms: int) -> float:
        """Return the mark price at a past time: the open of the candle that begins there."""
        for kind in ("mark", self.instrument.kind):
            names = self.instrument.intervals(kind)
            series = self.instrument.candles(names[0], kind) if names else None
            row = None if series is None else series.row_at(time_ms)
            if series is not None and row is not None:
                return float(series.values[row, OPEN])
        return self.last_price(time_ms)

    def open_interest(self, times: IntArray) -> FloatArray:
        """Return open interest (base currency) at each time.

        Without stored rows: half of the volume of the day before, to the candle's close.
        """
        stored = self._stored_open_interest
        if stored is not None:
            rows = np.searchsorted(stored[0], times, "right") - 1
            return stored[1][np.clip(rows, 0, None)]
        series, sums = self.instrument.finest, self._volume_sums
        until = np.searchsorted(series.open_ms, times - series.length_ms, "right")
        since = np.searchsorted(series.open_ms, times - DAY - series.length_ms, "right")
        return np.round((sums[until] - sums[since]) * _DERIVED_OPEN_INTEREST_DAYS, 3)

    @cached_property
    def _stored_open_interest(self) -> tuple[IntArray, FloatArray] | None:
        instrument = self.instrument
        return stored_open_interest(instrument.datadir, instrument.pair, instrument.shift_ms)

    @cached_property
    def _volume_sums(self) -> FloatArray:
        return np.concatenate([[0.0], np.cumsum(self.instrument.finest.values[:, VOLUME])])

    @cached_property
    def liquidations(self) -> Trades | None:
        """Stored forced orders; none are invented."""
        instrument = self.instrument
        return stored_liquidations(instrument.datadir, instrument.pair, instrument.shift_ms)
