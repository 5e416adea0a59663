"""Scheduled releases that move every market: dates published beforehand, as they were scheduled.

The FOMC's statement comes on the second day of a meeting, 14:00 in New York; the Consumer Price
Index and the Employment Situation at 8:30. No date follows from a rule such as "the first Friday",
which is wrong for five of the 33 months here. Each row says in `known` how it is known; `SOURCES`
tells more. Those that stored candles reach show in them: a test looks at the volume.

What is left out because it is not certain: releases of the Bureau of Labor Statistics from October
2025 on, which a shutdown of the government moved or cancelled after the schedule was out, and
unscheduled meetings of the FOMC, which nobody knew beforehand.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

VERSION = 1
ZONE = "America/New_York"

SOURCES = {
    "announced": "The Federal Reserve's announcement of 2024-08-09 for the years 2025 and 2026.",
    "printed": "The Federal Reserve's calendar of the year, as newspapers printed it the December "
    "before.",
    "released": "The dates of release that FRED keeps (its releases 10 and 50), read in a copy of "
    "2026. Days on which only past figures were revised are not releases: 2023-02-10 and "
    "2024-02-09 for prices, 2024-01-10 for jobs. None of the others was moved, so each is the "
    "scheduled one.",
}


class Rows(NamedTuple):
    """Local dates that are known in one way, a name of `SOURCES`."""

    known: str
    dates: str


class Schedule(NamedTuple):
    """Releases of one kind: all there are between `first` and `last`, local dates."""

    clock: str
    first: str
    last: str
    rows: tuple[Rows, ...]


SCHEDULES = {
    "fomc": Schedule(
        "14:00",
        "2023-01-01",
        "2026-12-31",
        (
            Rows(
                "printed",
                "2023-02-01 2023-03-22 2023-05-03 2023-06-14 2023-07-26 2023-09-20 2023-11-01 "
                "2023-12-13 2024-01-31 2024-03-20 2024-05-01 2024-06-12 2024-07-31 2024-09-18 "
                "2024-11-07 2024-12-18",
            ),
            Rows(
                "announced",
                "2025-01-29 2025-03-19 2025-05-07 2025-06-18 2025-07-30 2025-09-17 2025-10-29 "
                "2025-12-10 2026-01-28 2026-03-18 2026-04-29 2026-06-17 2026-07-29 2026-09-16 "
                "2026-10-28 2026-12-09",
            ),
        ),
    ),
    "cpi": Schedule(
        "08:30",
        "2023-01-01",
        "2025-09-30",
        (
            Rows(
                "released",
                "2023-01-12 2023-02-14 2023-03-14 2023-04-12 2023-05-10 2023-06-13 2023-07-12 "
                "2023-08-10 2023-09-13 2023-10-12 2023-11-14 2023-12-12 2024-01-11 2024-02-13 "
                "2024-03-12 2024-04-10 2024-05-15 2024-06-12 2024-07-11 2024-08-14 2024-09-11 "
                "2024-10-10 2024-11-13 2024-12-11 2025-01-15 2025-02-12 2025-03-12 2025-04-10 "
                "2025-05-13 2025-06-11 2025-07-15 2025-08-12 2025-09-11",
            ),
        ),
    ),
    "jobs": Schedule(
        "08:30",
        "2023-01-01",
        "2025-09-30",
        (
            Rows(
                "released",
                "2023-01-06 2023-02-03 2023-03-10 2023-04-07 2023-05-05 2023-06-02 2023-07-07 "
                "2023-08-04 2023-09-01 2023-10-06 2023-11-03 2023-12-08 2024-01-05 2024-02-02 "
                "2024-03-08 2024-04-05 2024-05-03 2024-06-07 2024-07-05 2024-08-02 2024-09-06 "
                "2024-10-04 2024-11-01 2024-12-06 2025-01-10 2025-02-07 2025-03-07 2025-04-04 "
                "2025-05-02 2025-06-06 2025-07-03 2025-08-01 2025-09-05",
            ),
        ),
    ),
}


def release_times(kind: str) -> pd.DatetimeIndex:
    """Return the moments of the releases of a kind, UTC, ascending."""
    schedule = SCHEDULES[kind]
    dates = [date for rows in schedule.rows for date in rows.dates.split()]
    local = [f"{date} {schedule.clock}" for date in dates]
    return pd.DatetimeIndex(local).tz_localize(ZONE).tz_convert("UTC")


def covered_span(kind: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the span in which the table has every release of a kind, UTC."""
    schedule = SCHEDULES[kind]
    first = pd.Timestamp(schedule.first, tz=ZONE)
    last = pd.Timestamp(schedule.last, tz=ZONE) + pd.Timedelta("1D")
    return first.tz_convert("UTC"), last.tz_convert("UTC")
