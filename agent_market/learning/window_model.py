"""A model of one training window: rows chosen, split, fitted; then asked, saved and loaded."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import cloudpickle
import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError, DataError, StateCorrupt
from agent_market.learning.adapters import ModelAdapter, create, load_adapter
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray
from agent_market.learning.missing import MissingReport, choose_columns, usable_rows
from agent_market.store import read_json, write_bytes, write_json

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelSpec:
    """What to fit, in plain values.

    adapter : a key of `ADAPTERS`, or `module:Class`. params : its parameters. seed : of the fit.
    horizon_candles : how far a label looks ahead; the purge between training and validation.
    test_size : newest share of the rows, which ends the fit early; 0 for none.
    weight_factor : FreqAI's; 0 weighs all rows alike, 0.5 the oldest row by exp(-2).
    max_missing_share, max_missing_rows : see `LearningSettings`.
    pipeline : FreqAI's feature pipeline (outliers, PCA, noise), pickled, unfitted; None for none.
    exclude : patterns; a feature whose name one of them finds (`re.search`) is not trained on.
    """

    adapter: str
    params: Mapping[str, Any]
    seed: int
    horizon_candles: int
    test_size: float = 0.0
    weight_factor: float = 0.0
    max_missing_share: float = 0.2
    max_missing_rows: float = 0.3
    pipeline: bytes | None = None
    exclude: tuple[str, ...] = ()

    def create(self) -> ModelAdapter:
        """Return the unfitted adapter, or a stand-in where its library is missing."""
        return create(self.adapter, self.params, fallback=True)


@dataclass(frozen=True)
class Rows:
    """Rows of one pair, consecutive in time.

    X : (n_rows, n_features), float32, NaN where missing, never infinite.
    y : (n_rows, n_labels), NaN (None for classes) where the label is unknown at training time.
    candles : (n_rows,), the number of each candle; consecutive candles differ by 1.
    """

    X: Features
    y: AnyArray
    candles: IntArray


@dataclass(frozen=True)
class FitReport:
    """What a fit was made from.

    n_rows, n_valid : rows trained on and validated on. importance : share of each feature.
    missing : which features cost which rows, and why.
    """

    n_rows: int
    n_valid: int
    n_features: int
    fit_seconds: float
    importance: dict[str, float]
    missing: MissingReport


@dataclass(frozen=True)
class Prediction:
    """Predictions of consecutive rows.

    outputs : column name to array (n_rows,): each label, and of a classifier the probability of
        each class; of a policy the position to take next by who is flat, and by who holds each
        of its positions (`policy_column`). NaN (None for a class) where `trusted` is False.
    trusted : (n_rows,) bool; False where features are missing or the row is an outlier.
    dissimilarity : (n_rows,), FreqAI's dissimilarity index, 0 where it is not used.
    """

    outputs: dict[str, AnyArray]
    trusted: BoolArray
    dissimilarity: FloatArray


@dataclass
class WindowModel:
    """A fitted model with all it needs to predict from the full table of features."""

    feature_names: tuple[str, ...]
    label_names: tuple[str, ...]
    columns: tuple[int, ...]
    adapters: tuple[ModelAdapter, ...]
    spec: ModelSpec
    label_mean: dict[str, float]
    label_std: dict[str, float]
    pipeline: Any = None
    calibration_errors: dict[str, list[float]] = field(default_factory=dict)

    @property
    def window(self) -> int:
        """Consecutive rows, ending with its own, that one prediction uses."""
        return max(adapter.window for adapter in self.adapters)

    @property
    def further_outputs(self) -> tuple[str, ...]:
        """Columns beside the labels: a classifier's classes, what a policy does by position."""
        first = self.adapters[0]
        if first.task == "classification":
            return tuple(map(str, first.classes_))
        return tuple(policy_column(self.label_names[0], held) for held in first.positions)

    def predict(self, X: Features) -> Prediction:
        """Return the predictions of consecutive rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            All of `feature_names`, float32. Pass `window - 1` rows before the first of interest.

        Raises
        ------
        DataError
            The number of features is another.

        Notes
        -----
        Information time: row t uses rows t - window + 1 .. t.
        """
        if X.ndim != 2 or X.shape[1] != len(self.feature_names):
            raise DataError(
                f"X has shape {X.shape}, the model was trained on {len(self.feature_names)} "
                "features. Pass the features it was trained on, or train again."
            )
        table = np.ascontiguousarray(X[:, list(self.columns)], dtype=np.float32)
        trusted = usable_rows(table, self._missing_allowed())
        dissimilarity = np.zeros(len(table))
        if self.pipeline is not None:
            table, inlying, dissimilarity = _transform(self.pipeline, table, self._kept_names())
            trusted &= inlying
        if not self.adapters[0].supports_nan:
            table[~trusted] = 0  # predicted, then taken back
        trusted = _whole_windows(trusted, self.window)
        outputs: dict[str, AnyArray] = {}
        for adapter, names in zip(self.adapters, self._labels_of_adapters(), strict=True):
            for name, values in _outputs(adapter, table, names).items():
                outputs[name] = _blank(values, trusted)
        known = next(iter(outputs.values()))
        if known.dtype.kind == "f":
            trusted = trusted & np.isfinite(known)
        return Prediction(outputs, trusted, dissimilarity)

    def save(self, folder: Path) -> None:
        """Write the model below `folder`: JSON, one file an adapter, the pipeline pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        spec = asdict(self.spec) | {"pipeline": None, "params": dict(self.spec.params)}
        described = {
            name: getattr(self, name)
            for name in ("feature_names", "label_names", "columns", "label_mean", "label_std")
        }
        for number, adapter in enumerate(self.adapters):
            adapter.save(folder / f"{number}.model")
        if self.pipeline is not None:
            write_bytes(folder / "pipeline.pkl", cloudpickle.dumps(self.pipeline))
        write_json(
            folder / "window.json",
            described
            | {
                "spec": spec,
                "n_adapters": len(self.adapters),
                "has_pipeline": self.pipeline is not None,
                "calibration_errors": self.calibration_errors,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that `save` wrote.

        Raises
        ------
        StateCorrupt, ModelUnavailable
            A file is damaged or missing.
        """
        try:
            state = read_json(folder / "window.json")
            pipeline = (
                cloudpickle.loads((folder / "pipeline.pkl").read_bytes())
                if state["has_pipeline"]
                else None
            )
            adapters = tuple(
                load_adapter(folder / f"{number}.model") for number in range(state["n_adapters"])
            )
            spec = state["spec"]
            return cls(
                feature_names=tuple(state["feature_names"]),
                label_names=tuple(state["label_names"]),
                columns=tuple(state["columns"]),
                adapters=adapters,
                spec=ModelSpec(**spec | {"exclude": tuple(spec["exclude"])}),
                label_mean=state["label_mean"],
                label_std=state["label_std"],
                pipeline=pipeline,
                calibration_errors=state["calibration_errors"],
            )
        except (KeyError, TypeError, OSError, EOFError) as error:
            raise StateCorrupt(
                f"{folder} is not a complete model ({type(error).__name__}: {error}). Load the "
                "previous generation, or train again."
            ) from error

    def _kept_names(self) -> list[str]:
        return [self.feature_names[column] for column in self.columns]

    def _labels_of_adapters(self) -> list[tuple[str, ...]]:
        if len(self.adapters) == 1:
            return [self.label_names]
        return [(name,) for name in self.label_names]

    def _missing_allowed(self) -> float:
        strict = self.pipeline is not None or not self.adapters[0].supports_nan
        return 0.0 if strict else self.spec.max_missing_share


