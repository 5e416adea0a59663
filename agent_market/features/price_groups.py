"""Groups of features of one pair's candles over one period.

Each function takes the inputs and the period in candles, and returns columns by their bare names.
All are free of the price level. TA-Lib computes what it has that forgets: true range, Williams %R,
Aroon. Its ATR and RSI are Wilder's, whose memory has no end, and its sums and regressions carry
rounding errors along, so a bot that loaded 500 candles and a backtest over years would disagree.
Means, sums and slopes that are computed afresh for each row stand in their place.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
import talib

from agent_market.features.inputs import FeatureInputs
from agent_market.features.rolling import (
    rolling_mean,
    rolling_slope,
    rolling_std,
    rolling_sum,
    rolling_zscore,
)
from agent_market.features.standardize import rolling_rank
from agent_market.features.technical import close_location, cutler_rsi, efficiency_ratio

Columns: TypeAlias = dict[str, pd.Series]
LONG_PERIODS = 4  # what a period is compared with, in periods


def returns(inputs: FeatureInputs, period: int) -> Columns:
    """Returns over the period: the whole, its second half less its first, the share of rises.

    Information time: row t uses rows t-period..t.
    """
    close = inputs.candles["close"]
    total, recent = _log_return(close, period), _log_return(close, period // 2)
    rises = (close.diff() > 0).astype(float).where(close.shift().notna())
    return {
        "total_bps": total * 1e4,
        "turn_bps": (2 * recent - total) * 1e4,
        "up_share": rolling_mean(rises, period),
    }


def volatility(inputs: FeatureInputs, period: int) -> Columns:
    """Volatility: of closes, of ranges (Parkinson), its downward share, and against four periods.

    Information time: row t uses rows t-4*period..t.
    """
    candles = inputs.candles
    moves = _log_return(candles["close"], 1)
    spread = _log(candles["high"] / candles["low"])
    squares = rolling_sum(moves**2, period)
    usual = rolling_std(moves, LONG_PERIODS * period)
    deviation = rolling_std(moves, period)
    return {
        "std_bps": deviation * 1e4,
        "parkinson_bps": (rolling_mean(spread**2, period) / (4 * np.log(2))) ** 0.5 * 1e4,
        "downside_share": rolling_sum(moves.clip(upper=0) ** 2, period) / _positive(squares),
        "ratio": deviation / _positive(usual),
    }


def volume(inputs: FeatureInputs, period: int) -> Columns:
    """Volume: z-score, rank, against four periods, and its weight on the side of the close.

    Information time: row t uses rows t-4*period+1..t.
    """
    candles = inputs.candles
    amount = candles["volume"]
    usual = rolling_mean(amount, LONG_PERIODS * period)
    traded = rolling_sum(amount, period)
    return {
        "z": rolling_zscore(amount, period),
        "rank": rolling_rank(amount, period),
        "ratio": rolling_mean(amount, period) / _positive(usual),
        "pressure": rolling_sum(close_location(candles) * amount, period) / _positive(traded),
    }


def vwap(inputs: FeatureInputs, period: int) -> Columns:
    """Distance of the close from the volume-weighted price, in bps and in deviations of closes.

    Information time: row t uses rows t-period+1..t.
    """
    candles = inputs.candles
    typical = (candles["high"] + candles["low"] + candles["close"]) / 3
    traded = _positive(rolling_sum(candles["volume"], period))
    average = rolling_sum(typical * candles["volume"], period) / traded
    distance = candles["close"] - average
    return {
        "deviation_bps": distance / average * 1e4,
        "deviation_z": distance / _positive(rolling_std(candles["close"], period)),
    }


def ranges(inputs: FeatureInputs, period: int) -> Columns:
    """True range: its mean (ATR), the last one and the opening gap in ATR, the close's place.

    Information time: row t uses rows t-period..t.
    """
    candles = inputs.candles
    true_range, average = _true_range(candles, period)
    low, high = candles["low"].rolling(period).min(), candles["high"].rolling(period).max()
    return {
        "atr_bps": average / candles["close"] * 1e4,
        "expansion": true_range / _positive(average),
        "gap_atr": (candles["open"] - candles["close"].shift()) / _positive(average),
        "position": (candles["close"] - low) / _positive(high - low),
    }


def momentum(inputs: FeatureInputs, period: int) -> Columns:
    """Momentum: z-score, signed efficiency, regression slope, Aroon, distance of a breakout.

    Information time: row t uses rows t-period-1..t.
    """
    candles = inputs.candles
    close = candles["close"]
    moves = _log_return(close, 1)
    _, average = _true_range(candles, period)
    before = candles[["high", "low"]].shift()
    above = (close - before["high"].rolling(period).max()).clip(lower=0)
    below = (before["low"].rolling(period).min() - close).clip(lower=0)
    aroon = talib.AROONOSC(_array(candles["high"]), _array(candles["low"]), period)
    return {
        "z": _log_return(close, period) / _positive(rolling_std(moves, period)) / period**0.5,
        "efficiency": efficiency_ratio(close, period),
        "slope_bps": rolling_slope(close, period) / close * 1e4,
        "aroon": pd.Series(aroon, index=close.index) / 100,
        "breakout_atr": (above - below) / _positive(average),
    }


def reversion(inputs: FeatureInputs, period: int) -> Columns:
    """Mean reversion: distance from the mean, Williams %R, Cutler's RSI, rank, autocorrelation.

    Information time: row t uses rows t-period-1..t.
    """
    candles = inputs.candles
    close = candles["close"]
    moves = _log_return(close, 1)
    high, low = _array(candles["high"]), _array(candles["low"])
    williams = talib.WILLR(high, low, _array(close), period)
    return {
        "mean_z": rolling_zscore(close, period),
        "williams": pd.Series(williams, index=close.index) / 100,
        "rsi": cutler_rsi(close, period),
        "rank": rolling_rank(close, period),
        "autocorrelation": rolling_sum(moves * moves.shift(), period)
        / _positive(rolling_sum(moves**2, period)),
    }


def _true_range(candles: pd.DataFrame, period: int) -> tuple[pd.Series, pd.Series]:
    """Return the true range of each candle and its plain mean over the period."""
    high, low, close = (_array(candles[name]) for name in ("high", "low", "close"))
    true_range = pd.Series(talib.TRANGE(high, low, close), index=candles.index)
    return true_range, rolling_mean(true_range, period)


def _log_return(close: pd.Series, rows: int) -> pd.Series:
    return _log(close / close.shift(rows))


def _log(values: pd.Series) -> pd.Series:
    return pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)


def _positive(values: pd.Series) -> pd.Series:
    """Return NaN for a denominator that is not above 0."""
    return values.where(values > 0)


def _array(values: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.ascontiguousarray(values.to_numpy(np.float64))
