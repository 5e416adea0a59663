import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.features import GROUPS, compute_group
from agent_market.features.macro_events import (
    SCHEDULES,
    SOURCES,
    ZONE,
    covered_span,
    release_times,
)
from agent_market.market.candles import read_candles
from tests.candles import random_candles
from tests.features.group_inputs import inputs


def _at(name: str, start: str, rows: int = 600) -> pd.DataFrame:
    """Return the group for candles of which row t closes t * 5 minutes after `start`."""
    first = pd.Timestamp(start, tz="UTC") - pd.Timedelta("5min")
    dates = pd.date_range(first, periods=rows, freq="5min")
    frame = random_candles(rows).assign(date=dates)
    found = compute_group(GROUPS[name], dataclasses.replace(inputs(), candles=frame))
    return found.rename(columns=lambda column: column.removeprefix(f"%-{name}_"))


def test_that_a_release_counts_down_and_up() -> None:
    clock = _at("events", "2024-06-12 12:00")  # CPI at 12:30, FOMC at 18:00 UTC
    assert clock["cpi_ahead_hours"].iloc[0] == 0.5
    assert clock["cpi_since_hours"].iloc[5] == 72
    assert clock["cpi_since_hours"].iloc[6] == 0
    assert clock["cpi_ahead_hours"].iloc[6] == 72
    assert clock["fomc_ahead_hours"].iloc[0] == 6
    assert clock["fomc_since_hours"].iloc[84] == 1


def test_that_winter_time_moves_a_release_in_utc() -> None:
    times = set(release_times("fomc"))
    assert pd.Timestamp("2024-06-12 18:00", tz="UTC") in times
    assert pd.Timestamp("2024-12-18 19:00", tz="UTC") in times


def test_that_what_the_table_does_not_cover_is_missing() -> None:
    clock = _at("events", "2025-09-28 00:00", 1200)
    end = covered_span("cpi")[1] - pd.Timedelta("72h")
    known = pd.date_range("2025-09-28", periods=1200, freq="5min", tz="UTC") <= end
    np.testing.assert_array_equal(clock["cpi_ahead_hours"].notna(), known)
    assert clock["fomc_ahead_hours"].notna().all()
    assert _at("events", "2022-12-01").isna().all().all()


@pytest.mark.parametrize("kind", SCHEDULES)
def test_that_the_table_is_plausible(kind: str) -> None:
    times = release_times(kind)
    assert times.is_monotonic_increasing and times.is_unique
    first, last = covered_span(kind)
    assert first < times[0] and times[-1] < last
    assert all(time.day_of_week < 5 for time in times)
    expected = {"fomc": 8, "cpi": 12, "jobs": 12}[kind]
    assert (times.year == 2023).sum() == (times.year == 2024).sum() == expected
    if kind == "jobs":  # Fridays but before a holiday
        assert sum(time.day_of_week != 4 for time in times) == 1


def test_that_every_row_says_how_it_is_known() -> None:
    used = {rows.known for schedule in SCHEDULES.values() for rows in schedule.rows}
    assert used == set(SOURCES)


@pytest.mark.parametrize(("kind", "releases"), [("fomc", 10), ("cpi", 15), ("jobs", 15)])
def test_that_real_candles_are_busy_at_the_minute_of_a_release(
    kind: str, releases: int, real_data: Path
) -> None:
    """Volume of its five minutes, ranked among those of the same clock of 30 weekdays around."""
    volume = read_candles(real_data / "futures_2023_24", "BTC/USDT:USDT", "5m", "futures")
    busy = volume.set_index("date")["volume"]
    ranks = [_rank(busy, time) for time in release_times(kind)]
    found = [rank for rank in ranks if rank is not None]
    assert len(found) == releases
    assert max(found) <= 10 and np.median(found) <= 3
    day_before = [_rank(busy, time - pd.Timedelta("1D")) for time in release_times(kind)]
    assert np.median([rank for rank in day_before if rank is not None]) > 8


def _rank(busy: pd.Series, time: pd.Timestamp) -> int | None:
    """Return the rank of a time among the same local time of weekdays near; None if not stored."""
    local = time.tz_convert(ZONE)
    days = [local + pd.DateOffset(days=shift) for shift in range(-21, 22) if shift]
    near = [day.tz_convert("UTC") for day in days if day.day_of_week < 5]
    if time not in busy.index or not all(day in busy.index for day in near):
        return None
    return 1 + int((busy[near] > busy[time]).sum())


def test_that_sessions_follow_their_own_clocks() -> None:
    winter, summer = _at("calendar", "2024-01-10 14:25"), _at("calendar", "2024-07-10 13:25")
    for clock in (winter, summer):
        assert list(clock["us"].iloc[:3]) == [0, 1, 1]
        assert clock["us_open_hours"].iloc[1] == 0
        assert clock["us_open_hours"].iloc[0] < 0
        assert (clock["europe"].iloc[:3] == 1).all()
        assert (clock["asia"].iloc[:3] == 0).all()


def test_that_nothing_is_open_at_a_weekend() -> None:
    clock = _at("calendar", "2024-01-13 00:00")
    assert (clock["weekend"].iloc[:288] == 1).all()
    assert (clock[["asia", "europe", "us"]].iloc[:288] == 0).all().all()
    assert (clock["us_open_hours"].iloc[60:288] == 0).all()  # in New York it begins at 05:00
