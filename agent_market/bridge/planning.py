"""FreqAI's windows of a pair, in rows; the same for a backtest and for the training pipeline."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.exchange import timeframe_to_seconds
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.features import FeatureBuilder, PairFeatures
from agent_market.bridge.targets import compute_targets
from agent_market.learning.window_plan import PairPlan, Window


def plan_pair(
    config: Mapping[str, Any],
    strategy: IStrategy,
    builder: FeatureBuilder,
    pair: str,
    candles: pd.DataFrame,
    dk: FreqaiDataKitchen,
    *,
    panel: bool = False,
) -> tuple[PairPlan, PairFeatures]:
    """
    Return features, labels and windows of one pair.
    :param config: Freqtrade's merged configuration
    :param strategy: the strategy
    :param builder: makes the features
    :param pair: the pair
    :param candles: the frame that the strategy hands to FreqAI
    :param dk: FreqAI's data kitchen of this pair, which knows the time ranges
    :param panel: name features alike for all pairs
    """
    features = builder.build(pair, candles, panel=panel)
    windows = windows_of(config, dk, features.frame["date"])
    horizon = int(config["freqai"]["feature_parameters"]["label_period_candles"])
    targets = compute_targets(strategy, pair, features, windows, horizon)
    plan = PairPlan(
        pair,
        features.table,
        features.frame,
        targets.labels,
        targets.names,
        horizon,
        windows,
        targets.by_window,
    )
    return plan, features


def windows_of(
    config: Mapping[str, Any], dk: FreqaiDataKitchen, dates: pd.Series
) -> tuple[Window, ...]:
    """
    Return FreqAI's windows as rows, and the last candle of the data in the last of them.

    FreqAI's windows end one candle before the data, and the strategy would read a zero there,
    which `freqtrade lookahead-analysis` takes for look-ahead bias. With the last candle in the
    window it belongs to, a prediction does not depend on where the data end.
    :param config: Freqtrade's merged configuration
    :param dk: FreqAI's data kitchen
    :param dates: open time of each candle, rising
    """
    candle = timeframe_to_seconds(config["timeframe"])
    period = int(config["freqai"]["backtest_period_days"] * 86_400)
    buffer = int(config["freqai"]["feature_parameters"].get("buffer_train_data_candles", 0))
    seconds = dates.astype("datetime64[s, UTC]").astype("int64").to_numpy()
    windows = []
    for train, predict in _with_last_candle(dk, period, candle):
        first, last = np.searchsorted(seconds, [predict.startts, predict.stopts])
        if last <= first:
            continue
        start, stop = np.searchsorted(
            seconds, [train.startts + buffer * candle, train.stopts - buffer * candle]
        )
        known = int(np.searchsorted(seconds, train.stopts))
        rows = (int(start), int(max(start, stop)))
        windows.append(Window(int(train.stopts), rows, (int(first), int(last)), known))
    return tuple(windows)


def _with_last_candle(dk: FreqaiDataKitchen, period: int, candle: int) -> list[tuple[Any, Any]]:
    """Lengthen the last window by a candle, or open the next one if it is full (in seconds)."""
    pairs = list(zip(dk.training_timeranges, dk.backtesting_timeranges, strict=True))
    train, window = (copy.copy(timerange) for timerange in pairs[-1])
    if window.stopts - window.startts < period:
        window.stopts += candle
        return [*pairs[:-1], (train, window)]
    train.startts, train.stopts = train.startts + period, train.stopts + period
    window.startts, window.stopts = window.stopts, window.stopts + candle
    return [*pairs, (train, window)]
