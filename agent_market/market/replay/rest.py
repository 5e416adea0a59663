"""The REST routes of both markets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent_market.market.replay import quotes
from agent_market.market.replay.exchange_info import exchange_info
from agent_market.market.replay.faults import FaultInjector
from agent_market.market.replay.klines import Window, mark_klines, price_klines
from agent_market.market.replay.protocol import (
    BinanceError,
    Json,
    Query,
    answer,
    error_answer,
    text,
)
from agent_market.market.replay.series import HOUR, INTERVALS, IntArray
from agent_market.market.replay.sides import Trades
from agent_market.market.replay.state import State
from agent_market.market.replay.venue import Venue

Handler = Callable[[Request], Awaitable[Response]]
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")


class MarketRoutes:
    """Answers the public requests of one market.

    Limits, defaults and error codes are Binance's; where spot and futures differ, both are
    followed.
    """

    def __init__(self, venue: Venue, injector: FaultInjector) -> None:
        self._venue = venue
        self._injector = injector
        self._weights = Weights(venue)

    def routes(self, prefix: str) -> list[Route]:
        """Return what both markets answer below `prefix`."""
        table: dict[str, tuple[int, Callable[[Query], Json]]] = {
            "ping": (1, lambda query: {}),
            "time": (1, lambda query: {"serverTime": self._venue.clock.server_ms()}),
            "exchangeInfo": (20 if self._venue.is_spot else 1, self.exchange_info),
            "klines": (2, self.klines),
            "depth": (5, self.depth),
            "trades": (25 if self._venue.is_spot else 5, self.trades),
            "aggTrades": (4 if self._venue.is_spot else 20, self.aggregate_trades),
            "ticker/24hr": (2, self.day_tickers),
            "ticker/price": (2, self.prices),
            "ticker/bookTicker": (2, self.book_tickers),
        }
        return [self.route(f"{prefix}/{path}", *entry) for path, entry in table.items()]

    def futures_routes(self) -> list[Route]:
        """Return what only the futures market answers."""
        return [
            self.route("/fapi/v1/markPriceKlines", 2, self.mark_klines),
            self.route("/fapi/v1/indexPriceKlines", 2, self.index_klines),
            self.route("/fapi/v1/premiumIndex", 1, self.premium_index),
            self.route("/fapi/v1/fundingRate", 1, self.funding_rates),
            self.route("/fapi/v1/fundingInfo", 1, self.funding_info),
            self.route("/fapi/v1/openInterest", 1, self.open_interest),
            self.route("/fapi/v2/ticker/price", 2, self.prices),
            self.route("/futures/data/openInterestHist", 1, self.open_interest_history),
        ]

    def route(self, path: str, weight: int, respond: Callable[[Query], Json]) -> Route:
        """Return a GET route that answers `respond` and counts its weight."""

        async def endpoint(request: Request) -> Response:
            headers = self._weights.add(weight)
            try:
                return answer(respond(Query(request.query_params)), headers=headers)
            except BinanceError as error:
                return error_answer(error, headers)

        return Route(path, endpoint, methods=["GET"])

    def exchange_info(self, query: Query) -> Json:
        """`exchangeInfo`; spot can narrow it by `symbol` or `symbols`."""
        return exchange_info(self._venue, self._symbols(query) if self._venue.is_spot else None)

    def klines(self, query: Query) -> Json:
        """`klines`: spot up to 1000 rows, futures up to 1500."""
        state = self._state(query)
        return price_klines(state, self._window(query), self._injector.settings)

    def mark_klines(self, query: Query) -> Json:
        """`markPriceKlines`."""
        return mark_klines(self._state(query), self._window(query), self._injector.settings)

    def index_klines(self, query: Query) -> Json:
        """`indexPriceKlines`: the mark price's, named by `pair`."""
        state = self._venue.state(query.required("pair"))
        return mark_klines(state, self._window(query), self._injector.settings)

    def depth(self, query: Query) -> Json:
        """`depth`: futures allow only Binance's limits (-4021)."""
        state = self._state(query)
        limit = query.integer("limit")
        if not self._venue.is_spot and limit is not None and limit not in _DEPTHS:
            raise BinanceError(-4021, f"'{limit}' is not valid depth limit.")
        book = self._venue.book(state.instrument.id)
        now = state.now()
        default = 100 if self._venue.is_spot else 500
        sides = quotes.book_sides(book, book.at(book.update_id(now)), limit or default)
        times = {} if self._venue.is_spot else {"E": now, "T": now}
        return {"lastUpdateId": book.update_id(now), **times, **sides}

    def trades(self, query: Query) -> Json:
        """`trades`: the latest, up to 1000."""
        state = self._state(query)
        limit = query.limit(500, 1000, is_strict=not self._venue.is_spot)
        found = state.tape.latest(limit, state.now())
        return quotes.recent_trades(found, is_spot=self._venue.is_spot)

    def aggregate_trades(self, query: Query) -> Json:
        """`aggTrades`: by id, by time, or the latest; up to 1000."""
        state = self._state(query)
        limit = query.limit(500, 1000, is_strict=not self._venue.is_spot)
        found = self._find_trades(state, query, limit)
        return quotes.aggregate_trades(found, is_spot=self._venue.is_spot)

    def day_tickers(self, query: Query) -> Json:
        """`ticker/24hr`: one symbol, or all."""
        return self._each(query, lambda name: quotes.day_ticker(self._venue, name))

    def prices(self, query: Query) -> Json:
        """`ticker/price`: one symbol, or all."""
        return self._each(query, lambda name: quotes.price_ticker(self._venue, name))

    def book_tickers(self, query: Query) -> Json:
        """`ticker/bookTicker`: one symbol, or all."""
        venue = self._venue
        return self._each(
            query, lambda name: quotes.book_ticker(venue, name, venue.state(name).now())
        )

    def premium_index(self, query: Query) -> Json:
        """`premiumIndex`: one symbol, or all."""
        return self._each(query, lambda name: quotes.premium_index(self._venue.state(name)))

    def funding_rates(self, query: Query) -> Json:
        """`fundingRate`: ascending from `startTime`, else the latest; up to 1000."""
        name = query.optional("symbol")
        states = [self._venue.state(name)] if name else list(self._venue.states())
        limit = query.limit(100, 1000, is_strict=True)
        start, end = self._range(query)
        rows = [row for state in states for row in _funding_rows(state, start, end)]
        rows.sort(key=lambda row: row["fundingTime"])
        return rows[:limit] if start is not None else rows[-limit:]

    def funding_info(self, query: Query) -> Json:
        """`fundingInfo`: the hours between fundings."""
        return [
            {
                "symbol": state.instrument.id,
                "adjustedFundingRateCap": "0.02",
                "adjustedFundingRateFloor": "-0.02",
                "fundingIntervalHours": state.funding_interval_ms // HOUR,
            }
            for state in self._venue.states()
        ]

    def open_interest(self, query: Query) -> Json:
        """`openInterest` now."""
        state = self._state(query)
        now = state.now()
        amount = float(state.open_interest(np.array([now], np.int64))[0])
        return {"symbol": state.instrument.id, "openInterest": text(amount), "time": now}

    def open_interest_history(self, query: Query) -> Json:
        """`openInterestHist`: at each period's begin, up to 500 rows."""
        state = self._state(query)
        period = query.required("period")
        if period not in _PERIODS:
            raise BinanceError(-1130, "Data sent for parameter 'period' is not valid.")
        limit = query.limit(30, 500, is_strict=True)
        times = _period_times(state, INTERVALS[period], self._range(query), limit)
        amounts = state.open_interest(times)
        return [
            {
                "symbol": state.instrument.id,
                "sumOpenInterest": text(amount),
                "sumOpenInterestValue": text(round(amount * state.last_price(time), 8)),
                "timestamp": time,
            }
            for time, amount in zip(times.tolist(), amounts.tolist(), strict=True)
        ]

    def _state(self, query: Query) -> State:
        return self._venue.state(query.required("symbol"))

    def _symbols(self, query: Query) -> list[str] | None:
        name, names = query.optional("symbol"), query.optional("symbols")
        if name is not None:
            return [name]
        if names is None:
            return None
        try:
            return [str(each) for each in orjson.loads(names)]
        except orjson.JSONDecodeError as error:
            raise BinanceError(
                -1100, "Illegal characters found in parameter 'symbols'; legal range is a list."
            ) from error

    def _each(self, query: Query, make: Callable[[str], dict[str, Any]]) -> Json:
        name = query.optional("symbol")
        if name is not None:
            return make(self._venue.state(name).instrument.id)
        return [make(each) for each in self._symbols(query) or self._venue.symbols]

    def _range(self, query: Query) -> tuple[int | None, int | None]:
        start, end = query.integer("startTime"), query.integer("endTime")
        if start is not None and end is not None and start > end and not self._venue.is_spot:
            raise BinanceError(-1023, "Start time is greater than end time.")
        return start, end

    def _window(self, query: Query) -> Window:
        is_spot = self._venue.is_spot
        interval = query.interval(has_seconds=is_spot)
        limit = query.limit(500, 1000 if is_spot else 1500, is_strict=not is_spot)
        return Window(interval, *self._range(query), limit)

    def _find_trades(self, state: State, query: Query, limit: int) -> Trades:
        now, first_id = state.now(), query.integer("fromId")
        start, end = self._range(query)
        if first_id is not None:
            return state.tape.from_id(first_id, limit, now)
        if start is None and end is None:
            return state.tape.latest(limit, now)
        if start is None:
            return state.tape.latest(limit, min(now, end or now))
        if end is not None and end - start > HOUR and not self._venue.is_spot:
            raise BinanceError(-1127, "More than 1 hours between startTime and endTime.")
        return state.tape.between(start, now if end is None else min(end, now), limit)


