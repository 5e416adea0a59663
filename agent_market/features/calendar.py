"""Features of the clock: where in the day and the week a candle closes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.market.candles import timeframe_seconds

_DAY = 86_400


def add_calendar_features(candles: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return `candles` with the time of day and of the week as points on a circle.

    Adds `%-day_sin`, `%-day_cos`, `%-week_sin`, `%-week_cos`, each in [-1, 1] and never NaN.

    Notes
    -----
    Information time: row t holds the candle's close, `date_t + timeframe`, known beforehand.
    """
    epoch = pd.Timestamp("1970-01-05", tz="UTC")  # a Monday, so that the week starts there
    close_time = (candles["date"] - epoch).dt.total_seconds() + timeframe_seconds(timeframe)
    columns = {}
    for name, length in (("day", _DAY), ("week", 7 * _DAY)):
        angle = 2 * np.pi * (close_time % length) / length
        columns[f"%-{name}_sin"] = np.sin(angle)
        columns[f"%-{name}_cos"] = np.cos(angle)
    return candles.assign(**columns)
