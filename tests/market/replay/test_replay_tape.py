from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_market import Client, Wall, live_at, rows_of, to_ms, walk, write_market

from agent_market.market.replay.clock import Clock
from agent_market.market.replay.library import open_library
from agent_market.market.replay.orderbook import UPDATE_MS, Book
from agent_market.market.replay.state import State
from agent_market.market.sidedata import write_side

MINUTE = 60_000


def state_of(datadir: Path, moment: str) -> State:
    library = open_library(datadir)
    clock = Clock(shift_ms=0, frozen_ms=None, end_ms=library.span()[1], wall=Wall(moment))
    return State(library.usdm["BTCUSDT"], clock)


def test_that_the_trades_of_every_candle_add_up_to_it(datadir: Path) -> None:
    tape = state_of(datadir, "2025-03-05 00:00").tape
    for row, (opened, *candle) in enumerate(rows_of(walk(0, 60_000.0))[:500]):
        trades = tape.between(int(opened), int(opened) + MINUTE - 1)
        price = trades.price
        assert [price[0], price.max(), price.min(), price[-1]] == candle[:4], row
        assert trades.amount.sum() == pytest.approx(candle[4], abs=1e-7)


def test_that_trades_ascend_in_time_and_id(datadir: Path) -> None:
    trades = state_of(datadir, "2025-03-05 00:00").tape.latest(5000, to_ms("2025-03-05 00:00"))
    assert len(trades) == 5000
    assert (np.diff(trades.id) > 0).all() and (np.diff(trades.time_ms) >= 0).all()
    assert 0.3 < trades.is_buyer_maker.mean() < 0.7


def test_that_paging_by_id_gives_every_trade_once(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-03 06:00")
    ask = {"symbol": "BTCUSDT", "limit": 777}
    found: list[int] = []
    page = client.get("/fapi/v1/aggTrades", fromId=0, **ask)
    while page:
        found += [row["a"] for row in page]
        page = client.get("/fapi/v1/aggTrades", fromId=found[-1] + 1, **ask)
    assert found == sorted(set(found))
    assert len(found) == pytest.approx(6 * 60 * 20, rel=0.01)


def test_that_stored_trades_are_served_as_they_are(tmp_path: Path) -> None:
    datadir = write_market(tmp_path)
    times = pd.date_range("2025-03-03 01:00", periods=50, freq="7s", tz="UTC", unit="ms")
    trades = pd.DataFrame({"event_time": times, "available_at": times})
    trades["price"], trades["amount"] = 60_000.5 + np.arange(50), 0.25
    trades["side"], trades["id"] = ["buy", "sell"] * 25, np.arange(50)
    write_side(datadir, "trades", "BTC/USDT:USDT", trades)
    client = live_at(datadir, "2025-03-03 02:00")
    ask = {"symbol": "BTCUSDT", "startTime": to_ms("2025-03-03 01:00"), "limit": 1000}
    rows = client.get("/fapi/v1/aggTrades", **ask)
    within = rows[: len(trades)]
    assert [float(row["p"]) for row in within] == trades["price"].tolist()
    assert [row["m"] for row in within] == [False, True] * 25
    after = client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=within[20]["a"], limit=2)
    assert after == within[20:22]


def test_that_trades_go_on_before_and_after_the_stored_ones(tmp_path: Path) -> None:
    datadir = write_market(tmp_path)
    times = pd.date_range("2025-03-03 01:00", periods=600, freq="1s", tz="UTC", unit="ms")
    trades = pd.DataFrame({"event_time": times, "available_at": times, "side": "buy"})
    write_side(datadir, "trades", "BTC/USDT:USDT", trades.assign(price=60_000.0, amount=0.1))
    client = live_at(datadir, "2025-03-03 01:59:59")
    found = client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=0, limit=1000)
    while page := client.get(
        "/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=found[-1]["a"] + 1, limit=1000
    ):
        found += page
    ids, moments = [row["a"] for row in found], [row["T"] for row in found]
    assert ids == sorted(set(ids)) and moments == sorted(moments)
    assert len(found) == pytest.approx(110 * 20 + 600, abs=20)