class Weights:
    """Adds up request weights by minute, as Binance's response headers tell them."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._minute = 0
        self._used = 0

    def add(self, weight: int) -> dict[str, str]:
        """Count one request; return the header that tells the minute's sum."""
        minute = self._venue.clock.server_ms() // 60_000
        self._used = weight + (self._used if minute == self._minute else 0)
        self._minute = minute
        return {"X-MBX-USED-WEIGHT-1M": str(self._used)}


def _funding_rows(state: State, start: int | None, end: int | None) -> list[dict[str, Any]]:
    times, rates = state.funding
    now = state.clock.market_ms()
    first = 0 if start is None else int(np.searchsorted(times, start))
    last = int(np.searchsorted(times, now if end is None else min(end, now), "right"))
    return [
        {
            "symbol": state.instrument.id,
            "fundingTime": time,
            "fundingRate": text(rate),
            "markPrice": text(state.mark_at(time)),
        }
        for time, rate in zip(times[first:last].tolist(), rates[first:last].tolist(), strict=True)
    ]


def _period_times(
    state: State, step: int, window: tuple[int | None, int | None], limit: int
) -> IntArray:
    start, end = window
    now = state.now()
    last = min(now, now if end is None else end) // step * step
    earliest = state.instrument.start_ms
    if start is None:
        first = max(last - (limit - 1) * step, -(-earliest // step) * step)
    else:
        first = -(-max(start, earliest) // step) * step
    return np.arange(first, last + 1, step, dtype=np.int64)[:limit]
