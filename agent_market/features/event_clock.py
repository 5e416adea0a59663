"""The clock of sessions and of scheduled events: known beforehand, for every candle's close."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from agent_market.features.calendar import add_calendar_features
from agent_market.features.inputs import FeatureInputs
from agent_market.features.macro_events import SCHEDULES, covered_span, release_times

Columns: TypeAlias = dict[str, pd.Series]
SESSIONS = {  # zone, opening and closing hour of the stock exchange there
    "asia": ("Asia/Tokyo", 9.0, 15.0),
    "europe": ("Europe/London", 8.0, 16.5),
    "us": ("America/New_York", 9.5, 16.0),
}
NEAR_HOURS = 72.0


def calendar(inputs: FeatureInputs) -> Columns:
    """Time of day and week on a circle, open stock exchanges, the weekend, hours from the US open.

    `asia`, `europe`, `us` and `weekend` are 0 or 1; `us_open_hours` is the time since the day's
    open in New York, negative before it, 0 on weekends there. Holidays are not known: they count as
    days of trading. Information time: the close of row t, known beforehand; never NaN.
    """
    added = add_calendar_features(inputs.candles[["date"]], inputs.timeframe)
    columns = {str(name)[2:]: added[name] for name in added if str(name).startswith("%-")}
    close = pd.DatetimeIndex(inputs.close_time)
    for name, (zone, opens, ends) in SESSIONS.items():
        hour, is_weekday = _local_hour(close, zone)
        columns[name] = _flags(inputs, (hour >= opens) & (hour < ends) & is_weekday)
    hour, is_weekday = _local_hour(close, SESSIONS["us"][0])
    since = np.where(is_weekday, hour - SESSIONS["us"][1], 0.0)
    columns["us_open_hours"] = pd.Series(since, index=inputs.candles.index)
    columns["weekend"] = _flags(inputs, np.asarray(close.day_of_week >= 5))
    return columns


def events(inputs: FeatureInputs) -> Columns:
    """Hours to the next and since the last scheduled release of each kind, at most 72.

    `fomc_ahead_hours`, `fomc_since_hours` and so on, of the table in
    `agent_market.features.macro_events`. Information time: the close of row t; the schedule is
    public beforehand, the outcome is not used. NaN where the table does not reach 72 hours further.
    """
    close = pd.DatetimeIndex(inputs.close_time)
    columns = {}
    for kind in SCHEDULES:
        times = release_times(kind)
        place = times.searchsorted(close, side="right")  # a release at the close has happened
        padded = times.insert(0, pd.NaT).insert(len(times) + 1, pd.NaT)
        since = _hours(close - padded[place])
        ahead = _hours(padded[place + 1] - close)
        first, last = covered_span(kind)
        reach = pd.Timedelta(hours=NEAR_HOURS)
        since[np.asarray(close < first + reach) | np.asarray(close > last)] = np.nan
        ahead[np.asarray(close < first) | np.asarray(close > last - reach)] = np.nan
        columns[f"{kind}_ahead_hours"] = pd.Series(ahead, index=inputs.candles.index)
        columns[f"{kind}_since_hours"] = pd.Series(since, index=inputs.candles.index)
    return columns


def _hours(spans: pd.TimedeltaIndex) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return hours, at most `NEAR_HOURS`, which also stands for none."""
    hours = np.asarray(spans / pd.Timedelta("1h"), dtype=np.float64)
    return np.where(np.isnan(hours), NEAR_HOURS, np.minimum(hours, NEAR_HOURS))


def _local_hour(
    close: pd.DatetimeIndex, zone: str
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool]]]:
    local = close.tz_convert(zone)
    return np.asarray(local.hour + local.minute / 60.0), np.asarray(local.day_of_week < 5)


def _flags(inputs: FeatureInputs, states: np.ndarray[tuple[int], np.dtype[np.bool]]) -> pd.Series:
    return pd.Series(states.astype(np.float64), index=inputs.candles.index)
