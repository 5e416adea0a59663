from datetime import UTC, datetime
from pathlib import Path

import pytest
from tiny_market import Client, Wall, live_at, rows_of, to_ms, walk

from agent_market.errors import DataError
from agent_market.market.replay.clock import DAY_MS, as_stored, live

BEGIN, END = to_ms("2025-03-03 00:00"), to_ms("2025-04-02 00:00")  # 30 days


def test_that_live_history_is_moved_by_whole_days_and_leaves_the_reserve() -> None:
    wall = Wall("2026-07-19 13:37")
    clock = live(BEGIN, END, wall=wall)
    assert clock.shift_ms % DAY_MS == 0
    assert 3 * DAY_MS <= clock.reserve_ms() < 6 * DAY_MS


def test_that_the_reserve_can_be_chosen() -> None:
    clock = live(BEGIN, END, reserve_days=10, wall=Wall("2026-07-19 13:37"))
    assert 10 * DAY_MS <= clock.reserve_ms() < 20 * DAY_MS


def test_that_an_epoch_pins_the_history_across_restarts() -> None:
    epoch = datetime(2026, 7, 19, 13, 37, tzinfo=UTC)
    today = live(BEGIN, END, epoch=epoch, wall=Wall("2026-07-19 13:37"))
    tomorrow = live(BEGIN, END, epoch=epoch, wall=Wall("2026-07-20 13:37"))
    assert today.shift_ms == tomorrow.shift_ms
    assert tomorrow.reserve_ms() == today.reserve_ms() - DAY_MS


def test_that_without_an_epoch_most_restarts_serve_the_same_history() -> None:
    walls = [Wall(f"2026-07-{day:02} 13:37") for day in range(1, 21)]
    shifts = [live(BEGIN, END, reserve_days=10, wall=wall).shift_ms for wall in walls]
    assert shifts == sorted(shifts)
    assert len(set(shifts)) <= 3  # of twenty daily restarts


def test_that_a_history_too_short_to_lie_around_now_is_refused() -> None:
    with pytest.raises(DataError, match="store more days"):
        live(BEGIN, BEGIN + DAY_MS // 2, wall=Wall("2026-07-19 13:37"))


def test_that_as_stored_the_server_tells_the_real_time_and_the_market_stands_still() -> None:
    wall = Wall("2026-07-19 13:37")
    clock = as_stored(END, wall)
    assert clock.server_ms() == wall.ms
    assert clock.market_ms() == END
    wall.ms += 60_000
    assert clock.market_ms() == END


def newest(client: Client, interval: str = "1m") -> tuple[int, list[float]]:
    row = client.get("/fapi/v1/klines", symbol="BTCUSDT", interval=interval, limit=1)[0]
    return row[0], [float(value) for value in row[1:6]]


def test_that_a_candle_closes_on_time_with_the_stored_values(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00:59.999")
    opened, values = newest(client)
    assert opened == to_ms("2025-03-04 10:00")
    stored = {row[0]: row[1:] for row in rows_of(walk(0, 60_000.0))}[opened]
    assert values[:4] == stored[:4]
    assert values[4] == pytest.approx(stored[4], abs=1e-7)
    client.wall.ms += 1
    rows = client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=2)
    assert [row[0] for row in rows] == [opened, opened + 60_000]
    assert [float(value) for value in rows[0][1:6]] == stored


def test_that_the_forming_candle_grows_and_never_shows_its_future(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:00:00")
    seen = []
    for _ in range(60):
        seen.append(newest(client)[1])
        client.wall.ms += 1000
    volumes = [values[4] for values in seen]
    assert volumes == sorted(volumes) and volumes[0] < volumes[-1] / 2
    assert [v[1] for v in seen] == sorted(v[1] for v in seen)
    assert [v[2] for v in seen] == sorted((v[2] for v in seen), reverse=True)
    assert len({tuple(v) for v in seen}) > 10


def test_that_nothing_after_now_is_served_live(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:02:30")
    now = client.wall.ms
    late = {"symbol": "BTCUSDT", "startTime": now + 1, "limit": 1000}
    assert client.get("/fapi/v1/klines", interval="1m", **late) == []
    assert client.get("/fapi/v1/markPriceKlines", interval="1h", **late) == []
    assert client.get("/fapi/v1/fundingRate", **late) == []
    assert client.get("/fapi/v1/aggTrades", **late) == []
    assert all(
        row["T"] <= now for row in client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=1000)
    )


def test_that_a_longer_forming_candle_is_made_of_the_finer_ones(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:25:00")
    opened, values = newest(client, "1h")
    minutes = walk(0, 60_000.0)
    part = minutes[(minutes["date"] >= "2025-03-04 10:00") & (minutes["date"] < "2025-03-04 10:25")]
    assert opened == to_ms("2025-03-04 10:00")
    assert values[:3] == [part["open"].iloc[0], part["high"].max(), part["low"].min()]
    assert part["volume"].sum() < values[4] < part["volume"].sum() + 50


def test_that_history_runs_out_by_standing_still(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-05 23:59:30")
    client.wall.ms += 3_600_000
    opened, _ = newest(client)
    assert opened == to_ms("2025-03-05 23:59")
    symbols = client.get("/fapi/v1/exchangeInfo")["symbols"]
    assert {symbol["status"] for symbol in symbols} == {"SETTLING"}