def fit_window(
    rows: Sequence[Rows],
    feature_names: Sequence[str],
    label_names: Sequence[str],
    spec: ModelSpec,
    init: WindowModel | None = None,
) -> tuple[WindowModel, FitReport]:
    """Fit the model of one window.

    Parameters
    ----------
    rows : sequence of Rows
        One entry a pair; more than one makes a panel model.
    feature_names, label_names : sequence of str
        Columns of X and y.
    init : WindowModel, optional
        The model to go on from (continual learning), where the adapter can.

    Notes
    -----
    Training rows whose label reaches into the validation part are left out. Information time: the
    rows given, nothing else.

    Raises
    ------
    DataError
        The window cannot be trained on: no rows are left, or a label never changes.
    ConfigError
        A parameter is wrong.
    """
    started = time.monotonic()
    prototype = spec.create()
    if len(rows) > 1 and prototype.window > 1:
        raise ConfigError(
            f"{prototype.name} reads {prototype.window} consecutive candles and cannot be fitted "
            "on several pairs at once. Choose a model without a window."
        )
    X, y, candles = _stack(rows)
    labeled = _labeled(y)
    strict = spec.pipeline is not None or not prototype.supports_nan
    allowed = 0.0 if strict else spec.max_missing_share
    offered = _offered(feature_names, spec.exclude)
    table = _take(X, offered)
    kept, missing = choose_columns(
        table,
        labeled,
        [feature_names[column] for column in offered],
        spec.max_missing_rows,
        allowed,
    )
    table = _take(table, kept)
    columns = tuple(offered[column] for column in kept)
    used = labeled & usable_rows(table, allowed)
    split = _Split.make(candles, used, spec)
    names = [feature_names[column] for column in columns]
    part = _Prepared(table, y, split, names)
    pipeline = None
    if spec.pipeline is not None:
        pipeline = cloudpickle.loads(spec.pipeline)
        part = _run_pipeline(pipeline, part, prototype.window, spec)
    adapters = _fit_adapters(prototype, part, spec, init)
    continuous = prototype.task == "regression"
    model = WindowModel(
        feature_names=tuple(feature_names),
        label_names=tuple(label_names),
        columns=columns,
        adapters=adapters,
        spec=spec,
        label_mean=_moments(np.mean, y, split.train, label_names, continuous),
        label_std=_moments(np.std, y, split.train, label_names, continuous),
        pipeline=pipeline,
    )
    if continuous and split.valid.any():
        model.calibration_errors = _validation_errors(model, X, y, split.valid)
    shares = np.mean([adapter.feature_importance() for adapter in adapters], axis=0)
    report = FitReport(
        n_rows=int((split.weight[split.train] > 0).sum()),
        n_valid=int(split.valid.sum()),
        n_features=len(part.names),
        fit_seconds=round(time.monotonic() - started, 3),
        importance={name: round(float(s), 6) for name, s in zip(part.names, shares, strict=True)},
        missing=missing,
    )
    return model, report


