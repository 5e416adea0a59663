"""Which candles a request gets: paging by start, end and limit, the forming one, faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from agent_market.market.replay.candle_faults import any_candle_fault, distort, visible_ms
from agent_market.market.replay.protocol import text
from agent_market.market.replay.series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    FloatArray,
    IntArray,
    Series,
    closes_at,
)
from agent_market.market.replay.state import State
from agent_market.settings import FaultSettings

Forming = Callable[[str, int], tuple[int, FloatArray] | None]


class Window(NamedTuple):
    """What a request asks for: open times from start to end, at most `limit` rows."""

    interval: str
    start_ms: int | None
    end_ms: int | None
    limit: int


def price_klines(state: State, window: Window, faults: FaultSettings) -> list[list[Any]]:
    """Return price candles as Binance's 12-column rows."""
    series = state.instrument.candles(window.interval)
    times, values = _rows(state, series, state.forming, window, faults)
    per_candle = _trades_per_candle(state, window.interval)
    return [
        kline_row(window.interval, opened, candle, per_candle)
        for opened, candle in zip(times.tolist(), values.tolist(), strict=True)
    ]


def mark_klines(state: State, window: Window, faults: FaultSettings) -> list[list[Any]]:
    """Return mark candles: price columns, and zero where volumes would be."""
    series = state.mark_series(window.interval)
    times, values = _rows(state, series, state.forming_mark, window, faults)
    return [
        [
            opened,
            *map(text, candle[:VOLUME]),
            "0",
            closes_at(window.interval, opened) - 1,
            *("0", 0, "0", "0", "0"),
        ]
        for opened, candle in zip(times.tolist(), values.tolist(), strict=True)
    ]


def kline_row(interval: str, opened: int, candle: list[float], trades: int) -> list[Any]:
    """Return one candle as Binance's row.

    Stored candles carry neither quote volume nor taker volume: the mean of the four prices and
    the close's place in the range stand in for them.
    """
    quote, taker, taker_quote = estimate_volumes(candle)
    return [
        opened,
        *map(text, candle),
        closes_at(interval, opened) - 1,
        text(quote),
        trades if candle[VOLUME] else 0,
        text(taker),
        text(taker_quote),
        "0",
    ]


def estimate_volumes(candle: list[float]) -> tuple[float, float, float]:
    """Return quote volume, and the taker buyers' base and quote volume, of one candle."""
    mean = (candle[OPEN] + candle[HIGH] + candle[LOW] + candle[CLOSE]) / 4
    span = candle[HIGH] - candle[LOW]
    tilt = (candle[CLOSE] - candle[OPEN]) / span if span > 0 else 0.0
    bought = candle[VOLUME] * (0.5 + 0.25 * tilt)
    return round(candle[VOLUME] * mean, 8), round(bought, 8), round(bought * mean, 8)


def _trades_per_candle(state: State, interval: str) -> int:
    series = state.instrument.candles(interval)
    if series is None:
        return 0
    return state.tape.per_candle * max(1, series.length_ms // state.instrument.finest.length_ms)


def _rows(
    state: State,
    series: Series | None,
    forming: Forming,
    window: Window,
    faults: FaultSettings,
) -> tuple[IntArray, FloatArray]:
    if series is None:
        return np.empty(0, np.int64), np.empty((0, 5))
    now = visible_ms(faults, state.instrument.id, window.interval, state.now())
    if not state.clock.is_live and series.end_ms > now:
        now = series.end_ms  # a mark file may outlast the price file; as stored shows all of it
    closed = series.closed(now)
    latest = forming(window.interval, now)
    if latest is not None and closed and latest[0] <= series.open_ms[closed - 1]:
        latest = None
    first, last = _select(series.open_ms[:closed], latest, window)
    times, values = (
        series.open_ms[first : min(last, closed)],
        series.values[first : min(last, closed)],
    )
    if latest is not None and first <= closed < last:
        times = np.append(times, latest[0])
        values = np.vstack([values, latest[1]])
    if any_candle_fault(faults):
        return distort(faults, state.instrument.id, window.interval, times, values)
    return times, values


def _select(
    open_ms: IntArray, latest: tuple[int, FloatArray] | None, window: Window
) -> tuple[int, int]:
    """Return first and last row (exclusive); row `len(open_ms)` stands for the forming candle."""
    first, last = 0, len(open_ms) + (latest is not None)
    if window.end_ms is not None:
        last = int(np.searchsorted(open_ms, window.end_ms, "right"))
        last += latest is not None and latest[0] <= window.end_ms
    if window.start_ms is None:
        return max(0, last - window.limit), last
    first = int(np.searchsorted(open_ms, window.start_ms, "left"))
    first += first == len(open_ms) and latest is not None and latest[0] < window.start_ms
    return first, max(first, min(last, first + window.limit))
