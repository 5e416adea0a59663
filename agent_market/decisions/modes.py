"""The modes of the hybrid strategy: what a prediction is turned into in each regime."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import pandas as pd

from agent_market.decisions.regime import Regime
from agent_market.features.rolling import rolling_zscore
from agent_market.settings import ModeSettings


class Mode(IntEnum):
    """How a trade is taken; the number is what FreqUI plots, the name is the entry tag."""

    FLAT = 0
    MEAN_REVERSION = 1
    TREND = 2
    EVENT_BREAKOUT = 3

    @property
    def tag(self) -> str:
        """The entry tag, lower case."""
        return self.name.lower()


def choose_modes(
    candles: pd.DataFrame,
    regime: pd.DataFrame,
    prediction: pd.Series,
    trusted: pd.Series,
    settings: ModeSettings,
) -> pd.DataFrame:
    """Return the mode and the direction that each candle's close asks for.

    A mode follows from the regime; its direction follows from its own rule and holds only where
    the prediction agrees and exceeds the entry edge. Trend goes with the move, mean reversion
    against the deviation from the window's mean, event breakout out of the previous range.

    Parameters
    ----------
    candles, regime : DataFrame of shape (n_rows, ...)
        Candles, and what `measure_regime` says of them, on the same index.
    prediction : Series of shape (n_rows,)
        Predicted forward return, a fraction.
    trusted : Series of bool, shape (n_rows,)
        Whether the model stands behind the prediction (FreqAI's `do_predict == 1`).
    settings : ModeSettings
        Thresholds.

    Returns
    -------
    DataFrame of shape (n_rows, 3), the index of `candles`
        `am_mode` (a `Mode` as int), `am_direction` in {-1, 0, 1} and `am_deviation_z`.

    Notes
    -----
    Information time: row t uses rows <= t. No direction where a measure or prediction is NaN.
    """
    deviation = rolling_zscore(candles["close"], settings.window_candles)
    rules = {
        Mode.TREND: (regime["am_regime"] == Regime.TREND, np.sign(regime["am_trend"])),
        Mode.MEAN_REVERSION: (
            regime["am_regime"] == Regime.RANGE,
            -np.sign(deviation) * (deviation.abs() >= settings.deviation_z),
        ),
        Mode.EVENT_BREAKOUT: (
            regime["am_regime"] == Regime.SHOCK,
            _breakout(candles, settings.window_candles),
        ),
    }
    applies = [rule[0] for rule in rules.values()]
    mode = pd.Series(np.select(applies, list(rules), Mode.FLAT), index=candles.index)
    wanted = pd.Series(
        np.select(applies, [rule[1] for rule in rules.values()], 0.0), index=candles.index
    )
    agrees = (np.sign(prediction) == wanted) & (prediction.abs() >= settings.entry_edge_bps / 1e4)
    return pd.DataFrame(
        {
            "am_mode": mode,
            "am_direction": wanted.where(agrees & trusted, 0).fillna(0).astype(int),
            "am_deviation_z": deviation,
        },
        index=candles.index,
    )


def _breakout(candles: pd.DataFrame, window: int) -> pd.Series:
    """Return 1 above the previous window's high, -1 below its low, else 0."""
    high = candles["high"].rolling(window).max().shift(1)
    low = candles["low"].rolling(window).min().shift(1)
    return (candles["close"] > high).astype(float) - (candles["close"] < low).astype(float)
