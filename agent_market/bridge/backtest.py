"""All windows of a pair: trained in parallel, or read back where nothing has changed."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather

from agent_market.bridge.windows import TrainedWindow
from agent_market.learning.conformal import ConformalRule, conformal_intervals
from agent_market.learning.window_model import ModelSpec, Prediction
from agent_market.learning.window_plan import PairPlan, Window
from agent_market.learning.window_tasks import WindowOutcome, WindowTask, run_windows
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import ConformalSettings
from agent_market.store import hash_json, write_with

logger = logging.getLogger(__name__)

AGE = "am_model_age_hours"
PREDICTIONS, MODELS = "backtesting_predictions", "backtesting_models"
_LIBRARIES = ("lightgbm", "xgboost", "catboost", "scikit-learn", "torch", "numpy")


class WindowRunner:
    """
    Trains and predicts windows, and keeps what they predicted below `models/<identifier>/`.

    A window is read back only if the hash of its features, labels, rows, model, parameters, seed
    and libraries is the one it was stored under. Each window is stored as soon as it is there, so
    that a backtest that was killed goes on where it was.
    :param folder: `models/<identifier>`
    :param model: name of the FreqAI model, for the records
    :param spec: the model
    :param workers: processes
    :param save_models: keep the models too
    """

    def __init__(
        self, folder: Path, model: str, spec: ModelSpec, workers: int, *, save_models: bool
    ) -> None:
        self.folder = folder
        self.model = model
        self.spec = spec
        self.workers = workers
        self.save_models = save_models

    def run(self, plans: Sequence[PairPlan]) -> dict[str, dict[int, pd.DataFrame]]:
        """
        Return the predictions of every window by pair and end of training.
        :param plans: one pair; several make a panel, whose windows are trained on all of them
        """
        found: dict[str, dict[int, pd.DataFrame]] = {plan.pair: {} for plan in plans}
        tasks = []
        waiting: dict[str, tuple[str, list[tuple[PairPlan, Window]]]] = {}
        for members in _windows_at_once(plans):
            identity = self._identity(members)
            stored = {plan.pair: self._read(plan, window, identity) for plan, window in members}
            known = {pair: frame for pair, frame in stored.items() if frame is not None}
            if len(known) == len(stored):
                for pair, frame in known.items():
                    found[pair][members[0][1].trained_at] = frame
                continue
            task = self._task(members)
            tasks.append(task)
            waiting[task.key] = (identity, members)
        reused = sum(map(len, found.values()))
        pairs = ", ".join(found)
        logger.info("%s: %d windows to train, %d unchanged.", pairs, len(tasks), reused)
        for number, outcome in enumerate(run_windows(tasks, self.workers), 1):
            identity, members = waiting[outcome.key]
            for plan, window in members:
                frame = self._store(plan, window, outcome, identity)
                found[plan.pair][window.trained_at] = frame
            logger.info("%s: window %d/%d, %s", pairs, number, len(tasks), _describe(outcome))
        return found

    def _identity(self, members: list[tuple[PairPlan, Window]]) -> str:
        return hash_json(
            [plan.identity(window, self.spec, _versions()) for plan, window in members]
        )

    def _task(self, members: list[tuple[PairPlan, Window]]) -> WindowTask:
        plan, window = members[0]
        save_to = self.folder / MODELS / plan.key(window) if self.save_models else None
        series = tuple(plan.series(window) for plan, window in members)
        return WindowTask(plan.key(window), series, plan.label_names, self.spec, save_to)

    def _read(self, plan: PairPlan, window: Window, identity: str) -> pd.DataFrame | None:
        path = self._path(plan.pair, window)
        if not path.is_file():
            return None
        try:
            table = pa.feather.read_table(path, memory_map=False)
            metadata = table.schema.metadata or {}
        except (pa.ArrowInvalid, OSError) as error:
            logger.warning("%s is damaged (%s). The window is trained again.", path, error)
            return None
        if metadata.get(b"identity") != identity.encode():
            logger.info("%s: features, labels or model have changed. Trained again.", path.name)
            return None
        frame: pd.DataFrame = table.to_pandas()
        frame.attrs["calibration_errors"] = json.loads(metadata[b"calibration_errors"])
        return frame

    def _store(
        self, plan: PairPlan, window: Window, outcome: WindowOutcome, identity: str
    ) -> pd.DataFrame:
        frame = _frame(plan, window, outcome)
        if outcome.error is not None:
            logger.warning("%s: window not trained. %s", plan.pair, outcome.error)
            return frame
        self._record(plan, window, outcome, identity)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata(
            {
                **(table.schema.metadata or {}),
                b"identity": identity.encode(),
                b"calibration_errors": json.dumps(outcome.calibration_errors).encode(),
            }
        )
        write_with(
            self._path(plan.pair, window),
            lambda path: pa.feather.write_feather(table, str(path), compression="zstd"),
        )
        frame.attrs["calibration_errors"] = outcome.calibration_errors
        return frame

    def _path(self, pair: str, window: Window) -> Path:
        # FreqAI's own name of the file, which its users and our report know
        coin = pair.split("/")[0].lower()
        return self.folder / PREDICTIONS / f"cb_{coin}_{window.trained_at}_prediction.feather"

    def _record(
        self, plan: PairPlan, window: Window, outcome: WindowOutcome, identity: str
    ) -> None:
        report = outcome.report
        if report is None:
            return
        dates = plan.candles["date"]
        start, stop = window.train
        TrainedWindow(
            pair=plan.pair,
            model=self.model,
            trained_from=dates.iloc[start].to_pydatetime(),
            trained_until=dates.iloc[stop - 1].to_pydatetime(),
            n_rows=report.n_rows,
            n_features=report.n_features,
            seed=self.spec.seed,
            fit_seconds=report.fit_seconds,
            feature_importance=report.importance,
            identity=identity,
            missing=asdict(report.missing),
        ).write(self.folder)


def backtest_frame(
    plan: PairPlan, by_window: Mapping[int, pd.DataFrame], timeframe: str
) -> pd.DataFrame:
    """
    Return the predictions of a pair's windows, one after the other, with the age of the model.
    :param plan: the pair
    :param by_window: predictions by end of training
    :param timeframe: of the candles
    """
    parts = []
    for trained_at, frame in sorted(by_window.items()):
        seconds = frame["date"].astype("datetime64[s, UTC]").astype("int64")
        age = (seconds + timeframe_seconds(timeframe) - trained_at) / 3600
        known = frame[plan.label_names[0]].notna()
        parts.append(frame.assign(**{AGE: age.where(known)}))
    whole = pd.concat(parts, ignore_index=True)
    whole["date"] = whole["date"].astype(plan.candles["date"].dtype)
    classes = [name for name in whole if name in _probabilities(parts, plan)]
    whole[classes] = whole[classes].where(whole[AGE].isna(), whole[classes].fillna(0.0))
    return whole


def add_intervals(
    predictions: pd.DataFrame,
    outcomes: pd.DataFrame,
    horizon: int,
    settings: ConformalSettings,
    calibration_errors: Mapping[str, list[float]],
) -> pd.DataFrame:
    """
    Return `<label>_lo`, `<label>_hi` of each label, and `abstain`, row by row.
    :param predictions: a column for each label, consecutive candles
    :param outcomes: the labels as they came true, NaN where that is not known
    :param horizon: label_period_candles
    :param settings: agent_market.learning.conformal
    :param calibration_errors: label minus prediction of rows before the first, by label
    """
    assert settings.coverage is not None  # noqa: S101 - the caller asks only where it is set
    rule = ConformalRule(
        horizon=horizon,
        coverage=settings.coverage,
        abstain_coverage=settings.abstain_coverage,
        adaptation_rate=settings.adaptation_rate,
        window_candles=settings.window_candles,
    )
    columns: dict[str, Any] = {}
    abstain = np.zeros(len(predictions), dtype=bool)
    for name in outcomes.columns:
        intervals = conformal_intervals(
            predictions[name].to_numpy(dtype=float),
            outcomes[name].to_numpy(dtype=float),
            rule,
            calibration_errors.get(name),
        )
        columns[f"{name}_lo"], columns[f"{name}_hi"] = intervals.lo, intervals.hi
        abstain |= intervals.abstain
    return pd.DataFrame({**columns, "abstain": abstain.astype(np.int64)}, index=predictions.index)


def prediction_columns(
    prediction: Prediction, label_mean: Mapping[str, float], label_std: Mapping[str, float]
) -> dict[str, Any]:
    """
    Return FreqAI's columns of a prediction: each output, its mean and deviation, `do_predict`.
    :param prediction: of some rows
    :param label_mean: of the training labels; probabilities have 0, as in FreqAI
    :param label_std: the same
    """
    columns: dict[str, Any] = {}
    for name, values in prediction.outputs.items():
        columns[name] = values
        if values.dtype != object:
            columns[f"{name}_mean"] = label_mean.get(name, 0.0)
            columns[f"{name}_std"] = label_std.get(name, 0.0)
    columns["do_predict"] = prediction.trusted.astype(np.int64)
    columns["DI_values"] = prediction.dissimilarity
    return columns


def _windows_at_once(plans: Sequence[PairPlan]) -> Iterator[list[tuple[PairPlan, Window]]]:
    """Yield, for each end of training, the pairs that have a window there."""
    ends = sorted({window.trained_at for plan in plans for window in plan.windows})
    for trained_at in ends:
        yield [
            (plan, window)
            for plan in plans
            for window in plan.windows
            if window.trained_at == trained_at
        ]


def _frame(plan: PairPlan, window: Window, outcome: WindowOutcome) -> pd.DataFrame:
    dates = plan.candles["date"].iloc[slice(*window.predict)].reset_index(drop=True)
    prediction = outcome.predictions.get(plan.pair)
    if prediction is None:
        nothing: dict[str, Any] = {}
        for name in plan.label_names:
            missing = None if plan.labels.dtype == object else np.nan
            nothing |= {name: missing, f"{name}_mean": np.nan, f"{name}_std": np.nan}
        return pd.DataFrame({"date": dates, **nothing, "do_predict": 0, "DI_values": np.nan})
    columns = prediction_columns(prediction, outcome.label_mean, outcome.label_std)
    return pd.DataFrame({"date": dates, **columns})


def _probabilities(parts: Sequence[pd.DataFrame], plan: PairPlan) -> set[str]:
    """Return the columns of probabilities: a class that a window does not know has 0 there."""
    if plan.labels.dtype != object:
        return set()
    plain = {"date", "do_predict", "DI_values", AGE, *plan.label_names}
    return {str(name) for part in parts for name in part if name not in plain}


def _describe(outcome: WindowOutcome) -> str:
    if outcome.report is None:
        return "not trained"
    report = outcome.report
    dropped = report.missing.n_dropped
    why = ""
    if dropped and report.missing.features:
        name, worst = next(iter(report.missing.features.items()))
        why = f", {dropped} rows too incomplete (most often {name}: {worst.cause})"
    return f"{report.n_rows} rows, {report.n_features} features, {report.fit_seconds:.2f} s{why}."


@cache
def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions
