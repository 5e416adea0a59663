"""Whether a model's predictions have come true lately, from what was known at the time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.market.candles import timeframe_seconds


def realized_skill(
    predictions: pd.DataFrame,
    horizon_candles: int,
    timeframe: str,
    days: int,
    min_days: int,
) -> pd.Series:
    """Return how surely predictions made money before costs over the last whole UTC days.

    Each prediction times the return that followed it, summed over the UTC day in which the outcome
    is known; then Student's t of the mean of these sums. Summing by day keeps overlapping labels
    from counting as independent, and large predictions weigh more, as they do in trading.

    Parameters
    ----------
    predictions : DataFrame of shape (n_rows, ...)
        `date` (open of the candle, UTC, ascending; candles may be missing), `close`, and
        `prediction` (forward return over `horizon_candles`, a fraction; NaN where there is none or
        the model does not stand behind it). Every one of them out of sample.
    horizon_candles : int
        Of the predictions.
    timeframe : str
        Of the candles.
    days : int
        UTC days that count, each with at least one outcome.
    min_days : int
        Fewer days with an outcome say nothing.

    Returns
    -------
    Series of shape (n_rows,), the index of `predictions`
        NaN where too few days say anything, or nothing but zero was predicted.

    Notes
    -----
    Information time: row t uses days that ended at or before its close; its own day never counts.
    The value is one and the same from midnight to midnight.
    """
    length = pd.Timedelta(seconds=timeframe_seconds(timeframe))
    known = predictions.set_index("date")[["close", "prediction"]]
    made = known.shift(freq=horizon_candles * length).reindex(known.index)
    gain = made["prediction"] * (known["close"] / made["close"] - 1)
    closes = predictions["date"] + length
    # a candle that closes at midnight belongs to the day that it ends
    day = (closes - pd.Timedelta(nanoseconds=1)).dt.floor("D")
    daily = pd.Series(gain.to_numpy(), index=day).groupby(level=0).sum(min_count=1)
    window = daily.rolling(days, min_periods=max(2, min_days))
    spread = window.std()
    skill = window.mean() / (spread.where(spread > 0) / np.sqrt(window.count()))
    # a row's own day is known with its last candle only; that one waits for the next
    return pd.Series(day.map(skill.shift(1)).to_numpy(float), index=predictions.index)
