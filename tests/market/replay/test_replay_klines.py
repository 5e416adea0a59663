import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_market import Client, candles_of, live_at, rows_of, to_ms, walk

from agent_market.market.candles import aggregate, read_candles

STORED = rows_of(walk(0, 60_000.0))
FIRST, LAST = STORED[0][0], STORED[-1][0]


def page_through(client: Client, start: int, end: int, limit: int) -> list[list[float]]:
    """Collect candles as ccxt users do: ask again from behind the last row."""
    rows: list[list[float]] = []
    while start <= end:
        page = candles_of(
            client.get(
                "/fapi/v1/klines",
                symbol="BTCUSDT",
                interval="1m",
                startTime=start,
                endTime=end,
                limit=limit,
            )
        )
        rows += page
        if not page:
            break
        start = int(page[-1][0]) + 1
    return rows


def test_that_served_candles_equal_the_stored_ones_to_the_last_bit(as_stored: Client) -> None:
    assert page_through(as_stored, FIRST, LAST, 1500) == STORED


@settings(max_examples=25, deadline=None)
@given(
    start=st.integers(FIRST - 10_000_000, LAST + 10_000_000),
    span=st.integers(0, 400 * 60_000),
    limit=st.integers(3, 1500),
)
def test_that_paging_any_range_with_any_limit_gives_exactly_the_stored_rows(
    as_stored: Client, start: int, span: int, limit: int
) -> None:
    start = max(0, start)
    expected = [row for row in STORED if start <= row[0] <= start + span]
    assert page_through(as_stored, start, start + span, limit) == expected


def test_that_without_start_the_latest_rows_are_served(as_stored: Client) -> None:
    ask = {"symbol": "BTCUSDT", "interval": "1m"}
    assert candles_of(as_stored.get("/fapi/v1/klines", **ask)) == STORED[-500:]
    assert candles_of(as_stored.get("/fapi/v1/klines", limit=7, **ask)) == STORED[-7:]
    before = as_stored.get("/fapi/v1/klines", limit=7, endTime=STORED[100][0], **ask)
    assert candles_of(before) == STORED[94:101]


def test_that_spot_cuts_the_limit_at_1000_and_futures_refuse_above_1500(as_stored: Client) -> None:
    spot = as_stored.get(
        "/api/v3/klines", symbol="BTCUSDT", interval="5m", limit=5000, startTime=FIRST
    )
    assert len(spot) == min(1000, 3 * 288)
    ask = {"symbol": "BTCUSDT", "interval": "1m", "startTime": FIRST}
    assert len(as_stored.get("/fapi/v1/klines", limit=1500, **ask)) == 1500
    assert as_stored.refusal("/fapi/v1/klines", limit=1501, **ask)[:2] == (400, -1130)


@pytest.mark.parametrize("timeframe", ["3m", "5m", "15m", "1h", "4h", "1d", "1w"])
def test_that_a_timeframe_that_is_not_stored_is_aggregated(
    as_stored: Client, timeframe: str
) -> None:
    served = candles_of(
        as_stored.get("/fapi/v1/klines", symbol="BTCUSDT", interval=timeframe, limit=1500)
    )
    if timeframe == "1w":  # 3 March 2025 is a Monday, where Binance's weeks begin
        assert [row[0] for row in served] == [to_ms("2025-03-03")]
        return
    expected = rows_of(aggregate(walk(0, 60_000.0), timeframe))[-1500:]
    assert [row[:5] for row in served] == [row[:5] for row in expected]
    assert [row[5] for row in served] == pytest.approx([row[5] for row in expected])


def test_that_a_timeframe_finer_than_all_stored_ones_is_empty(as_stored: Client) -> None:
    assert as_stored.get("/api/v3/klines", symbol="BTCUSDT", interval="1m") == []


def test_that_a_kline_has_binances_twelve_columns(as_stored: Client) -> None:
    row = as_stored.get("/fapi/v1/klines", symbol="ETHUSDT", interval="1m", limit=1)[0]
    assert len(row) == 12
    assert row[6] == row[0] + 59_999
    assert all(isinstance(row[i], str) for i in (1, 2, 3, 4, 5, 7, 9, 10))
    assert float(row[9]) <= float(row[5])


def test_that_mark_candles_are_served_as_stored(as_stored: Client, datadir: Path) -> None:
    stored = rows_of(read_candles(datadir, "BTC/USDT:USDT", "1h", "mark"))
    served = as_stored.get("/fapi/v1/markPriceKlines", symbol="BTCUSDT", interval="1h", limit=1500)
    assert candles_of(served) == stored


def test_that_funding_is_paged_like_binance_does(as_stored: Client, datadir: Path) -> None:
    stored = read_candles(datadir, "BTC/USDT:USDT", "1h", "funding_rate")
    ask = {"symbol": "BTCUSDT", "limit": 4}
    latest = as_stored.get("/fapi/v1/fundingRate", **ask)
    first = as_stored.get("/fapi/v1/fundingRate", startTime=FIRST, **ask)
    assert [float(row["fundingRate"]) for row in latest] == stored["open"].tolist()[-4:]
    assert [float(row["fundingRate"]) for row in first] == stored["open"].tolist()[:4]
    assert first[0]["fundingTime"] == FIRST


def test_that_funding_in_freqtrades_newer_layout_is_read(tmp_path: Path) -> None:
    minutes = walk(0, 60_000.0, 120)
    folder = tmp_path / "futures"
    folder.mkdir()
    minutes.to_feather(folder / "BTC_USDT_USDT-1m-futures.feather")
    funding = pd.DataFrame({"date": minutes["date"][:1], "funding_rate": [0.00033]})
    funding.to_feather(folder / "BTC_USDT_USDT-1h-funding_rate.feather")
    client = live_at(tmp_path, "2025-03-03 01:00")
    served = client.get("/fapi/v1/fundingRate", symbol="BTCUSDT")
    assert [row["fundingRate"] for row in served] == ["0.00033"]


def test_that_funding_times_stay_aligned_when_history_is_moved(datadir: Path) -> None:
    client = live_at(datadir, "2025-03-04 10:02:30")
    index = client.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert index["nextFundingTime"] == to_ms("2025-03-04 16:00")
    rows = client.get("/fapi/v1/fundingRate", symbol="BTCUSDT")
    assert rows[-1]["fundingTime"] == to_ms("2025-03-04 08:00")
    assert float(index["lastFundingRate"]) == float(rows[-1]["fundingRate"])


def test_that_a_1500_candle_request_takes_a_few_milliseconds(as_stored: Client) -> None:
    ask = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1500}
    as_stored.get("/fapi/v1/klines", **ask)
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        as_stored.get("/fapi/v1/klines", **ask)
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.05  # 10 ms on an idle core; the bound leaves room for a busy one
