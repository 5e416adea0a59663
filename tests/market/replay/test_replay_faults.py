import http.client
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client
from tiny_market import Client, live_at, rows_of, to_ms, walk

from agent_market.market.replay import Replay, launch_replay
from agent_market.settings import FaultSettings

TIMES = [row[0] for row in rows_of(walk(0, 60_000.0))]


def statuses(client: Client, count: int) -> list[int]:
    return [client.ask("/fapi/v1/ping")[0] for _ in range(count)]


def test_that_the_asked_share_of_requests_gets_503(datadir: Path) -> None:
    faulty = FaultSettings(error_share=0.1)
    counted = Counter(statuses(live_at(datadir, "2025-03-04 10:00", faulty), 1000))
    assert set(counted) == {200, 503}
    assert 70 <= counted[503] <= 130


def test_that_faults_repeat_with_the_seed(datadir: Path) -> None:
    def run(seed: int) -> list[int]:
        faults = FaultSettings(error_share=0.3, rate_limit_share=0.3, seed=seed)
        return statuses(live_at(datadir, "2025-03-04 10:00", faults), 50)

    assert run(1) == run(1) != run(2)


def test_that_429_comes_with_retry_after(datadir: Path) -> None:
    client = live_at(
        datadir, "2025-03-04 10:00", FaultSettings(rate_limit_share=1, retry_after_seconds=9)
    )
    status, headers, body = client.ask("/fapi/v1/ping")
    assert (status, headers["retry-after"], body["code"]) == (429, "9", -1003)


def test_that_a_timeout_answers_late_but_rightly(datadir: Path) -> None:
    client = live_at(
        datadir, "2025-03-04 10:00", FaultSettings(timeout_share=1, timeout_seconds=0.3)
    )
    begin = time.monotonic()
    assert client.get("/fapi/v1/ping") == {}
    assert time.monotonic() - begin >= 0.3


def test_that_rest_candles_go_missing_or_come_twice(datadir: Path) -> None:
    ask: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1m", "startTime": TIMES[0]}
    faults = FaultSettings(missing_candle_share=0.1, duplicate_candle_share=0.1)
    client = live_at(datadir, "2025-03-05 00:00", faults)
    seen = Counter(row[0] for row in client.get("/fapi/v1/klines", limit=1000, **ask))
    gone = [t for t in TIMES[:1000] if t not in seen]
    twice = [t for t, count in seen.items() if count == 2]
    assert 60 <= len(gone) <= 140 and 60 <= len(twice) <= 140
    again = live_at(datadir, "2025-03-05 00:00", faults)
    assert client.get("/fapi/v1/klines", **ask) == again.get("/fapi/v1/klines", **ask)


def test_that_a_late_candle_is_hidden_for_the_asked_time(datadir: Path) -> None:
    faults = FaultSettings(late_candle_share=1, late_candle_seconds=20)
    client = live_at(datadir, "2025-03-04 10:01:19", faults)
    ask = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}
    assert client.get("/fapi/v1/klines", **ask)[0][0] == to_ms("2025-03-04 10:00")
    client.wall.ms += 1000
    assert client.get("/fapi/v1/klines", **ask)[0][0] == to_ms("2025-03-04 10:01")


def test_that_faults_are_read_set_and_cleared_by_the_admin_path(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00")
    body = json.dumps({"error_share": 1}).encode()
    assert client.ask("/replay/faults", "POST", body)[2]["error_share"] == 1
    assert client.get("/replay/faults")["error_share"] == 1
    assert client.ask("/fapi/v1/ping")[0] == 503
    assert client.get("/replay/status")["injected"] == {"error": 1}
    assert client.ask("/replay/faults", "DELETE")[2]["error_share"] == 0
    assert client.ask("/fapi/v1/ping")[0] == 200


def test_that_only_the_named_endpoints_fail(datadir: Path) -> None:
    faults = FaultSettings(error_share=1, endpoints=("klines", "fundingRate"))
    client = live_at(datadir, "2025-03-04 10:00", faults)
    ask = {"symbol": "BTCUSDT", "interval": "1m", "limit": 5}
    assert client.ask("/fapi/v1/klines", **ask)[0] == 503
    assert client.ask("/fapi/v1/fundingRate", **ask)[0] == 503
    assert client.ask("/fapi/v1/markPriceKlines", **ask)[0] == 200
    assert client.ask("/fapi/v1/depth", **ask)[0] == 200
    assert client.get("/replay/status")["injected"] == {"error": 2}


def test_that_an_unknown_fault_is_refused_by_name(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00")
    status, _, body = client.ask("/replay/faults", "POST", b'{"eror_share": 1}')
    assert status == 400
    assert "eror_share" in body["error"] and "error_share" in body["error"]


@pytest.fixture(scope="module")
def cutting(datadir: Path) -> Any:
    faults = FaultSettings(cut_share=1, socket_cuts_per_minute=60)
    with launch_replay(datadir, clock="live", faults=faults) as replay:
        yield replay


def test_that_a_rest_connection_is_cut_in_mid_answer(cutting: Replay) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", cutting.port, timeout=10)
    connection.request("GET", "/fapi/v1/ping")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()


def test_that_a_socket_is_cut(cutting: Replay) -> None:
    address = cutting.url.replace("http", "ws") + "/fstream/ws/btcusdt@depth@100ms"
    closed = pytest.raises(websockets.exceptions.ConnectionClosedError)
    with websockets.sync.client.connect(address) as socket, closed:
        listen(socket)


def listen(socket: websockets.sync.client.ClientConnection) -> None:
    for _ in range(1000):
        socket.recv(timeout=10)
