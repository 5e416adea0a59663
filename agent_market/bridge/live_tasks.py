"""What a bot and its training worker say to each other, and how a training table is made."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.configuration import TimeRange
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.features import PANEL, panel_name
from agent_market.bridge.targets import as_labels
from agent_market.errors import DataError
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
class Panel:
    """The candles of several pairs, to fit one model on; what members share is sent once."""

    members: tuple[Snapshot, ...]


@dataclass(frozen=True)
class Table:
    """Rows of one pair to fit on, with the names of their columns."""

    rows: Rows
    feature_names: tuple[str, ...]
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """
    One model to fit and to write into `folder`, going on from the one in `init` if there is one.

    From tables, one a pair, or from candles by the hooks of the strategy that `config`, Freqtrade's
    merged configuration, names. It goes through a pipe, never to the disk: it may hold keys.
    """

    config: dict[str, Any] = field(repr=False)
    material: Snapshot | Panel | tuple[Table, ...]
    spec: ModelSpec
    folder: Path
    init: Path | None


@dataclass(frozen=True)
class Trained:
    """The model is in the folder; `left_out` says why a pair of a panel had no part in it."""

    report: FitReport
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NoFeatures:
    """The strategy's hooks do not work without the bot: compute the features there."""

    reason: str


@dataclass(frozen=True)
class NotTrained:
    """The rows cannot be fitted on."""

    reason: str


class NotAnsweredError(DataError):
    """The strategy asks the training worker for what only the bot has."""


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


def panel_tables(
    panel: Panel, table_of: Callable[[Snapshot], Table], corr_pairs: Sequence[str]
) -> tuple[tuple[Table, ...], dict[str, str]]:
    """
    Return the tables of all pairs with features named alike, and why a pair is not among them.

    A pair is left out whose features fail, or differ from those of most pairs. DataError: no pair
    is left. NotAnsweredError: the bot can make the features.
    :param panel: the candles
    :param table_of: makes the table of one pair, named as by FreqAI
    :param corr_pairs: include_corr_pairlist
    """
    found, left_out = {}, {}
    for member in panel.members:
        try:
            found[member.pair] = _panel_table(table_of(member), member.pair, corr_pairs)
        except NotAnsweredError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the user's hooks raise
            left_out[member.pair] = described(error)
    if not found:
        reasons = " ".join(f"{pair}: {reason}" for pair, reason in left_out.items())
        raise DataError(f"no pair of the panel has features. {reasons}")
    names = Counter((table.feature_names, table.label_names) for table in found.values())
    usual = names.most_common(1)[0][0]
    for pair, table in list(found.items()):
        if (table.feature_names, table.label_names) != usual:
            odd = {*table.feature_names, *table.label_names} ^ {*usual[0], *usual[1]}
            left_out[pair] = f"Other pairs have other features or labels: {sorted(odd)[:5]}."
            del found[pair]
    return tuple(found.values()), left_out


def panel_columns(columns: Sequence[str], pair: str, corr_pairs: Sequence[str]) -> dict[str, str]:
    """
    Return the features that a pair has in a panel, in the order of a backtest, and their columns.

    A pair that is one of the correlated ones has its own features under both names.
    :param columns: features as FreqAI names them
    :param pair: the pair
    :param corr_pairs: include_corr_pairlist
    """
    marks = [f"_{corr.replace(':', '')}_" for corr in corr_pairs]
    own = {panel_name(column, pair): column for column in columns}
    again = {column: column for column in columns} if pair in corr_pairs else {}

    def order(name: str) -> int:
        return next((number for number, mark in enumerate(marks) if mark in name), -1)

    return dict(sorted((own | again).items(), key=lambda item: order(item[0])))


def own_column(name: str, pair: str) -> str:
    """
    Return the column of a pair's frame that is a feature of the panel.
    :param name: of the feature
    :param pair: the pair
    """
    return name.replace(f"_{PANEL}_", f"_{pair.replace(':', '')}_")


def described(error: Exception) -> str:
    """
    Return an error on one line, with the place that raised it.
    :param error: was raised
    """
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"


def _panel_table(table: Table, pair: str, corr_pairs: Sequence[str]) -> Table:
    rows = table.rows
    if not len(rows.candles):
        raise DataError("it has no candle in the training period.")
    columns = panel_columns(table.feature_names, pair, corr_pairs)
    number = {name: column for column, name in enumerate(table.feature_names)}
    chosen = rows.X[:, [number[column] for column in columns.values()]]
    alike = replace(rows, X=np.ascontiguousarray(chosen))
    return Table(alike, tuple(columns), table.label_names)