@dataclass(frozen=True)
class _Split:
    """Rows to train on and to validate on (boolean masks), and the weight of each row."""

    train: BoolArray
    valid: BoolArray
    weight: FloatArray

    @classmethod
    def make(cls, candles: IntArray, used: BoolArray, spec: ModelSpec) -> _Split:
        n_used = int(used.sum())
        if n_used < 2:
            raise DataError(
                f"{n_used} of {len(used)} rows have a label and enough features. Train on a "
                "longer period (freqai.train_period_days), or look for the feature that is NaN."
            )
        n_valid = int(np.ceil(spec.test_size * n_used)) if spec.test_size else 0
        if n_valid:
            first = np.sort(candles[used])[n_used - n_valid]
            valid = used & (candles >= first)
            train = used & (candles + spec.horizon_candles < first)
        else:
            valid, train = np.zeros(len(used), dtype=bool), used
        if not train.any():
            raise DataError(
                f"the purge of label_period_candles = {spec.horizon_candles} takes all of the "
                f"{n_used} training rows. Raise freqai.train_period_days or lower the horizon."
            )
        return cls(train, valid, _weights(candles, used, spec.weight_factor))


@dataclass(frozen=True)
class _Prepared:
    table: Features
    y: AnyArray
    split: _Split
    names: list[str]


def _offered(names: Sequence[str], exclude: Sequence[str]) -> list[int]:
    """Return the columns that no pattern finds."""
    patterns = [re.compile(pattern) for pattern in exclude]
    offered = [
        column
        for column, name in enumerate(names)
        if not any(pattern.search(name) for pattern in patterns)
    ]
    if not offered:
        raise ConfigError(
            f"exclude = {list(exclude)} leaves none of {len(names)} features. Exclude fewer."
        )
    return offered


def _take(X: Features, columns: Sequence[int]) -> Features:
    if len(columns) == X.shape[1]:
        return X
    return np.ascontiguousarray(X[:, list(columns)])


