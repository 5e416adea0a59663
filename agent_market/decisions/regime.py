"""Which regime the market is in, measured from the past only."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import pandas as pd

from agent_market.decisions.hidden_markov import FALL, RISE, filtered_states
from agent_market.features.rolling import rolling_mean
from agent_market.features.technical import efficiency_ratio
from agent_market.settings import RegimeSettings


class Regime(IntEnum):
    """What the recent candles look like; the number is what FreqUI plots."""

    UNKNOWN = 0
    RANGE = 1
    TREND = 2
    SHOCK = 3


_OF_STATE = (Regime.RANGE, Regime.TREND, Regime.TREND, Regime.SHOCK)


def measure_regime(candles: pd.DataFrame, settings: RegimeSettings) -> pd.DataFrame:
    """Return the regime of each candle and the measures it rests on.

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has open, high, low, close, ascending in time.
    settings : RegimeSettings
        Windows, thresholds, and which of the two filters.

    Returns
    -------
    DataFrame of shape (n_rows, 5), the index of `candles`
        `am_regime` (a `Regime` as int), `am_trend` (-1..1: the signed efficiency ratio, or the odds
        of a rise less those of a fall), `am_shock_z` (the candle's return over the volatility
        before it), `am_volatility` (root mean square of candle returns, a fraction; no mean is
        taken off, so that a steady move is not a shock) and `am_turbulent` (1 where the last
        quarter of the window is more volatile than the whole by `turbulence`).

    Notes
    -----
    Information time: row t uses rows up to t, at most two windows back, nothing is smoothed
    backwards, and the windows are finite, so that the value does not depend on where the history
    starts. UNKNOWN until they are full.
    """
    returns = candles["close"].pct_change(fill_method=None)
    volatility = rolling_mean(returns**2, settings.window_candles) ** 0.5
    recent = rolling_mean(returns**2, max(2, settings.window_candles // 4)) ** 0.5
    shock = returns / volatility.shift(1).where(volatility.shift(1) > 0)
    classify = _by_chain if settings.filter == "hidden_markov" else _by_thresholds
    regime, trend = classify(candles, shock, volatility, settings)
    return pd.DataFrame(
        {
            "am_regime": regime,
            "am_trend": trend,
            "am_shock_z": shock,
            "am_volatility": volatility,
            "am_turbulent": (recent >= settings.turbulence * volatility).astype(int),
        },
        index=candles.index,
    )


def regime_names(candles: pd.DataFrame, settings: RegimeSettings) -> pd.Series:
    """Return the regime of each candle as `measure_regime` finds it, by its name in lower case."""
    names = {int(regime): regime.name.lower() for regime in Regime}
    return measure_regime(candles, settings)["am_regime"].map(names)


def _by_thresholds(
    candles: pd.DataFrame, shock: pd.Series, volatility: pd.Series, settings: RegimeSettings
) -> tuple[pd.Series, pd.Series]:
    shocked = shock.abs().rolling(settings.shock_memory_candles, min_periods=1).max()
    trend = efficiency_ratio(candles["close"], settings.window_candles)
    unknown = volatility.isna() | trend.isna()
    trends = trend.abs() >= settings.trend_efficiency
    regime = np.select(
        [unknown, shocked >= settings.shock_z, trends],
        [Regime.UNKNOWN, Regime.SHOCK, Regime.TREND],
        Regime.RANGE,
    )
    return pd.Series(regime, index=candles.index), trend


def _by_chain(
    candles: pd.DataFrame, shock: pd.Series, volatility: pd.Series, settings: RegimeSettings
) -> tuple[pd.Series, pd.Series]:
    """Return the most probable state of the chain, and the odds of a rise less those of a fall."""
    odds = filtered_states(shock.to_numpy(np.float64), settings.window_candles, settings.stay)
    known = ~np.isnan(odds).any(axis=1)
    state = np.where(known, np.nan_to_num(odds).argmax(axis=1), 0)
    regime = np.where(known, np.array(_OF_STATE)[state], Regime.UNKNOWN)
    trend = odds[:, RISE] - odds[:, FALL]
    return pd.Series(regime, index=candles.index), pd.Series(trend, index=candles.index)
