from itertools import pairwise

import pytest
from tiny_market import Client

KLINES = {"symbol": "BTCUSDT", "interval": "1m"}


def test_that_a_bad_symbol_gets_binance_error_1121(as_stored: Client) -> None:
    for path in ("/api/v3/klines", "/fapi/v1/klines"):
        refusal = as_stored.refusal(path, symbol="NOPEUSDT", interval="5m")
        assert refusal == (400, -1121, "Invalid symbol.")


def test_that_a_bad_interval_gets_binance_error_1120(as_stored: Client) -> None:
    refusal = as_stored.refusal("/fapi/v1/klines", symbol="BTCUSDT", interval="7m")
    assert refusal == (400, -1120, "Invalid interval.")
    assert as_stored.refusal("/fapi/v1/klines", symbol="BTCUSDT", interval="1s")[1] == -1120


@pytest.mark.parametrize("missing", ["symbol", "interval"])
def test_that_a_missing_parameter_gets_binance_error_1102(as_stored: Client, missing: str) -> None:
    given = {name: value for name, value in KLINES.items() if name != missing}
    status, code, message = as_stored.refusal("/fapi/v1/klines", **given)
    assert (status, code) == (400, -1102)
    assert message == (
        f"Mandatory parameter '{missing}' was not sent, was empty/null, or malformed."
    )


def test_that_a_malformed_number_gets_binance_error_1100(as_stored: Client) -> None:
    status, code, message = as_stored.refusal("/fapi/v1/klines", limit="ten", **KLINES)
    assert (status, code) == (400, -1100)
    assert "'limit'" in message


def test_that_futures_refuse_a_start_behind_the_end(as_stored: Client) -> None:
    refusal = as_stored.refusal("/fapi/v1/klines", startTime=2000, endTime=1000, **KLINES)
    assert refusal[:2] == (400, -1023)


def test_that_futures_allow_only_binances_depth_limits(as_stored: Client) -> None:
    assert as_stored.refusal("/fapi/v1/depth", symbol="BTCUSDT", limit=7)[:2] == (400, -4021)
    assert len(as_stored.get("/api/v3/depth", symbol="BTCUSDT", limit=7)["bids"]) == 7


def test_that_futures_trades_are_asked_for_by_the_hour(as_stored: Client) -> None:
    hour = 3_600_000
    refusal = as_stored.refusal(
        "/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=0, endTime=hour + 1
    )
    assert refusal[:2] == (400, -1127)


def test_that_an_unknown_path_is_404(as_stored: Client) -> None:
    assert as_stored.refusal("/fapi/v1/nothing")[:2] == (404, -5000)
    assert as_stored.refusal("/")[:2] == (404, -5000)


def test_that_answers_tell_the_weight_used(as_stored: Client) -> None:
    used = [int(as_stored.ask("/fapi/v1/ping")[1]["x-mbx-used-weight-1m"]) for _ in range(3)]
    assert used == [used[0], used[0] + 1, used[0] + 2]


def test_that_the_symbols_are_those_of_the_directory(as_stored: Client) -> None:
    usdm = as_stored.get("/fapi/v1/exchangeInfo")["symbols"]
    spot = as_stored.get("/api/v3/exchangeInfo")["symbols"]
    assert [symbol["symbol"] for symbol in usdm] == ["BTCUSDT", "ETHUSDT"]
    assert [symbol["symbol"] for symbol in spot] == ["BTCUSDT"]
    assert as_stored.get("/dapi/v1/exchangeInfo") == {"symbols": []}


def test_that_tick_and_step_are_those_of_the_stored_data(as_stored: Client) -> None:
    filters = as_stored.get("/fapi/v1/exchangeInfo")["symbols"][0]["filters"]
    by_type = {entry["filterType"]: entry for entry in filters}
    assert by_type["PRICE_FILTER"]["tickSize"] == "0.01"
    assert by_type["LOT_SIZE"]["stepSize"] == "0.001"
    assert float(by_type["MIN_NOTIONAL"]["notional"]) == 5


def test_that_a_day_ticker_sums_up_the_last_24_hours(as_stored: Client) -> None:
    candles = as_stored.get("/fapi/v1/klines", limit=1440, **KLINES)
    ticker = as_stored.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert float(ticker["highPrice"]) == max(float(row[2]) for row in candles)
    assert float(ticker["lowPrice"]) == min(float(row[3]) for row in candles)
    assert ticker["lastPrice"] == candles[-1][4]
    assert ticker["openPrice"] == candles[0][1]
    assert float(ticker["volume"]) == pytest.approx(sum(float(row[5]) for row in candles))
    assert len(as_stored.get("/fapi/v1/ticker/24hr")) == 2


def test_that_the_book_lies_around_the_last_price(as_stored: Client) -> None:
    last = float(as_stored.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"])
    depth = as_stored.get("/fapi/v1/depth", symbol="BTCUSDT", limit=20)
    bids = [float(price) for price, _ in depth["bids"]]
    asks = [float(price) for price, _ in depth["asks"]]
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks)
    assert bids[0] <= last < asks[0]
    assert (asks[0] - bids[0]) / last < 2e-4
    best = as_stored.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert [best["bidPrice"], best["bidQty"]] == depth["bids"][0]
    assert [best["askPrice"], best["askQty"]] == depth["asks"][0]


def test_that_open_interest_history_has_one_row_a_period(as_stored: Client) -> None:
    rows = as_stored.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="1h", limit=24)
    steps = {b["timestamp"] - a["timestamp"] for a, b in pairwise(rows)}
    assert len(rows) == 24 and steps == {3_600_000}
    assert all(float(row["sumOpenInterest"]) > 0 for row in rows)
    assert as_stored.refusal("/futures/data/openInterestHist", symbol="BTCUSDT", period="7m")[1] < 0