def _stack(rows: Sequence[Rows]) -> tuple[Features, AnyArray, IntArray]:
    if len(rows) == 1:
        return rows[0].X, rows[0].y, rows[0].candles
    return (
        np.concatenate([part.X for part in rows]),
        np.concatenate([part.y for part in rows]),
        np.concatenate([part.candles for part in rows]),
    )


def _labeled(y: AnyArray) -> BoolArray:
    if y.dtype.kind == "f":
        return np.asarray(np.isfinite(y).all(axis=1))
    known = np.array([[label is not None and label == label for label in row] for row in y])
    return np.asarray(known.all(axis=1))


def _weights(candles: IntArray, used: BoolArray, factor: float) -> FloatArray:
    """Return FreqAI's weights, which fall with age; rows of one candle weigh the same."""
    weights = np.zeros(len(used))
    if not factor:
        weights[used] = 1.0
        return weights
    n_used = int(used.sum())
    order = np.argsort(candles[used], kind="stable")
    rank = np.empty(n_used)
    rank[order] = np.arange(n_used)
    weights[used] = np.exp(-(n_used - 1 - rank) / (factor * n_used))
    return weights


def _fit_adapters(
    prototype: ModelAdapter, part: _Prepared, spec: ModelSpec, init: WindowModel | None
) -> tuple[ModelAdapter, ...]:
    n_labels = part.y.shape[1]
    if n_labels == 1 or prototype.supports_multi_target:
        groups: list[AnyArray] = [part.y[:, 0] if n_labels == 1 else part.y]
    else:
        groups = [part.y[:, column] for column in range(n_labels)]
    starts = _starts(prototype, init, len(groups))
    return tuple(
        _fit_adapter(spec.create(), part, labels, spec.seed, start)
        for labels, start in zip(groups, starts, strict=True)
    )


def _starts(
    prototype: ModelAdapter, init: WindowModel | None, n_groups: int
) -> Sequence[ModelAdapter | None]:
    if init is None or not prototype.supports_continue or len(init.adapters) != n_groups:
        return [None] * n_groups
    return init.adapters


def _fit_adapter(
    adapter: ModelAdapter,
    part: _Prepared,
    labels: AnyArray,
    seed: int,
    start: ModelAdapter | None,
) -> ModelAdapter:
    train, valid = _rows_of(adapter, part.split)
    weight = np.where(part.split.train, part.split.weight, 0.0)
    valid_weight = np.where(part.split.valid, part.split.weight, 0.0)
    has_valid = bool(part.split.valid.any())
    return adapter.fit(
        part.table[train],
        labels[train],
        part.table[valid] if has_valid else None,
        labels[valid] if has_valid else None,
        sample_weight=weight[train],
        valid_weight=valid_weight[valid] if has_valid else None,
        seed=seed,
        feature_names=part.names,
        init=start,
    )


def _rows_of(adapter: ModelAdapter, split: _Split) -> tuple[Any, Any]:
    """Return the rows to hand over: a model with a window needs those between as context."""
    if adapter.window == 1:
        return split.train, split.valid
    train = np.flatnonzero(split.train)
    valid = np.flatnonzero(split.valid)
    before = adapter.window - 1
    return (
        slice(max(0, train[0] - before), train[-1] + 1),
        slice(max(0, valid[0] - before), valid[-1] + 1) if len(valid) else slice(0, 0),
    )


def _run_pipeline(pipeline: Any, part: _Prepared, window: int, spec: ModelSpec) -> _Prepared:
    """Fit FreqAI's pipeline on the training rows; rows it takes for outliers are not trained on."""
    import pandas as pd

    train = np.flatnonzero(part.split.train)
    frame = pd.DataFrame(part.table[train], columns=part.names)
    with _seeded(spec.seed):  # the pipeline's noise and SVM draw from numpy's global state
        kept_X, kept_rows, _ = pipeline.fit_transform(
            frame, pd.DataFrame({"row": train}), part.split.weight[train]
        )
    kept = kept_rows["row"].to_numpy(dtype=np.int64)
    names = [str(name) for name in kept_X.columns]
    table = np.full((len(part.table), len(names)), np.nan, dtype=np.float32)
    asked = np.ones(len(table), dtype=bool) if window > 1 else part.split.valid
    inlying = np.zeros(len(table), dtype=bool)
    if asked.any():
        table[asked], inlying[asked], _ = _transform(pipeline, part.table[asked], part.names)
    table[kept] = kept_X.to_numpy(dtype=np.float32)  # with its noise, which `transform` leaves out
    is_train = np.zeros(len(table), dtype=bool)
    is_train[kept] = True
    split = _Split(is_train, part.split.valid & inlying, part.split.weight)
    return _Prepared(table, part.y, split, names)


