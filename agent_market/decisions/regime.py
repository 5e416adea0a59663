"""Which regime the market is in, measured from the past only."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import pandas as pd

from agent_market.features.rolling import rolling_mean
from agent_market.features.technical import efficiency_ratio
from agent_market.settings import RegimeSettings


class Regime(IntEnum):
    """What the recent candles look like; the number is what FreqUI plots."""

    UNKNOWN = 0
    RANGE = 1
    TREND = 2
    SHOCK = 3


def measure_regime(candles: pd.DataFrame, settings: RegimeSettings) -> pd.DataFrame:
    """Return the regime of each candle and the measures it rests on.

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has open, high, low, close, ascending in time.
    settings : RegimeSettings
        Windows and thresholds.

    Returns
    -------
    DataFrame of shape (n_rows, 4), the index of `candles`
        `am_regime` (a `Regime` as int), `am_trend` (signed efficiency ratio, -1..1),
        `am_shock_z` (the candle's return over the volatility before it) and `am_volatility` (root
        mean square of candle returns, a fraction; no mean is taken off, so that a steady move is
        not a shock).

    Notes
    -----
    Information time: row t uses rows t-window..t, nothing is smoothed backwards, and the windows
    are finite, so that the value does not depend on where the history starts. UNKNOWN until they
    are full.
    """
    returns = candles["close"].pct_change(fill_method=None)
    volatility = rolling_mean(returns**2, settings.window_candles) ** 0.5
    shock = returns / volatility.shift(1).where(volatility.shift(1) > 0)
    shocked = shock.abs().rolling(settings.shock_memory_candles, min_periods=1).max()
    trend = efficiency_ratio(candles["close"], settings.window_candles)
    regime = np.select(
        [volatility.isna() | trend.isna(), shocked >= settings.shock_z, _trends(trend, settings)],
        [Regime.UNKNOWN, Regime.SHOCK, Regime.TREND],
        Regime.RANGE,
    )
    return pd.DataFrame(
        {
            "am_regime": regime,
            "am_trend": trend,
            "am_shock_z": shock,
            "am_volatility": volatility,
        },
        index=candles.index,
    )


def _trends(trend: pd.Series, settings: RegimeSettings) -> pd.Series:
    return trend.abs() >= settings.trend_efficiency
