"""One prediction at a time: is the row fresh, complete and fit for the model, and what follows."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from agent_market.errors import (
    AgentMarketError,
    ConfigError,
    DataError,
    ModelUnavailable,
    StaleDataError,
)
from agent_market.learning.adapters.inputs import AnyArray, Features
from agent_market.learning.adapters.parameters import nearest
from agent_market.learning.feature_store import as_float32
from agent_market.learning.window_model import Prediction, WindowModel
from agent_market.store import Generations

logger = logging.getLogger(__name__)

_NAMED = 3  # names that a message shows
Row = Mapping[str, float] | pd.DataFrame | AnyArray


class DegradeLevel(StrEnum):
    """What a prediction allows, from everything to nothing.

    FULL : all inputs are there. PRICE_ONLY : an optional group is stale or missing, and the model
    predicts without it. RULES : no trusted prediction. FLAT : the candle itself is stale.
    """

    FULL = "full"
    PRICE_ONLY = "price-only"
    RULES = "rules"
    FLAT = "flat"


@dataclass(frozen=True)
class FeatureGroup:
    """Features that the model may have to do without, such as news or side data.

    pattern : finds their names (`re.search`). max_age : of the newest data behind them; None where
    their age is of no concern.
    """

    pattern: str
    max_age: timedelta | None = None


@dataclass(frozen=True)
class InferencePolicy:
    """How old inputs and model may be.

    timeframe : of the candles. max_staleness : how long after its close a candle may be predicted.
    max_model_age : since training; None for a model that never expires.
    groups : the optional features, by a name of your choice.
    """

    timeframe: timedelta
    max_staleness: timedelta
    max_model_age: timedelta | None = None
    groups: Mapping[str, FeatureGroup] = field(default_factory=dict)


@dataclass(frozen=True)
class Inference:
    """The prediction of one candle, and the facts it stands on.

    outputs : column name to prediction: each label, and of a classifier the probability of each
        class; empty where the model was not asked.
    trusted : whether they may be used; where not, they are NaN (None for a class).
    level : the degrade level that follows from this one prediction.
    reasons : why the level is not `full`, in words.
    missing : features of the model that are NaN, or were blanked because their group is stale.
    latency_seconds : time spent on it.
    """

    outputs: dict[str, Any]
    trusted: bool
    level: DegradeLevel
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    latency_seconds: float

    def require(self) -> dict[str, Any]:
        """Return the outputs, for callers that would rather have an error than a level.

        Raises
        ------
        StaleDataError
            The candle is stale.
        ModelUnavailable
            There is no trusted prediction for another reason.
        """
        if self.trusted:
            return self.outputs
        error = StaleDataError if self.level is DegradeLevel.FLAT else ModelUnavailable
        raise error("; ".join(self.reasons))


class Predictor:
    """A model that answers for single candles and for batches.

    Parameters
    ----------
    model : WindowModel or None
        Without a model every answer is of level `rules`.
    trained_at : datetime
        When the model's training data ended; aware. Not looked at without a model.
    policy : InferencePolicy
        Budgets and optional groups.

    Raises
    ------
    ConfigError
        The pattern of a group finds no feature of the model.
    """

    def __init__(
        self, model: WindowModel | None, trained_at: datetime, policy: InferencePolicy
    ) -> None:
        self.model = model
        self.trained_at = _aware(trained_at, "trained_at")
        self.policy = policy
        self._groups = {} if model is None else _columns_of(policy.groups, model)

    @classmethod
    def load(cls, folder: Path, policy: InferencePolicy) -> Self:
        """Return a predictor over the newest generation that loads.

        Parameters
        ----------
        folder : Path
            Of generations of one pair, as a live bot writes them:
            `models/<identifier>/state/models/<pair>`. For a folder of `WindowModel.save`, construct
            the predictor from `WindowModel.load`.

        Raises
        ------
        ModelUnavailable
            No generation loads.
        """
        for generation in Generations(folder).complete():
            try:
                model = WindowModel.load(generation.folder)
            except AgentMarketError as error:
                logger.warning("%s Trying the generation before it.", error)
                continue
            trained_at = generation.meta["data"]["trained_timestamp"]
            return cls(model, datetime.fromtimestamp(trained_at, UTC), policy)
        raise ModelUnavailable(f"{folder}: no generation of a model loads. Train and save again.")

    def predict(self, rows: pd.DataFrame | AnyArray) -> Prediction:
        """Return the predictions of consecutive rows, no clock asked.

        Parameters
        ----------
        rows : DataFrame, or ndarray of shape (n_rows, n_features)
            A frame may have its columns in any order and others besides; an array has the model's
            `feature_names`, in their order. NaN where missing; infinite values count as missing.

        Notes
        -----
        Information time: row t uses rows t - window + 1 .. t of what is given. A row alone gives
        the bytes that it gives in a batch.

        Raises
        ------
        DataError
            A feature is not there or not a number, or the number of columns is another.
        ModelUnavailable
            There is no model.
        """
        if self.model is None:
            raise ModelUnavailable("there is no model. Train one, or trade by rules.")
        return self.model.predict(_table(rows, self.model.feature_names))

    def predict_row(
        self,
        row: Row,
        *,
        at: datetime,
        now: datetime,
        updated: Mapping[str, datetime] | None = None,
    ) -> Inference:
        """Return the prediction of one candle with its degrade level; stale input is no error.

        Parameters
        ----------
        row : mapping of feature to value, frame, or ndarray
            The candle's features. A model with a window needs its newest `window` rows, as a frame
            or an array, the candle last. None and NaN are missing.
        at : datetime
            Open of the candle, aware: it is known at `at` + timeframe.
        now : datetime
            The clock, aware.
        updated : mapping of group to datetime, optional
            When the newest data behind a group became available. A group with `max_age` that is
            not in it counts as stale. The features of a stale group are blanked.

        Raises
        ------
        DataError
            The candle has not closed, or a feature is not there or not a number.
        ConfigError
            `updated` names a group that the policy does not have.
        """
        started = time.perf_counter()
        self._check_clock(at, now)
        stale = self._stale_groups(now, updated or {})
        level, reasons = self._level_of_time(at, now)
        if self.model is None:
            return Inference({}, False, level, reasons, (), time.perf_counter() - started)
        table = self._blanked(_window(row, self.model), stale)
        missing = [column for column in self.model.columns if np.isnan(table[-1, column])]
        outputs: dict[str, Any] = {}
        trusted = False
        if level is DegradeLevel.FULL:
            prediction = self.model.predict(table)
            outputs = {name: column[-1] for name, column in prediction.outputs.items()}
            trusted = bool(prediction.trusted[-1])
            reasons = self._without(stale, missing)
            if reasons:
                level = DegradeLevel.PRICE_ONLY
            if not trusted:
                level = DegradeLevel.RULES
                reasons += (_distrust(self.model, prediction, missing),)
        names = tuple(self.model.feature_names[column] for column in missing)
        return Inference(outputs, trusted, level, reasons, names, time.perf_counter() - started)

    def _check_clock(self, at: datetime, now: datetime) -> None:
        closed = _aware(at, "at") + self.policy.timeframe
        if closed > _aware(now, "now"):
            raise DataError(
                f"the candle of {at} closes at {closed}, and it is {now}. Pass closed candles: "
                "features of an open one change until its close."
            )

    def _stale_groups(self, now: datetime, updated: Mapping[str, datetime]) -> dict[str, str]:
        """Return the groups whose data is too old, and how old it is in words."""
        for name in updated:
            if name not in self.policy.groups:
                raise ConfigError(
                    f"updated: there is no group {name!r}. {_hint(name, self.policy.groups)}"
                )
        stale = {}
        for name, group in self.policy.groups.items():
            if group.max_age is None:
                continue
            if name not in updated:
                stale[name] = f"{name} has no data"
                continue
            age = now - _aware(updated[name], f"updated[{name!r}]")
            if age > group.max_age:
                stale[name] = f"{name} is {age} old, its budget is {group.max_age}"
        return stale

    def _level_of_time(self, at: datetime, now: datetime) -> tuple[DegradeLevel, tuple[str, ...]]:
        """Return the level that the clock dictates; below full the model is not asked."""
        level = DegradeLevel.FULL
        reasons: list[str] = []
        limit = self.policy.max_model_age
        if self.model is None:
            level = DegradeLevel.RULES
            reasons.append("there is no model")
        elif limit is not None and now - self.trained_at > limit:
            level = DegradeLevel.RULES
            reasons.append(f"the model is {now - self.trained_at} old, its budget is {limit}")
        age = now - at - self.policy.timeframe
        if age > self.policy.max_staleness:
            level = DegradeLevel.FLAT
            reasons.append(
                f"the candle of {at} closed {age} ago, its budget is {self.policy.max_staleness}"
            )
        return level, tuple(reasons)

    def _blanked(self, table: Features, stale: Mapping[str, str]) -> Features:
        columns = sorted(column for group in stale for column in self._groups[group])
        if columns:
            table = table.copy()
            table[-1, columns] = np.nan
        return table

    def _without(self, stale: Mapping[str, str], missing: Sequence[int]) -> tuple[str, ...]:
        """Say which groups the model does without; one that it does not use costs nothing."""
        reasons = []
        for group, columns in self._groups.items():
            if group in stale and columns:
                reasons.append(stale[group])
            elif columns and columns <= set(missing):
                reasons.append(f"all {len(columns)} features of {group} are missing")
        return tuple(reasons)


def _columns_of(
    groups: Mapping[str, FeatureGroup], model: WindowModel
) -> dict[str, frozenset[int]]:
    """Return the columns of each group that the model uses."""
    columns = {}
    for name, group in groups.items():
        pattern = re.compile(group.pattern)
        found = [c for c, feature in enumerate(model.feature_names) if pattern.search(feature)]
        if not found:
            raise ConfigError(
                f"groups.{name}: {group.pattern!r} finds none of {len(model.feature_names)} "
                f"features. {_hint(group.pattern, model.feature_names)}"
            )
        columns[name] = frozenset(found) & frozenset(model.columns)
    return columns


def _window(row: Row, model: WindowModel) -> Features:
    table = _table(row, model.feature_names)
    if len(table) < model.window:
        raise DataError(
            f"{len(table)} row(s) for a model that reads {model.window} consecutive candles. Pass "
            f"the newest {model.window}, the candle last."
        )
    return table[-model.window :]


def _table(rows: Row, names: Sequence[str]) -> Features:
    """Return float32 (n_rows, n_features), NaN where missing."""
    if isinstance(rows, pd.DataFrame):
        _check_names(names, rows.columns)
        return as_float32(rows[list(names)])
    if isinstance(rows, Mapping):
        _check_names(names, rows)
        rows = np.array([[rows[name] for name in names]], dtype=object)
    try:
        with np.errstate(over="ignore"):
            table = np.atleast_2d(np.array(rows, dtype=np.float64)).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a feature is not a number ({error}). Features must be numbers."
        ) from error
    table[~np.isfinite(table)] = np.nan
    return table


def _check_names(names: Sequence[str], given: Collection[str]) -> None:
    known = set(given)
    absent = [name for name in names if name not in known]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(names)} features are not there, the first is {absent[0]!r}. "
            f"{_hint(absent[0], known)}"
        )


def _distrust(model: WindowModel, prediction: Prediction, missing: Sequence[int]) -> str:
    if missing:
        shown = ", ".join(model.feature_names[column] for column in missing[:_NAMED])
        shown += ", ..." if len(missing) > _NAMED else ""
        return (
            f"{len(missing)} of the model's {len(model.columns)} features are missing ({shown}); "
            "it does not trust the row"
        )
    return (
        "the row is an outlier or its window is incomplete (dissimilarity index "
        f"{prediction.dissimilarity[-1]:.3g}); the model does not trust it"
    )


def _hint(name: str, valid: Collection[str]) -> str:
    return f"Did you mean {nearest(name, valid)!r}?" if valid else "There is none at all."


def _aware(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is None:
        raise DataError(f"{name} = {moment} has no time zone. Pass it in UTC.")
    return moment
