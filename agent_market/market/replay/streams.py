"""What each WebSocket stream has to say since it was last asked.

A stream is asked every `period_ms`; it speaks on change, as Binance's do, so a market that stands
still (as stored) is described once and then silent.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from agent_market.market.replay import quotes
from agent_market.market.replay.candle_faults import fault_of, visible_ms
from agent_market.market.replay.faults import FaultInjector
from agent_market.market.replay.klines import estimate_volumes
from agent_market.market.replay.protocol import BinanceError, text
from agent_market.market.replay.series import INTERVALS, VOLUME, FloatArray, closes_at
from agent_market.market.replay.venue import Venue

Event = dict[str, Any]


class Stream(ABC):
    """One subscription of one connection."""

    period_ms = 100

    @abstractmethod
    def events(self) -> list[Any]:
        """Return what has happened since the last call."""


class Klines(Stream):
    """`<symbol>@kline_<interval>`: the forming candle on change, each closed one once."""

    period_ms = 250

    def __init__(self, venue: Venue, symbol: str, interval: str, injector: FaultInjector) -> None:
        self._venue, self._state = venue, venue.state(symbol)
        self._interval, self._injector = interval, injector
        self._opened: int | None = None
        self._said: Event | None = None

    def events(self) -> list[Any]:
        """Return closed candles since the last call, then the forming one if it changed."""
        symbol = self._state.instrument.id
        now = visible_ms(self._injector.settings, symbol, self._interval, self._state.now())
        forming = self._state.forming(self._interval, now)
        if forming is None:
            return self._stand_still(now)
        opened, values = forming
        events = [] if self._opened is None else self._closed_between(self._opened, opened)
        self._opened = opened
        kline = self._kline(opened, values, is_closed=False)
        if kline != self._said:
            self._said = kline
            events.append(self._event(kline))
        return events

    def _stand_still(self, now_ms: int) -> list[Any]:
        series = self._state.instrument.candles(self._interval)
        closed = 0 if series is None else series.closed(now_ms)
        if series is None or not closed:
            return []
        last = int(series.open_ms[closed - 1])
        since = last if self._opened is None and self._said is None else self._opened
        if since is None:
            return []
        self._opened, self._said = None, {}
        return self._closed_between(since, last + 1)

    def _closed_between(self, first_ms: int, stop_ms: int) -> list[Any]:
        series = self._state.instrument.candles(self._interval)
        if series is None:
            return []
        rows = range(*np.searchsorted(series.open_ms, [first_ms, stop_ms]).tolist())
        events = []
        for row in rows:
            opened = int(series.open_ms[row])
            event = self._event(self._kline(opened, series.values[row], is_closed=True))
            events += [event] * self._times_sent(opened)
        return events

    def _times_sent(self, opened: int) -> int:
        faults, symbol = self._injector.settings, self._state.instrument.id
        fault = fault_of(faults, symbol, self._interval, opened)
        return {"missing": 0, "duplicate": 2}.get(fault or "", 1)

    def _kline(self, opened: int, values: FloatArray, *, is_closed: bool) -> Event:
        candle = values.tolist()
        quote, taker, taker_quote = estimate_volumes(candle)
        names = zip("ohlcv", candle, strict=True)
        return {
            "t": opened,
            "T": closes_at(self._interval, opened) - 1,
            "s": self._state.instrument.id,
            "i": self._interval,
            "f": 0,
            "L": 0,
            **{name: text(value) for name, value in names},
            "n": self._state.tape.per_candle if candle[VOLUME] else 0,
            "x": is_closed,
            "q": text(quote),
            "V": text(taker),
            "Q": text(taker_quote),
            "B": "0",
        }

    def _event(self, kline: Event) -> Event:
        now = self._venue.clock.server_ms()
        return {"e": "kline", "E": now, "s": self._state.instrument.id, "k": kline}


class TradeStream(Stream):
    """`<symbol>@aggTrade` and `<symbol>@trade`."""

    def __init__(self, venue: Venue, symbol: str, *, is_aggregate: bool) -> None:
        self._venue, self._state = venue, venue.state(symbol)
        self._is_aggregate = is_aggregate
        self._since = self._state.now()

    def events(self) -> list[Any]:
        """Return the trades since the last call."""
        now = self._state.now()
        if now <= self._since:
            return []
        trades = self._state.tape.between(self._since + 1, now)
        self._since = now
        rows = quotes.aggregate_trades(trades, is_spot=self._venue.is_spot)
        head = {"E": self._venue.clock.server_ms(), "s": self._state.instrument.id}
        if self._is_aggregate:
            return [{"e": "aggTrade", **head, **row} for row in rows]
        return [self._single(head, row) for row in rows]

    def _single(self, head: Event, row: Event) -> Event:
        kept = {name: row[name] for name in ("p", "q", "T", "m")}
        tail = {"M": True} if self._venue.is_spot else {"X": "MARKET"}
        return {"e": "trade", **head, "t": row["a"], **kept, **tail}


class DepthChanges(Stream):
    """`<symbol>@depth`: changed levels between consecutive update ids."""

    def __init__(self, venue: Venue, symbol: str, period_ms: int) -> None:
        self._venue, self._symbol, self.period_ms = venue, symbol, period_ms
        self._book = venue.book(symbol)
        self._id = self._book.update_id(self._book.state.now())

    def events(self) -> list[Any]:
        """Return one update if any level changed."""
        now = self._book.state.now()
        update_id = self._book.update_id(now)
        if update_id <= self._id:
            return []
        sides = quotes.book_sides(self._book, self._book.changes(self._id, update_id))
        if not sides["bids"] and not sides["asks"]:
            return []
        event: Event = {"e": "depthUpdate", "E": self._venue.clock.server_ms()}
        ids: Event = {"s": self._symbol, "U": self._id + 1, "u": update_id}
        if not self._venue.is_spot:
            ids |= {"T": now, "pu": self._id}
        self._id = update_id
        return [event | ids | {"b": sides["bids"], "a": sides["asks"]}]


class PartialDepth(Stream):
    """`<symbol>@depth<5|10|20>`: the top of the book."""

    def __init__(self, venue: Venue, symbol: str, levels: int, period_ms: int) -> None:
        self._venue, self._symbol, self._levels = venue, symbol, levels
        self.period_ms = period_ms
        self._said: Event | None = None

    def events(self) -> list[Any]:
        """Return the top levels if they changed."""
        book = self._venue.book(self._symbol)
        now = book.state.now()
        update_id = book.update_id(now)
        sides = quotes.book_sides(book, book.at(update_id), self._levels)
        if sides == self._said:
            return []
        self._said = sides
        if self._venue.is_spot:
            return [{"lastUpdateId": update_id, **sides}]
        head = {"e": "depthUpdate", "E": self._venue.clock.server_ms(), "T": now}
        ids = {"s": self._symbol, "U": update_id, "u": update_id, "pu": update_id - 1}
        return [{**head, **ids, "b": sides["bids"], "a": sides["asks"]}]


class Snapshots(Stream):
    """Any stream that tells the same kind of row for one or all symbols, on change."""

    def __init__(
        self,
        symbols: list[str],
        make: Callable[[str], tuple[Event, Event]],
        period_ms: int,
        *,
        is_array: bool,
    ) -> None:
        self._symbols, self._make, self._is_array = symbols, make, is_array
        self.period_ms = period_ms
        self._said: dict[str, Event] = {}

    def events(self) -> list[Any]:
        """Return the rows that changed: one by one, or all in one list."""
        changed = []
        for symbol in self._symbols:
            told, extra = self._make(symbol)
            if told != self._said.get(symbol):
                self._said[symbol] = told
                changed.append({**extra, **told})
        return [changed] if self._is_array and changed else changed


class ForcedOrders(Stream):
    """`<symbol>@forceOrder` and `!forceOrder@arr`: the stored liquidations."""

    def __init__(self, venue: Venue, symbols: list[str]) -> None:
        self._venue = venue
        self._since = {symbol: venue.state(symbol).now() for symbol in symbols}

    def events(self) -> list[Any]:
        """Return the forced orders since the last call."""
        return [event for symbol in self._since for event in self._of(symbol)]

    def _of(self, symbol: str) -> list[Any]:
        state = self._venue.state(symbol)
        now, since = state.now(), self._since[symbol]
        self._since[symbol] = now
        stored = state.liquidations
        if stored is None:
            return []
        found = stored.part((stored.time_ms > since) & (stored.time_ms <= now))
        rows = quotes.aggregate_trades(found, is_spot=False)
        return [self._event(symbol, row) for row in rows]

    def _event(self, symbol: str, row: Event) -> Event:
        order = {"s": symbol, "S": "SELL" if row["m"] else "BUY", "o": "LIMIT", "f": "IOC"}
        order |= {"q": row["q"], "p": row["p"], "ap": row["p"], "X": "FILLED"}
        order |= {"l": row["q"], "z": row["q"], "T": row["T"]}
        return {"e": "forceOrder", "E": self._venue.clock.server_ms(), "o": order}


class Catalogue:
    """Makes streams from Binance's stream names."""

    def __init__(self, venue: Venue, injector: FaultInjector) -> None:
        self._venue = venue
        self._injector = injector

    def stream(self, name: str) -> Stream | None:
        """Return the stream of that name, None where this market has none."""
        if name.startswith("!"):
            return self._of_all(name)
        symbol, _, channel = name.partition("@")
        try:
            state = self._venue.state(symbol.upper())
        except BinanceError:
            return None
        return self._of_one(state.instrument.id, channel)

    def _of_one(self, symbol: str, channel: str) -> Stream | None:
        venue = self._venue
        kline = re.fullmatch(r"kline_(\w+)", channel)
        if kline:
            known = kline[1] in INTERVALS
            return Klines(venue, symbol, kline[1], self._injector) if known else None
        depth = re.fullmatch(r"depth(5|10|20)?(?:@(100|250|500|1000)ms)?", channel)
        if depth:
            period = int(depth[2] or (1000 if venue.is_spot else 250))
            if depth[1]:
                return PartialDepth(venue, symbol, int(depth[1]), period)
            return DepthChanges(venue, symbol, period)
        if channel in ("aggTrade", "trade"):
            return TradeStream(venue, symbol, is_aggregate=channel == "aggTrade")
        if channel == "forceOrder" and not venue.is_spot:
            return ForcedOrders(venue, [symbol])
        return self._snapshots([symbol], channel, is_array=False)

    def _of_all(self, name: str) -> Stream | None:
        symbols = self._venue.symbols
        channel = name[1:].replace("@arr", "")
        if channel == "forceOrder" and not self._venue.is_spot:
            return ForcedOrders(self._venue, symbols)
        return self._snapshots(symbols, channel, is_array=channel != "bookTicker")

    def _snapshots(self, symbols: list[str], channel: str, *, is_array: bool) -> Stream | None:
        name, _, speed = channel.partition("@")
        if name == "markPrice" and not self._venue.is_spot:
            period = 1000 if speed == "1s" else 3000
            return Snapshots(symbols, self._mark_price, period, is_array=is_array)
        makers = {
            "bookTicker": (self._book_ticker, 100),
            "ticker": (self._ticker, 1000),
            "miniTicker": (self._mini_ticker, 1000),
        }
        if speed or name not in makers:
            return None
        make, period = makers[name]
        return Snapshots(symbols, make, period, is_array=is_array)

    def _head(self, event: str) -> Event:
        return {"e": event, "E": self._venue.clock.server_ms()}

    def _mark_price(self, symbol: str) -> tuple[Event, Event]:
        row = quotes.premium_index(self._venue.state(symbol))
        told = {"s": symbol, "p": row["markPrice"], "i": row["indexPrice"]}
        told |= {"P": row["estimatedSettlePrice"], "r": row["lastFundingRate"]}
        return told | {"T": row["nextFundingTime"]}, self._head("markPriceUpdate")

    def _book_ticker(self, symbol: str) -> tuple[Event, Event]:
        venue = self._venue
        now = venue.state(symbol).now()
        row = quotes.book_ticker(venue, symbol, now)
        told = {"s": symbol, "b": row["bidPrice"], "B": row["bidQty"]}
        told |= {"a": row["askPrice"], "A": row["askQty"]}
        extra: Event = {"u": venue.book(symbol).update_id(now)}
        if not venue.is_spot:
            extra |= self._head("bookTicker") | {"T": now}
        return told, extra

    def _ticker(self, symbol: str) -> tuple[Event, Event]:
        row = quotes.day_ticker(self._venue, symbol)
        told = {"s": symbol, "p": row["priceChange"], "P": row["priceChangePercent"]}
        told |= {"w": row["weightedAvgPrice"], "c": row["lastPrice"], "Q": row["lastQty"]}
        told |= {"o": row["openPrice"], "h": row["highPrice"], "l": row["lowPrice"]}
        told |= {"v": row["volume"], "q": row["quoteVolume"]}
        if self._venue.is_spot:
            told |= {"x": row["prevClosePrice"], "b": row["bidPrice"], "B": row["bidQty"]}
            told |= {"a": row["askPrice"], "A": row["askQty"]}
        times = {"O": row["openTime"], "C": row["closeTime"], "n": row["count"]}
        return told, self._head("24hrTicker") | times

    def _mini_ticker(self, symbol: str) -> tuple[Event, Event]:
        full, _ = self._ticker(symbol)
        return {name: full[name] for name in "scohlvq"}, self._head("24hrMiniTicker")