def test_that_a_snapshot_and_the_changes_since_give_the_later_book(datadir: Path) -> None:
    book = Book(state_of(datadir, "2025-03-04 10:00:00"))
    first = book.update_id(to_ms("2025-03-04 10:00:00"))
    mine = [dict(side) for side in book.at(first)]
    at = first
    for step in (1, 1, 2, 5, 10, 30, 1, 40):
        for side, changed in zip(mine, book.changes(at, at + step), strict=True):
            side.update(changed)
            for price in [price for price, amount in changed.items() if not amount]:
                del side[price]
        at += step
        assert mine == [dict(side) for side in book.at(at)]
    assert book.at(at) != book.at(first)


def test_that_a_stored_book_is_served_at_its_own_moment(tmp_path: Path) -> None:
    datadir = write_market(tmp_path)
    times = pd.date_range("2025-03-03 01:00", periods=3, freq="5min", tz="UTC", unit="ms")
    book = pd.DataFrame({"event_time": times, "available_at": times})
    book["bid_prices"] = [[59_999.5, 59_998.0]] * 3
    book["bid_amounts"] = [[1.5, 2.5]] * 3
    book["ask_prices"], book["ask_amounts"] = [[60_000.5, 60_001.0]] * 3, [[0.5, 4.0]] * 3
    write_side(datadir, "book", "BTC/USDT:USDT", book)
    client = live_at(datadir, "2025-03-03 01:05:00")
    depth = client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    assert depth["bids"] == [["59999.5", "1.5"], ["59998.0", "2.5"]]
    assert depth["asks"] == [["60000.5", "0.5"], ["60001.0", "4.0"]]
    before = float(client.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"])
    client.wall.ms += 300 * UPDATE_MS
    moved = float(client.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"]) - before
    best = float(client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)["bids"][0][0])
    assert best == pytest.approx(59_999.5 + moved)


def test_that_stored_open_interest_is_served(tmp_path: Path) -> None:
    datadir = write_market(tmp_path)
    times = pd.date_range("2025-03-03", periods=48, freq="1h", tz="UTC", unit="ms")
    stored = pd.DataFrame({"event_time": times, "available_at": times})
    stored["open_interest"] = 1000.0 + np.arange(48)
    write_side(datadir, "open_interest", "BTC/USDT:USDT", stored)
    client = live_at(datadir, "2025-03-03 05:30")
    rows = client.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="1h")
    assert [float(row["sumOpenInterest"]) for row in rows] == [1000.0 + n for n in range(6)]
    assert client.get("/fapi/v1/openInterest", symbol="BTCUSDT")["openInterest"] == "1005.0"


def test_that_two_servers_derive_the_same_market(datadir: Path) -> None:
    one, two = (live_at(datadir, "2025-03-04 10:00:17") for _ in range(2))
    for path in ("/fapi/v1/depth", "/fapi/v1/aggTrades", "/fapi/v1/ticker/24hr"):
        assert one.get(path, symbol="ETHUSDT") == two.get(path, symbol="ETHUSDT")


def test_that_real_candles_are_served_bit_by_bit(real_data: Path) -> None:
    from agent_market.market.replay.server import open_exchange
    from agent_market.settings import ReplaySettings

    folder = real_data / "futures_1m_2025"
    exchange = open_exchange(folder, ReplaySettings(clock="as-stored"))
    client = Client(exchange, Wall("2026-01-01"))
    stored = pd.read_feather(folder / "futures" / "XRP_USDT_USDT-1m-futures.feather")
    rows = client.get("/fapi/v1/klines", symbol="XRPUSDT", interval="1m", limit=1500)
    assert [[row[0], *map(float, row[1:6])] for row in rows] == rows_of(stored.tail(1500))
    state = exchange.venues["usdm"].state("XRPUSDT")
    for opened, *candle in rows_of(stored.tail(200)):
        trades = state.tape.between(int(opened), int(opened) + MINUTE - 1)
        assert trades.price.max() == candle[1] and trades.price.min() == candle[2]
        assert trades.amount.sum() == pytest.approx(candle[4])