def _transform(
    pipeline: Any, table: Features, names: Sequence[str]
) -> tuple[Features, BoolArray, FloatArray]:
    """Return transformed rows, which of them lie in, and their dissimilarity.

    A row with a missing feature comes back as NaN and lies out.
    """
    import pandas as pd

    missing = np.isnan(table).any(axis=1)
    frame = pd.DataFrame(np.nan_to_num(table, nan=0.0), columns=list(names))
    changed, flags, _ = pipeline.transform(frame, outlier_check=True)
    values = np.array(changed, dtype=np.float32, order="C")
    values[missing] = np.nan
    dissimilarity = pipeline["di"].di_values if "di" in pipeline else np.zeros(len(table))
    inlying = (np.asarray(flags) == 1) & ~missing
    return values, inlying, np.asarray(dissimilarity, dtype=np.float64)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002 - the state that the pipeline's steps draw from
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _outputs(
    adapter: ModelAdapter, table: Features, labels: tuple[str, ...]
) -> dict[str, AnyArray]:
    if adapter.task == "classification":
        shares = adapter.predict_proba(table)
        named = {str(name): shares[:, code] for code, name in enumerate(adapter.classes_)}
        return {labels[0]: adapter.classes_[shares.argmax(axis=1)].astype(object), **named}
    values = adapter.predict(table)
    if adapter.task == "policy":
        flat = adapter.positions.index(0.0)
        held = {
            policy_column(labels[0], position): values[:, column]
            for column, position in enumerate(adapter.positions)
        }
        return {labels[0]: values[:, flat], **held}
    if values.ndim == 1:
        return {labels[0]: values}
    return {name: values[:, column] for column, name in enumerate(labels)}


def policy_column(label: str, held: float) -> str:
    """Return the column of what a policy does next that holds a position: `&-gain_from_-1`."""
    return f"{label}_from_{held:g}"


def _whole_windows(trusted: BoolArray, window: int) -> BoolArray:
    """Return the rows whose whole window, as far as it is there, is trusted."""
    if window == 1:
        return trusted
    doubts = np.concatenate([np.zeros(window, dtype=np.int64), np.cumsum(~trusted)])
    return np.asarray(doubts[window:] == doubts[:-window])


def _blank(values: AnyArray, trusted: BoolArray) -> AnyArray:
    """Take back the predictions that rest on missing features or on outliers."""
    blank: Any = None if values.dtype == object else np.nan
    return np.where(trusted, values, blank)


def _moments(
    moment: Any, y: AnyArray, train: BoolArray, names: Sequence[str], continuous: bool
) -> dict[str, float]:
    """Return a moment of each label over the training rows, 0 for classes as FreqAI has it."""
    if not continuous:
        return dict.fromkeys(names, 0.0)
    values = np.asarray(y[train], dtype=np.float64)
    return {name: float(moment(values[:, column])) for column, name in enumerate(names)}


def _validation_errors(
    model: WindowModel, X: Features, y: AnyArray, valid: BoolArray
) -> dict[str, list[float]]:
    """Return label minus prediction of the validation rows, oldest first."""
    rows = np.flatnonzero(valid)
    start = max(0, rows[0] - model.window + 1)
    prediction = model.predict(X[start : rows[-1] + 1])
    errors = {}
    for column, name in enumerate(model.label_names):
        error = (
            np.asarray(y[rows, column], dtype=np.float64) - prediction.outputs[name][rows - start]
        )
        errors[name] = [float(value) for value in error[np.isfinite(error)]]
    return errors
