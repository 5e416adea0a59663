"""The strategy's targets: computed once and cut to each window, where that cannot leak."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from freqtrade.strategy import IStrategy

from agent_market.bridge.features import PairFeatures
from agent_market.errors import ConfigError, DataError
from agent_market.learning.adapters.inputs import AnyArray
from agent_market.learning.checks import check_locality
from agent_market.learning.window_plan import Window

logger = logging.getLogger(__name__)

_HISTORY, _AFTER = 2000, 50  # rows before and after the horizon that the probe is given


@dataclass(frozen=True)
class Targets:
    """
    Labels of one pair.

    `labels` has one row for each candle, from the whole history. `by_window` has the labels of the
    training rows of each window, by its `trained_at`, where the targets are not local.
    """

    names: tuple[str, ...]
    labels: AnyArray
    by_window: dict[int, AnyArray]


def compute_targets(
    strategy: IStrategy,
    pair: str,
    features: PairFeatures,
    windows: Iterable[Window],
    horizon: int,
) -> Targets:
    """
    Compute the targets once if a probe finds that they are local, else window by window.

    FreqAI computes them twice a window on an ever longer frame, so that no label can hold what came
    after the window. The same follows from cutting the last `horizon` labels of a window off, if a
    label at row t depends on rows up to t + horizon alone: `check_locality` asks for that.
    :param strategy: the strategy
    :param pair: the pair
    :param features: its features
    :param windows: its windows
    :param horizon: freqai.feature_parameters.label_period_candles
    """
    n_rows = len(features.table)
    whole = _targets_of(strategy, pair, features.with_features(0, n_rows))
    names = tuple(map(str, whole.columns))
    if _is_local(strategy, pair, features, horizon):
        return Targets(names, as_labels(whole), {})
    by_window = {}
    for window in windows:
        known = _targets_of(strategy, pair, features.with_features(0, window.known))
        by_window[window.trained_at] = as_labels(known)[slice(*window.train)]
    return Targets(names, as_labels(whole), by_window)


def as_labels(targets: pd.DataFrame) -> AnyArray:
    """
    Return targets as float64 (n_rows, n_labels), or as objects where one of them is a class.
    :param targets: the target columns; infinite values become NaN
    """
    if all(pd.api.types.is_numeric_dtype(targets[name]) for name in targets):
        values = targets.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        values[~np.isfinite(values)] = np.nan
        return values
    classes = targets.astype(object)
    return classes.where(classes.notna(), None).to_numpy(dtype=object)


def _is_local(strategy: IStrategy, pair: str, features: PairFeatures, horizon: int) -> bool:
    n_rows = len(features.table)
    length = min(n_rows, _HISTORY + 4 * horizon + _AFTER)
    sample = features.with_features(n_rows - length, n_rows)
    try:
        check_locality(lambda frame: _targets_of(strategy, pair, frame), sample, horizon)
    except (ConfigError, DataError) as reason:
        logger.warning(
            "%s: the targets are computed window by window, as FreqAI does it, because they are "
            "not local to label_period_candles = %d. %s",
            pair,
            horizon,
            reason,
        )
        return False
    return True


def _targets_of(strategy: IStrategy, pair: str, frame: pd.DataFrame) -> pd.DataFrame:
    found: pd.DataFrame = strategy.set_freqai_targets(frame, metadata={"pair": pair})
    return found[[name for name in found.columns if "&" in name]]
