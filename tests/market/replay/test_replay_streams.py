"""Streams: their events over fake time, and raw and combined sockets of a real server."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import websockets
from tiny_market import Client, live_at, rows_of, to_ms, walk, write_market

from agent_market.market.replay import Replay
from agent_market.market.replay.streams import Catalogue, Stream
from agent_market.market.sidedata import write_side
from agent_market.settings import FaultSettings

STORED = {row[0]: row[1:] for row in rows_of(walk(0, 60_000.0))}


def stream(client: Client, name: str) -> Stream:
    catalogue = Catalogue(client.exchange.venues["usdm"], client.exchange.injector)
    made = catalogue.stream(name)
    assert made is not None
    return made


def klines(client: Client, seconds: int, interval: str = "1m") -> list[dict[str, Any]]:
    """Return the candles that a stream tells while the clock runs, one look a second."""
    spoken = stream(client, f"btcusdt@kline_{interval}")
    events = []
    for _ in range(seconds):
        events += [event["k"] for event in spoken.events()]
        client.wall.ms += 1000
    return events


def test_that_each_candle_closes_once_with_the_stored_values(datadir: Path) -> None:
    events = klines(live_at(datadir, "2025-03-04 10:00:30"), 200)
    closed = [k for k in events if k["x"]]
    assert [k["t"] for k in closed] == [to_ms(f"2025-03-04 10:0{m}") for m in range(3)]
    for k in closed:
        assert [float(k[name]) for name in "ohlcv"] == STORED[k["t"]]
    assert len(events) > 50


def test_that_a_missing_candle_is_never_closed_and_a_duplicate_one_twice(datadir: Path) -> None:
    missing = FaultSettings(missing_candle_share=1)
    assert not [k for k in klines(live_at(datadir, "2025-03-04 10:00:30", missing), 95) if k["x"]]
    twice = FaultSettings(duplicate_candle_share=1)
    closed = [k for k in klines(live_at(datadir, "2025-03-04 10:00:30", twice), 95) if k["x"]]
    assert [k["t"] for k in closed] == [to_ms(f"2025-03-04 10:0{m}") for m in (0, 0, 1, 1)]


def test_that_a_late_candle_closes_late(datadir: Path) -> None:
    client = live_at(
        datadir, "2025-03-04 10:00:30", FaultSettings(late_candle_share=1, late_candle_seconds=20)
    )
    assert not [k for k in klines(client, 50) if k["x"]]  # 10:01:20 is not reached
    spoken = stream(client, "btcusdt@kline_1m")
    spoken.events()
    client.wall.ms += 1000
    assert [event["k"]["x"] for event in spoken.events()] == [False]


def test_that_trades_are_streamed_once_and_in_order(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00:00")
    spoken = stream(client, "btcusdt@aggTrade")
    seen = []
    for _ in range(600):
        client.wall.ms += 100
        seen += spoken.events()
    asked = {"symbol": "BTCUSDT", "startTime": to_ms("2025-03-04 10:00") + 1, "limit": 1000}
    assert [event["a"] for event in seen] == [
        row["a"] for row in client.get("/fapi/v1/aggTrades", **asked)
    ]


def test_that_depth_updates_follow_each_other_without_a_gap(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00:00")
    spoken = stream(client, "btcusdt@depth@500ms")
    events = []
    for _ in range(20):
        client.wall.ms += 500
        events += spoken.events()
    assert len(events) > 10
    for before, after in pairwise(events):
        assert after["pu"] == before["u"] and after["U"] == before["u"] + 1


def test_that_stored_liquidations_are_streamed(tmp_path: Path) -> None:
    datadir = write_market(tmp_path)
    when = pd.DatetimeIndex(["2025-03-04 10:00:05"], tz="UTC").as_unit("ms")
    forced = pd.DataFrame({"event_time": when, "available_at": when, "side": ["sell"]})
    write_side(datadir, "liquidations", "BTC/USDT:USDT", forced.assign(price=60_000.0, amount=0.5))
    client = live_at(datadir, "2025-03-04 10:00:00")
    spoken = stream(client, "!forceOrder@arr")
    assert spoken.events() == []
    client.wall.ms += 10_000
    (event,) = spoken.events()
    assert event["e"] == "forceOrder" and event["o"]["S"] == "SELL" and event["o"]["q"] == "0.5"


def test_that_a_market_that_stands_still_is_told_once(as_stored: Client) -> None:
    for name in ("btcusdt@kline_1m", "btcusdt@bookTicker", "!markPrice@arr", "btcusdt@depth5"):
        spoken = stream(as_stored, name)
        assert len(spoken.events()) == 1, name
        assert spoken.events() == [], name


@pytest.mark.parametrize("name", ["nope@trade", "btcusdt@nope", "btcusdt@kline_7m", "!nope"])
def test_that_an_unknown_stream_is_none(as_stored: Client, name: str) -> None:
    catalogue = Catalogue(as_stored.exchange.venues["usdm"], as_stored.exchange.injector)
    assert catalogue.stream(name) is None


def talk(replay: Replay, path: str, sent: list[Any], count: int) -> list[Any]:
    async def run() -> list[Any]:
        address = replay.url.replace("http", "ws") + path
        async with websockets.connect(address) as socket:
            for message in sent:
                await socket.send(message if isinstance(message, str) else json.dumps(message))
            return [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(count)]

    return asyncio.run(run())


def test_that_a_raw_socket_streams_what_its_address_names(live_exchange: Replay) -> None:
    (event,) = talk(live_exchange, "/fstream/ws/btcusdt@bookTicker", [], 1)
    assert event["e"] == "bookTicker" and event["s"] == "BTCUSDT"


def test_that_a_combined_socket_names_the_stream_of_each_event(live_exchange: Replay) -> None:
    path = "/fstream/stream?streams=btcusdt@kline_1m/ethusdt@markPrice@1s"
    events = talk(live_exchange, path, [], 3)
    assert {e["stream"] for e in events} <= {"btcusdt@kline_1m", "ethusdt@markPrice@1s"}
    assert all(e["data"]["s"] in ("BTCUSDT", "ETHUSDT") for e in events)


def test_that_subscribing_and_unsubscribing_is_answered_as_binance_does(
    live_exchange: Replay,
) -> None:
    spot = "btcusdt@miniTicker"
    answers = talk(
        live_exchange,
        "/ws",
        [
            {"method": "UNSUBSCRIBE", "params": [spot], "id": 1},
            {"method": "LIST_SUBSCRIPTIONS", "id": 2},
            {"method": "DANCE", "id": 3},
            "no json",
        ],
        4,
    )
    assert answers[0] == {"result": None, "id": 1}
    assert answers[1] == {"result": [], "id": 2}
    assert answers[2]["error"]["code"] == 2
    assert answers[3]["error"]["code"] == 3
    (first, second) = talk(
        live_exchange, "/ws", [{"method": "SUBSCRIBE", "params": [spot], "id": 7}], 2
    )
    assert {"result": None, "id": 7} in (first, second)
    assert "24hrMiniTicker" in (first.get("e"), second.get("e"))
