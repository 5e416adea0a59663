"""Technical features of one pair and timeframe, named for FreqAI's expansion.

FreqAI replaces the word `period` in a column name by the period, and adds pair and timeframe, so
the names here are templates. Every feature is free of the price level, so that one model can be
compared across pairs and years.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib


def add_candle_features(candles: pd.DataFrame) -> pd.DataFrame:
    """Return `candles` with the shape of each candle.

    Adds `%-return_bps` (close to close), `%-body` (close - open over the range, -1..1),
    `%-close_location` (where the close lies in the range, -1 low .. 1 high), `%-range_bps`.

    Notes
    -----
    Information time: row t uses rows t-1 and t. A candle without a range has body and location 0;
    the first return is NaN.
    """
    span = (candles["high"] - candles["low"]).replace(0, np.nan)
    middle = (candles["high"] + candles["low"]) / 2
    return candles.assign(
        **{
            "%-return_bps": candles["close"].pct_change(fill_method=None) * 1e4,
            "%-body": ((candles["close"] - candles["open"]) / span).fillna(0),
            "%-close_location": ((candles["close"] - middle) * 2 / span).fillna(0),
            "%-range_bps": (candles["high"] - candles["low"]) / candles["close"] * 1e4,
        }
    )


def add_period_features(candles: pd.DataFrame, period: int) -> pd.DataFrame:
    """Return `candles` with features over the last `period` candles.

    Adds, with `-period` as the suffix that FreqAI expands: `%-momentum_z` (return over the period
    by its own volatility), `%-volatility_bps` (standard deviation of the candle returns),
    `%-volume_z`, `%-vwap_deviation_bps`, `%-pressure` (volume-weighted close location, a proxy of
    net taker volume, -1..1), `%-efficiency` (net move over path length, 0..1), `%-range_position`
    (close in the period's range, 0..1), `%-rsi` and `%-adx` (TA-Lib, 0..100).

    Notes
    -----
    Information time: row t uses rows <= t; NaN until `period` rows exist. RSI and ADX have Wilder's
    infinite memory and settle after a few periods.
    """
    close, volume = candles["close"], candles["volume"]
    returns = close.pct_change(fill_method=None)
    volatility = returns.rolling(period).std()
    typical = (candles["high"] + candles["low"] + close) / 3
    traded = volume.rolling(period).sum().replace(0, np.nan)
    low, high = candles["low"].rolling(period).min(), candles["high"].rolling(period).max()
    columns = {
        "momentum_z": close.pct_change(period, fill_method=None) / (volatility * period**0.5),
        "volatility_bps": volatility * 1e4,
        "volume_z": (volume - volume.rolling(period).mean()) / volume.rolling(period).std(),
        "vwap_deviation_bps": (close / ((typical * volume).rolling(period).sum() / traded) - 1)
        * 1e4,
        "pressure": (_close_location(candles) * volume).rolling(period).sum() / traded,
        "efficiency": efficiency_ratio(close, period).abs(),
        "range_position": (close - low) / (high - low),
        "rsi": pd.Series(talib.RSI(close.to_numpy(), period), index=candles.index),
        "adx": pd.Series(
            talib.ADX(
                candles["high"].to_numpy(), candles["low"].to_numpy(), close.to_numpy(), period
            ),
            index=candles.index,
        ),
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
    step = close.diff()
    path = step.abs().rolling(window).sum()
    return (close - close.shift(window)) / path.where(path > 0)


def _close_location(candles: pd.DataFrame) -> pd.Series:
    span = (candles["high"] - candles["low"]).replace(0, np.nan)
    return ((2 * candles["close"] - candles["high"] - candles["low"]) / span).fillna(0)
