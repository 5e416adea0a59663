"""Momentum that turns its sign with the regime: moves go on in loud markets, revert in quiet ones.

A tree needs many rows to find that the product of two noisy columns predicts where neither does
alone, so the product is a column of its own.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.features.decay import decayed_mean
from agent_market.features.rolling import rolling_mean

LEVEL_HALF_LIFE_CANDLES = 12.0
MOMENTUM_HALF_LIFE_CANDLES = 24.0
_LARGEST_MOVE = 3.0  # in typical candle ranges: a jump is news of that minute, not momentum
_LEAST_LOG_RANGE = 1e-5  # a candle without a range has no logarithm
_CLEAR_LEVEL = 0.2  # logarithmic distance from the usual volatility that tells loud from quiet


def add_regime_momentum_features(candles: pd.DataFrame, usual_candles: int = 4032) -> pd.DataFrame:
    """Return `candles` with the level of volatility, momentum, and their product.

    Adds `%-volatility_level` (logarithm of the candles' ranges, decayed mean of half-life 12, less
    its mean over `usual_candles`; 0.7 is twice the usual), `%-decayed_momentum` (returns in
    typical ranges, decayed mean of half-life 24) and `%-regime_momentum` (the momentum, weighed
    from 1 in loud to -1 in quiet markets by tanh(level / 0.2)).

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has `high`, `low` and `close`; without gaps.
    usual_candles : int
        What "usual" means; 4032 are 14 days of 5 minutes. Take whole days, for volatility has a
        daily course.

    Notes
    -----
    Information time: row t uses rows t - usual_candles - 119 .. t and nothing before; the momentum
    alone needs 361 rows. NaN until they exist.
    """
    log_range = _log_range(candles)
    typical = decayed_mean(log_range, LEVEL_HALF_LIFE_CANDLES)
    level = typical - rolling_mean(log_range, usual_candles)
    moves = candles["close"].pct_change(fill_method=None) / np.exp(typical)
    momentum = decayed_mean(moves.clip(-_LARGEST_MOVE, _LARGEST_MOVE), MOMENTUM_HALF_LIFE_CANDLES)
    return candles.assign(
        **{
            "%-volatility_level": level,
            "%-decayed_momentum": momentum,
            "%-regime_momentum": momentum * np.tanh(level / _CLEAR_LEVEL),
        }
    )


def _log_range(candles: pd.DataFrame) -> pd.Series:
    span = np.log((candles["high"] / candles["low"]).to_numpy(np.float64))
    return pd.Series(np.log(np.maximum(span, _LEAST_LOG_RANGE)), index=candles.index)
