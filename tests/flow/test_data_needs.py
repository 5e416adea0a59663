"""What a time range that ends now needs, while candles still form."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from agent_market.errors import DataError
from agent_market.flow.data_needs import DataNeeds, verify_coverage
from agent_market.flow.prepare_data import _end_of_day
from agent_market.market.candles import CandleKind, write_candles

PAIR = "BTC/USDT:USDT"
STOP = "2024-01-02 13:25"
# the last candle that has closed by then
CLOSED = {"5m": "2024-01-02 13:20", "1h": "2024-01-02 12:00"}


def write(datadir: Path, timeframe: str, kind: CandleKind, last: str, every: str) -> None:
    dates = pd.date_range("2024-01-01", last, freq=every, tz="UTC")
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    candles = pd.DataFrame({"date": dates, **values})
    write_candles(datadir, PAIR, timeframe, kind, candles)


@pytest.fixture
def datadir(tmp_path: Path) -> Path:
    """A directory as a download at `STOP` leaves it, without what still formed."""
    write(tmp_path, "5m", "futures", CLOSED["5m"], "5min")
    write(tmp_path, "1h", "futures", CLOSED["1h"], "1h")
    # the replay exchange has mark prices at funding times, and Freqtrade drops the newest one
    write(tmp_path, "1h", "mark", "2024-01-02 00:00", "8h")
    write(tmp_path, "1h", "funding_rate", "2024-01-02 08:00", "8h")
    return tmp_path


def needs() -> DataNeeds:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    stop = pd.Timestamp(STOP, tz="UTC").to_pydatetime()
    return DataNeeds((PAIR,), (), ("5m", "1h"), start, start, stop, is_futures=True)


def test_that_a_candle_that_still_forms_is_not_needed(datadir: Path) -> None:
    verify_coverage(needs(), datadir)


@pytest.mark.parametrize(
    ("timeframe", "kind", "last", "every"),
    [
        ("5m", "futures", "2024-01-02 13:15", "5min"),
        ("1h", "futures", "2024-01-02 11:00", "1h"),
        ("1h", "mark", "2024-01-01 16:00", "8h"),
        ("1h", "funding_rate", "2024-01-02 00:00", "8h"),
    ],
)
def test_that_what_is_over_by_then_is_needed(
    datadir: Path, timeframe: str, kind: CandleKind, last: str, every: str
) -> None:
    write(datadir, timeframe, kind, last, every)
    with pytest.raises(DataError, match=f"{timeframe} {kind} is needed"):
        verify_coverage(needs(), datadir)


@pytest.mark.parametrize(
    ("now", "end"),
    [("2024-01-02 13:26", ""), ("2024-01-03 00:00", "20240103"), ("2025-01-01", "20240103")],
)
def test_that_a_download_that_ends_today_has_no_end(now: str, end: str) -> None:
    moment = pd.Timestamp(STOP, tz="UTC").to_pydatetime()
    assert _end_of_day(moment, pd.Timestamp(now, tz="UTC").to_pydatetime()) == end


def test_that_a_download_up_to_midnight_ends_there() -> None:
    midnight = datetime(2024, 1, 2, tzinfo=UTC)
    assert _end_of_day(midnight, datetime(2024, 6, 1, tzinfo=UTC)) == "20240102"
