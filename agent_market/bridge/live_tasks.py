"""What a bot and its training worker say to each other, and how a training table is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from freqtrade.configuration import TimeRange
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.targets import as_labels
from agent_market.learning.feature_store import as_float32
from agent_market.learning.window_model import FitReport, ModelSpec, Rows


@dataclass(frozen=True)
class Snapshot:
    """
    The candles of one training as the bot holds them, and its list of pairs at that moment.

    `base` is timeframe to candles, `corr` pair to timeframe to candles; both reach further back
    than `timerange`, the period to train on, for the indicators' sake.
    """

    pair: str
    base: dict[str, pd.DataFrame]
    corr: dict[str, dict[str, pd.DataFrame]]
    timerange: TimeRange
    whitelist: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows to fit on, with the names of their columns."""

    rows: Rows
    feature_names: tuple[str, ...]
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """
    One model to fit and to write into `folder`, going on from the one in `init` if there is one.

    From a `Table`, or from a `Snapshot` by the hooks of the strategy that `config`, Freqtrade's
    merged configuration, names. It goes through a pipe, never to the disk: it may hold keys.
    """

    config: dict[str, Any] = field(repr=False)
    material: Snapshot | Table
    spec: ModelSpec
    folder: Path
    init: Path | None


@dataclass(frozen=True)
class Trained:
    """The model is in the folder."""

    report: FitReport


@dataclass(frozen=True)
class NoFeatures:
    """The strategy's hooks do not work without the bot: compute the features there."""

    reason: str


@dataclass(frozen=True)
class NotTrained:
    """The rows cannot be fitted on."""

    reason: str


def training_frame(snapshot: Snapshot, strategy: IStrategy, dk: FreqaiDataKitchen) -> pd.DataFrame:
    """
    Return features, targets and candles of the training period, by the strategy's hooks.
    :param snapshot: the candles
    :param strategy: the strategy
    :param dk: FreqAI's live data kitchen of the pair; finds features and labels
    """
    frame: pd.DataFrame = dk.use_strategy_to_populate_indicators(
        strategy,
        corr_dataframes={pair: dict(frames) for pair, frames in snapshot.corr.items()},
        base_dataframes=dict(snapshot.base),
        pair=snapshot.pair,
    )
    frame = dk.slice_dataframe(snapshot.timerange, frame)
    dk.find_features(frame)
    dk.find_labels(frame)
    return frame


def training_table(frame: pd.DataFrame, dk: FreqaiDataKitchen, candle_seconds: int) -> Table:
    """
    Return the rows of a frame in which the data kitchen has found features and labels.
    :param frame: of `training_frame`
    :param dk: FreqAI's data kitchen
    :param candle_seconds: length of a candle
    """
    seconds: Any = frame["date"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    rows = Rows(
        as_float32(frame[dk.training_features_list]),
        as_labels(frame[dk.label_list]),
        seconds // candle_seconds,
    )
    return Table(rows, tuple(dk.training_features_list), tuple(dk.label_list))
