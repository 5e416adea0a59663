"""Technical features of one pair and timeframe, named for FreqAI's expansion.

FreqAI replaces the word `period` in a column name by the period, and adds pair and timeframe, so
the names here are templates. Every feature is free of the price level, so that one model can be
compared across pairs and years.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.features.rolling import rolling_std, rolling_sum, rolling_zscore


def add_candle_features(candles: pd.DataFrame) -> pd.DataFrame:
    """Return `candles` with the shape of each candle.

    Adds `%-return_bps` (close to close), `%-body` (close - open over the range, -1..1),
    `%-close_location` (where the close lies in the range, -1 low .. 1 high), `%-range_bps`.

    Notes
    -----
    Information time: row t uses rows t-1 and t. A candle without a range has body and location 0;
    the first return is NaN.
    """
    span = candles["high"] - candles["low"]
    return candles.assign(
        **{
            "%-return_bps": candles["close"].pct_change(fill_method=None) * 1e4,
            "%-body": ((candles["close"] - candles["open"]) / span.where(span > 0)).fillna(0),
            "%-close_location": close_location(candles),
            "%-range_bps": span / candles["close"] * 1e4,
        }
    )


def add_period_features(candles: pd.DataFrame, period: int) -> pd.DataFrame:
    """Return `candles` with features over the last `period` candles.

    Adds, with `-period` as the suffix that FreqAI expands: `%-momentum_z` (return over the period
    by its own volatility), `%-volatility_bps` (standard deviation of the candle returns),
    `%-volume_z`, `%-vwap_deviation_bps`, `%-pressure` (volume-weighted close location, a proxy of
    net taker volume, -1..1), `%-efficiency` (net move over path length, 0..1), `%-range_position`
    (close in the period's range, 0..1) and `%-rsi` (Cutler's relative strength index, 0..100).

    Notes
    -----
    Information time: row t uses rows t-period..t and nothing before, so that a value does not
    depend on where the history starts; NaN until they exist. Cutler's index takes plain means where
    Wilder's has infinite memory.
    """
    close, volume = candles["close"], candles["volume"]
    returns = close.pct_change(fill_method=None)
    volatility = rolling_std(returns, period)
    typical = (candles["high"] + candles["low"] + close) / 3
    traded = rolling_sum(volume, period)
    traded = traded.where(traded > 0)
    low, high = candles["low"].rolling(period).min(), candles["high"].rolling(period).max()
    columns = {
        "momentum_z": close.pct_change(period, fill_method=None) / (volatility * period**0.5),
        "volatility_bps": volatility * 1e4,
        "volume_z": rolling_zscore(volume, period),
        "vwap_deviation_bps": (close / (rolling_sum(typical * volume, period) / traded) - 1) * 1e4,
        "pressure": rolling_sum(close_location(candles) * volume, period) / traded,
        "efficiency": efficiency_ratio(close, period).abs(),
        "range_position": (close - low) / (high - low),
        "rsi": cutler_rsi(close, period),
    }
    finite = {
        f"%-{name}-period": column.replace([np.inf, -np.inf], np.nan)
        for name, column in columns.items()
    }
    return candles.assign(**finite)


def efficiency_ratio(close: pd.Series, window: int) -> pd.Series:
    """Return the signed net move over the path length of the last `window` candles, -1..1.

    Kaufman's efficiency ratio with the sign of the move: near 0 the price goes nowhere, near 1 it
    trends. Information time: row t uses rows t-window..t; NaN before, and where nothing moved.
    """
    path = rolling_sum(close.diff().abs(), window)
    return (close - close.shift(window)) / path.where(path > 0)


def close_location(candles: pd.DataFrame) -> pd.Series:
    """Return where the close lies between low (-1) and high (1); 0 for a candle without a range."""
    span = candles["high"] - candles["low"]
    return (
        (2 * candles["close"] - candles["high"] - candles["low"]) / span.where(span > 0)
    ).fillna(0)


def cutler_rsi(close: pd.Series, period: int) -> pd.Series:
    """Return the share of rises in all moves of the last `period` candles, 0..100.

    Cutler's form of the relative strength index: plain sums, where Wilder's never forget.
    Information time: row t uses rows t-period..t; NaN before, and where nothing moved.
    """
    step = close.diff()
    path = rolling_sum(step.abs(), period)
    return 100 * rolling_sum(step.clip(lower=0), period) / path.where(path > 0)
