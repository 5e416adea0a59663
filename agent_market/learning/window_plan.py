"""The windows of one pair: which rows train, which are predicted, which labels are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from agent_market.learning.adapters.inputs import AnyArray
from agent_market.learning.feature_table import FeatureTable
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_tasks import Series, WindowTask
from agent_market.market.candles import pair_file_name
from agent_market.store import hash_bytes, hash_json


@dataclass(frozen=True)
class Window:
    """One training window and the period it predicts, in rows of the pair's candles.

    trained_at : end of the training period, seconds since 1970, which names the window.
    train, predict : first row and end (exclusive). known : rows of the training period's history;
    a label that needs row `known` or a later one is not known when the window is trained.
    """

    trained_at: int
    train: tuple[int, int]
    predict: tuple[int, int]
    known: int


@dataclass(frozen=True)
class PairPlan:
    """Features, labels and windows of one pair.

    candles : DataFrame of shape (n_rows, ...), with `date` and prices.
    labels : (n_rows, n_labels), each computed once from the whole history; float64, or objects
        where a label is a class.
    horizon_candles : a label at row t uses rows up to t + horizon_candles.
    window_labels : labels of the training rows by `trained_at`, for targets that must be computed
        window by window (see `agent_market.bridge.targets`); empty otherwise.
    """

    pair: str
    table: FeatureTable
    candles: pd.DataFrame
    labels: AnyArray
    label_names: tuple[str, ...]
    horizon_candles: int
    windows: tuple[Window, ...]
    window_labels: Mapping[int, AnyArray] = field(default_factory=dict)

    def training_labels(self, window: Window) -> AnyArray:
        """Return the labels of the training rows that were known at the window's end.

        Returns
        -------
        ndarray of shape (n_train, n_labels)
            NaN (None for a class) where row + horizon lies at or beyond `window.known`.
        """
        if window.trained_at in self.window_labels:
            return self.window_labels[window.trained_at]
        start, stop = window.train
        labels = self.labels[start:stop].copy()
        settled = max(0, window.known - self.horizon_candles - start)
        labels[settled:] = None if labels.dtype == object else np.nan
        return labels

    def series(self, window: Window) -> Series:
        """Return this pair's part of a task."""
        return Series(
            self.pair, self.table, window.train, window.predict, self.training_labels(window)
        )

    def task(self, window: Window, spec: ModelSpec, save_to: Path | None = None) -> WindowTask:
        """Return the task that trains and predicts `window`."""
        return WindowTask(self.key(window), (self.series(window),), self.label_names, spec, save_to)

    def key(self, window: Window) -> str:
        """Return the name of the window: pair and end of training."""
        return f"{pair_file_name(self.pair)}_{window.trained_at}"

    def identity(self, window: Window, spec: ModelSpec, versions: Mapping[str, str]) -> str:
        """Return the hash of all that the window's predictions follow from.

        Features, labels, rows, model, parameters, seed and the `versions` of the libraries.
        """
        labels = self.training_labels(window)
        content = repr(labels.tolist()).encode() if labels.dtype == object else labels.tobytes()
        return hash_json(
            {
                "features": self.table.key,
                "labels": hash_bytes(content),
                "names": [*self.table.names, *self.label_names],
                "rows": [window.train, window.predict],
                "spec": spec_values(spec),
                "versions": dict(versions),
            }
        )


def spec_values(spec: ModelSpec) -> dict[str, object]:
    """Return the spec as plain JSON values, the pipeline as its hash."""
    values = {name: getattr(spec, name) for name in ModelSpec.__dataclass_fields__}
    pipeline = None if spec.pipeline is None else hash_bytes(spec.pipeline)
    return values | {"params": dict(spec.params), "pipeline": pipeline}
