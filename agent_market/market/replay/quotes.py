"""Tickers, books, trades and funding of one symbol in Binance's words (REST and streams)."""

from __future__ import annotations

from typing import Any

from agent_market.market.replay.orderbook import Book, Levels
from agent_market.market.replay.protocol import text
from agent_market.market.replay.series import DAY
from agent_market.market.replay.sides import Trades
from agent_market.market.replay.state import State
from agent_market.market.replay.venue import Venue

Row = dict[str, Any]


def priced(levels: Levels, decimals: int, tick: float, most: int | None = None) -> list[list[str]]:
    """Return book levels as `[price, amount]` texts, best first."""
    rows = list(levels.items())[:most]
    return [[text(round(ticks * tick, decimals)), text(amount)] for ticks, amount in rows]


def book_sides(book: Book, levels: tuple[Levels, Levels], most: int | None = None) -> Row:
    """Return both sides of a book or of its changes."""
    filters = book.state.instrument.filters
    bids, asks = (priced(side, filters.price_decimals, filters.tick, most) for side in levels)
    return {"bids": bids, "asks": asks}


def book_ticker(venue: Venue, symbol: str, now_ms: int) -> Row:
    """Return best bid and ask."""
    book = venue.book(symbol)
    top = book_sides(book, book.at(book.update_id(now_ms)), 1)
    bid, ask = ((side or [["0", "0"]])[0] for side in (top["bids"], top["asks"]))
    row = {"symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1]}
    row |= {"askPrice": ask[0], "askQty": ask[1]}
    return row if venue.is_spot else row | {"time": now_ms, "lastUpdateId": book.update_id(now_ms)}


def day_ticker(venue: Venue, symbol: str) -> Row:
    """Return the statistics of the last 24 hours."""
    state = venue.state(symbol)
    now = state.now()
    statistics = state.last_day(now)
    opened, high, low, _, volume = statistics.candle.tolist()
    last = state.last_price(now)
    mean = (opened + high + low + last) / 4
    latest = state.tape.latest(1, now)
    row = {
        "symbol": symbol,
        "priceChange": text(round(last - opened, 8)),
        "priceChangePercent": text(round((last / opened - 1) * 100, 3)),
        "weightedAvgPrice": text(round(mean, 8)),
        "lastPrice": text(last),
        "lastQty": text(latest.amount[-1]) if len(latest) else "0",
        "openPrice": text(opened),
        "highPrice": text(high),
        "lowPrice": text(low),
        "volume": text(round(volume, 8)),
        "quoteVolume": text(round(volume * mean, 8)),
        "openTime": now - DAY,
        "closeTime": now,
        "firstId": 0,
        "lastId": int(latest.id[-1]) if len(latest) else 0,
        "count": state.tape.per_candle * (DAY // state.instrument.finest.length_ms),
    }
    if venue.is_spot:
        row["prevClosePrice"] = text(statistics.previous_close)
        row |= {k: v for k, v in book_ticker(venue, symbol, now).items() if k != "symbol"}
    return row


def price_ticker(venue: Venue, symbol: str) -> Row:
    """Return the last price."""
    state = venue.state(symbol)
    now = state.now()
    row = {"symbol": symbol, "price": text(state.last_price(now))}
    return row if venue.is_spot else row | {"time": now}


def premium_index(state: State) -> Row:
    """Return mark price and funding; the index price is the mark price."""
    now = state.now()
    mark = text(state.mark_price(now))
    return {
        "symbol": state.instrument.id,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": text(state.last_funding(now)),
        "interestRate": "0.00010000",
        "nextFundingTime": state.next_funding_ms(now),
        "time": now,
    }


def aggregate_trades(trades: Trades, *, is_spot: bool) -> list[Row]:
    """Return trades as `aggTrades` rows; each holds one trade."""
    rows = [
        {"a": number, "p": text(p), "q": text(q), "f": number, "l": number, "T": t, "m": m}
        for number, p, q, t, m in _columns(trades)
    ]
    return [row | {"M": True} for row in rows] if is_spot else rows


def recent_trades(trades: Trades, *, is_spot: bool) -> list[Row]:
    """Return trades as `trades` rows."""
    rows = [
        {
            "id": number,
            "price": text(p),
            "qty": text(q),
            "quoteQty": text(round(p * q, 8)),
            "time": t,
            "isBuyerMaker": m,
        }
        for number, p, q, t, m in _columns(trades)
    ]
    return [row | {"isBestMatch": True} for row in rows] if is_spot else rows


def _columns(trades: Trades) -> zip[tuple[int, float, float, int, bool]]:
    return zip(
        trades.id.tolist(),
        trades.price.tolist(),
        trades.amount.tolist(),
        trades.time_ms.tolist(),
        trades.is_buyer_maker.tolist(),
        strict=True,
    )
