"""Real ccxt and ccxt.pro clients against real server processes."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
import pytest
from tiny_market import rows_of, walk

from agent_market.market.replay import Replay, ccxt_overlay

PERPETUAL = "BTC/USDT:USDT"
STORED = rows_of(walk(0, 60_000.0))
PROJECT = Path(__file__).resolve().parents[3]


def options(replay: Replay, market: str) -> dict[str, Any]:
    return {
        **ccxt_overlay(replay.url)["exchange"]["ccxt_config"],
        "options": {"defaultType": market},
    }


@pytest.fixture(scope="module")
def futures(stored_exchange: Replay) -> ccxt.binance:
    return ccxt.binance(options(stored_exchange, "swap"))


def leaves(tree: Any) -> Iterator[str]:
    for value in tree.values() if isinstance(tree, dict) else ():
        yield from leaves(value)
    if isinstance(tree, str):
        yield tree


def test_that_no_address_of_ccxt_leaves_the_machine(stored_exchange: Replay) -> None:
    for kind in (ccxt.binance, ccxt.pro.binance):
        client = kind(options(stored_exchange, "swap"))
        host = stored_exchange.url.removeprefix("http")
        assert all(
            url.removeprefix("http").removeprefix("ws").startswith(host)
            for url in leaves(client.urls["api"])
        )


def test_that_the_committed_replay_config_is_the_overlay() -> None:
    committed = json.loads((PROJECT / "config.replay.json").read_text())
    assert committed["exchange"] == ccxt_overlay("http://127.0.0.1:8480")["exchange"]


def test_that_markets_load(futures: ccxt.binance) -> None:
    markets = futures.load_markets()
    assert set(markets) == {"BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT"}
    assert markets[PERPETUAL]["linear"] and markets[PERPETUAL]["active"]
    assert markets[PERPETUAL]["precision"] == {
        **markets[PERPETUAL]["precision"],
        "price": 0.01,
        "amount": 0.001,
    }


def test_that_ccxt_pages_through_the_stored_candles(futures: ccxt.binance) -> None:
    rows: list[list[float]] = []
    since = STORED[0][0]
    while page := futures.fetch_ohlcv(PERPETUAL, "1m", since=int(since), limit=700):
        rows += page
        since = page[-1][0] + 1
    assert rows == STORED


def test_that_ccxt_reads_mark_funding_and_open_interest(futures: ccxt.binance) -> None:
    mark = futures.fetch_ohlcv(PERPETUAL, "1h", limit=5, params={"price": "mark"})
    assert len(mark) == 5
    history = futures.fetch_funding_rate_history(PERPETUAL, limit=9)
    assert len(history) == 9 and history[0]["symbol"] == PERPETUAL
    rates = futures.fetch_funding_rates([PERPETUAL])
    assert rates[PERPETUAL]["fundingRate"] == history[-1]["fundingRate"]
    interest = futures.fetch_open_interest_history(PERPETUAL, "1h", limit=3)
    assert [row["openInterestAmount"] > 0 for row in interest] == [True] * 3
    assert futures.fetch_open_interest(PERPETUAL)["openInterestAmount"] > 0


def test_that_ccxt_reads_tickers_books_and_trades(futures: ccxt.binance) -> None:
    last = STORED[-1][4]
    assert futures.fetch_tickers()[PERPETUAL]["last"] == last
    assert futures.fetch_last_prices()[PERPETUAL]["price"] == last
    book = futures.fetch_order_book(PERPETUAL, 50)
    assert book["bids"][0][0] <= last < book["asks"][0][0]
    best = futures.fetch_bids_asks([PERPETUAL])[PERPETUAL]
    assert [best["bid"], best["ask"]] == [book["bids"][0][0], book["asks"][0][0]]
    trades = futures.fetch_trades(PERPETUAL, limit=100)
    assert len(trades) == 100 and trades[-1]["price"] == last
    trades = futures.fetch_trades(PERPETUAL, limit=10, params={"method": "fapiPublicGetTrades"})
    assert len(trades) == 10


def test_that_ccxt_sees_binances_errors(futures: ccxt.binance) -> None:
    with pytest.raises(ccxt.BadSymbol):
        futures.fapiPublicGetKlines({"symbol": "NOPE", "interval": "1m"})
    with pytest.raises(ccxt.BadRequest, match="1120"):
        futures.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "7m"})


def test_that_the_spot_market_is_served_to_ccxt(stored_exchange: Replay) -> None:
    spot = ccxt.binance(options(stored_exchange, "spot"))
    assert len(spot.fetch_ohlcv("BTC/USDT", "5m", limit=1000)) == 864
    assert spot.fetch_tickers(["BTC/USDT"])["BTC/USDT"]["bid"] > 0
    assert abs(spot.fetch_time() - spot.milliseconds()) < 1500


Watch = Callable[[ccxt.pro.binance], Awaitable[Any]]


def watch(replay: Replay, market: str, use: Watch) -> Any:
    async def run() -> Any:
        client = ccxt.pro.binance(options(replay, market))
        try:
            return await asyncio.wait_for(use(client), 20)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize(("market", "symbol"), [("swap", PERPETUAL), ("spot", "BTC/USDT")])
def test_that_ccxt_pro_watches_candles_trades_and_tickers(
    live_exchange: Replay, market: str, symbol: str
) -> None:
    async def use(client: ccxt.pro.binance) -> None:
        candles = await client.watch_ohlcv(symbol, "5m")
        fetched = await client.fetch_ohlcv(symbol, "5m", limit=1)
        assert candles[-1][:2] == fetched[-1][:2]
        trades = await client.watch_trades(symbol)
        assert trades[-1]["symbol"] == symbol
        assert abs(trades[-1]["timestamp"] - client.milliseconds()) < 2000
        assert (await client.watch_ticker(symbol))["last"] > 0
        best = (await client.watch_bids_asks([symbol]))[symbol]
        assert 0 < best["bid"] < best["ask"]
        await client.un_watch_ohlcv(symbol, "5m")

    watch(live_exchange, market, use)


@pytest.mark.parametrize(("market", "symbol"), [("swap", PERPETUAL), ("spot", "BTC/USDT")])
def test_that_the_book_watched_by_ccxt_pro_stays_equal_to_the_served_one(
    live_exchange: Replay, market: str, symbol: str
) -> None:
    async def use(client: ccxt.pro.binance) -> None:
        for _ in range(15):
            await client.watch_order_book(symbol)
        for _ in range(30):
            watched = await client.watch_order_book(symbol)
            mine = [[list(level) for level in watched[side]] for side in ("bids", "asks")]
            number = watched["nonce"]
            served = await client.fetch_order_book(symbol, 1000)
            if number == served["nonce"]:
                assert mine == [served["bids"], served["asks"]]
                return
        pytest.fail("the two books never met at one update id")

    watch(live_exchange, market, use)


def test_that_ccxt_pro_watches_mark_prices(live_exchange: Replay) -> None:
    async def use(client: ccxt.pro.binance) -> None:
        marks = await client.watch_mark_prices()
        assert {PERPETUAL, "ETH/USDT:USDT"} <= set(marks)

    watch(live_exchange, "swap", use)
