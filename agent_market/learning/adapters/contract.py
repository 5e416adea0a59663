"""The contract every model keeps, and all that models have in common.

A new model subclasses `ModelAdapter`, writes its five hooks, and passes `check_adapter`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from agent_market.errors import ConfigError, DataError, ModelUnavailable
from agent_market.learning.adapters import inputs
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray, Rows
from agent_market.learning.adapters.model_file import ModelHeader, corrupt, read_model, write_model
from agent_market.learning.adapters.parameters import check_json, refuse_seed

Task = Literal["regression", "classification", "policy"]


@dataclass(frozen=True)
class Part:
    """Checked rows for a hook.

    X : ndarray of shape (n_rows, n_features), float32, C-contiguous.
    y : ndarray of shape (n_targets,) or (n_targets, n_labels), float64; a classifier's holds the
        codes 0 .. n_classes - 1.
    weight : ndarray of shape (n_targets,), float64, all above 0; or None.
    targets : ndarray of shape (n_targets,), int64, ascending; the rows of X that y belongs to, each
        with a whole window before it; None where the adapter's window is 1 and every row is one.
    """

    X: Features
    y: FloatArray
    weight: FloatArray | None
    targets: Rows | None = None


@dataclass(frozen=True)
class _Fitted:
    model: Any
    feature_names: tuple[str, ...]
    label_shape: tuple[int, ...]
    classes: AnyArray | None


class ModelAdapter(ABC):
    """A model with one way to fit, predict, save and load it.

    Attributes
    ----------
    name : str
        Its key in the registry, or `module:Class` of one that is not in it; saved with the model.
    task : {"regression", "classification", "policy"}
        What it predicts. A policy is fitted to what a long position earns on the next candle and
        predicts, for each of `positions`, the position to take next by who is in it.
    supports_nan : bool
        Whether X may hold NaN; if not, `fit` and `predict` refuse it.
    supports_continue : bool
        Whether `fit` can go on from an earlier model.
    supports_multi_target : bool
        Whether y may have several columns.
    window : int
        Consecutive rows, ending at row t, that the prediction of row t uses; 1 by default. Above 1
        (regressors alone, as a class cannot be NaN) the rows of X are consecutive candles.
    seed_names : frozenset of str
        Names of the library's seed, which parameters may not hold.
    params : dict
        The parameters as they were given; `type(adapter)(adapter.params)` is its unfitted twin.
    """

    name: ClassVar[str]
    task: ClassVar[Task]
    suffix: ClassVar[str]
    positions: tuple[float, ...] = ()
    supports_nan: bool = True
    window: int = 1
    supports_continue: ClassVar[bool] = False
    supports_multi_target: bool = False
    seed_names: ClassVar[frozenset[str]] = frozenset()
    nan_remedy: ClassVar[str] = "Fill or drop these rows, or choose a model that takes NaN."

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params: dict[str, Any] = dict(params or {})
        check_json(self.params, self.name)
        refuse_seed(self.params, self.seed_names, self.name)
        self._fitted: _Fitted | None = None

    @classmethod
    def section(cls) -> str:
        """Return the section of `freqai.model_training_parameters` with its parameters."""
        return cls.name

    @abstractmethod
    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """Return the library's fitted model, cut back to its best round where there is `valid`.

        `n_classes` is 0 for a regressor. `init` is the model to go on from, left as it is, or None.
        The model must survive pickling.
        """

    @abstractmethod
    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """Return labels (n_rows, ...), or probabilities (n_rows, n_classes) or (n_rows,) of two.

        With a window, the labels of rows window - 1 and later alone: (n_rows - window + 1, ...).
        """

    @abstractmethod
    def importance(self, model: Any, n_features: int) -> FloatArray:
        """Return the weight of each feature, shape (n_features,), not negative, of any scale."""

    @abstractmethod
    def dump(self, model: Any) -> bytes:
        """Return the model in the library's own format."""

    @abstractmethod
    def parse(self, payload: bytes) -> Any:
        """Return the model that `dump` wrote; any exception counts as damage."""

    def fit(
        self,
        X_train: AnyArray,
        y_train: AnyArray,
        X_valid: AnyArray | None = None,
        y_valid: AnyArray | None = None,
        *,
        sample_weight: AnyArray | None = None,
        valid_weight: AnyArray | None = None,
        seed: int,
        feature_names: Sequence[str] | None = None,
        init: ModelAdapter | None = None,
    ) -> Self:
        """Fit on the training part; if there is a validation part, stop early by it.

        Parameters
        ----------
        X_train, X_valid : ndarray of shape (n_rows, n_features)
            Floats, best float32 and C-contiguous, which is not copied. NaN as `supports_nan`.
        y_train, y_valid : ndarray of shape (n_rows,) or (n_rows, n_labels)
            Finite numbers; classes (strings, integers) for a classifier. Anything in rows of weight
            0 and in the first window - 1 rows of a part: they are not looked at.
        sample_weight, valid_weight : ndarray of shape (n_rows,), optional
            Not negative. Rows of weight 0 are left out; with a window they are never a target, and
            stay as what the windows of later rows see.
        seed : int
            Two fits with one seed give byte-identical predictions on the CPU.
        feature_names : sequence of str, optional
            Saved with the model and named in errors; `feature_0`, ... without it.
        init : ModelAdapter, optional
            A fitted adapter of the same kind and features to go on from; it is not changed.

        Notes
        -----
        Information time: the rows given, nothing else. Purging is the splitter's work.

        Raises
        ------
        DataError
            The data cannot be trained on: wrong shape or type, infinite, empty, a feature without
            a value, a label without variation, NaN where the model takes none.
        ConfigError
            The library refuses the parameters, or `init` does not fit.
        """
        names = _names(feature_names, X_train)
        train = self._part(X_train, y_train, sample_weight, names, "train")
        classes = self._classes(train.y)
        train = _encode(train, classes, "y_train")
        inputs.refuse_empty_columns(train.X, names, "X_train")
        valid = self._valid_part(X_valid, y_valid, valid_weight, names, classes)
        if valid is not None and valid.y.shape[1:] != train.y.shape[1:]:
            raise DataError(
                f"y_valid has shape {valid.y.shape}, y_train {train.y.shape}. Pass the same labels."
            )
        shape = train.y.shape[1:]
        model = self.fit_model(
            train,
            valid,
            n_classes=0 if classes is None else len(classes),
            seed=seed,
            init=self._start(init, names, shape, classes),
        )
        fitted = _Fitted(model, names, shape, classes)
        self._output(fitted, train.X[: self.window])
        self._fitted = fitted
        return self

    def predict(self, X: AnyArray) -> AnyArray:
        """Return the prediction of each row, which depends on the `window` rows up to it alone.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_labels), of a policy (n_rows, n_positions)
            float64; a classifier's most probable class. NaN in the first window - 1 rows, which
            have not enough history.

        Notes
        -----
        Information time: row t uses rows t - window + 1 .. t, and gives the same bytes in a batch
        as from these rows alone.

        Raises
        ------
        DataError
            X is not what the model was trained on, or holds infinity, or NaN it does not take.
        ModelUnavailable
            The adapter is not fitted.
        """
        output = self._predict(X)
        classes = self._state().classes
        return output if classes is None else np.asarray(classes[output.argmax(axis=1)])

    def predict_proba(self, X: AnyArray) -> FloatArray:
        """Return probabilities, shape (n_rows, n_classes), in the order of `classes_`.

        Raises
        ------
        ConfigError
            The adapter is no classifier.
        DataError, ModelUnavailable
            As `predict`.
        """
        if self.task != "classification":
            raise ConfigError(f"{self.name} is no classifier. Call predict.")
        return self._predict(X)

    def feature_importance(self) -> FloatArray:
        """Return the share of each feature, shape (n_features,): sums to 1, or all 0."""
        fitted = self._state()
        weights = self.importance(fitted.model, len(fitted.feature_names))
        total = weights.sum()
        return weights / total if total > 0 else np.zeros_like(weights)

    def save(self, path: Path) -> None:
        """Write the model atomically: one file with parameters, feature names and classes in it."""
        fitted = self._state()
        header = ModelHeader(
            adapter=self.name,
            params=self.params,
            n_features=len(fitted.feature_names),
            feature_names=fitted.feature_names,
            label_shape=fitted.label_shape,
            classes=None if fitted.classes is None else fitted.classes.tolist(),
        )
        write_model(path, header, self.dump(fitted.model), self.suffix)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the adapter that `save` wrote.

        Raises
        ------
        StateCorrupt
            The file was cut or damaged.
        ModelUnavailable
            There is no such file, or the library is not installed.
        ConfigError
            The file holds a model of another adapter.
        """
        header, payload = read_model(path)
        if header.adapter != cls.name:
            raise ConfigError(
                f"{path} holds a model of {header.adapter}, not of {cls.name}. Load it with "
                "load_adapter(path)."
            )
        adapter = cls(header.params)
        try:
            model = adapter.parse(payload)
        except Exception as error:  # every library has its own errors, none of them tells more
            raise corrupt(path, error) from error
        classes = None if header.classes is None else np.asarray(header.classes)
        adapter._fitted = _Fitted(model, header.feature_names, header.label_shape, classes)
        return adapter

    @property
    def model(self) -> Any:
        """The library's own fitted model."""
        return self._state().model

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the columns of X."""
        return self._state().feature_names

    @property
    def classes_(self) -> AnyArray:
        """The classes, sorted, shape (n_classes,); ConfigError for no classifier."""
        classes = self._state().classes
        if classes is None:
            raise ConfigError(f"{self.name} is no classifier and has no classes. Use a classifier.")
        return classes

    def _state(self) -> _Fitted:
        if self._fitted is None:
            raise ModelUnavailable(f"{self.name} is not fitted. Call fit, or load a saved model.")
        return self._fitted

    def _features(self, X: AnyArray, names: Sequence[str], where: str) -> Features:
        table = inputs.check_features(X, names, where)
        if not self.supports_nan:
            inputs.refuse_nan(table, names, where, f"{self.name} takes no NaN. {self.nan_remedy}")
        return table

    def _part(
        self,
        X: AnyArray,
        y: AnyArray,
        weight: AnyArray | None,
        names: Sequence[str],
        part: str,
    ) -> Part:
        table = self._features(X, names, f"X_{part}")
        where = "sample_weight" if part == "train" else "valid_weight"
        weights = inputs.check_weights(weight, len(table), where)
        rows = inputs.target_rows(weights, len(table), self.window, f"X_{part}")
        labels = inputs.take_labels(y, rows, len(table), f"y_{part}")
        check = inputs.check_classes if self.task == "classification" else inputs.check_targets
        labels = check(labels, len(labels), f"y_{part}")
        if labels.ndim > 1 and not self.supports_multi_target:
            raise DataError(
                f"y_{part} has {labels.shape[1]} labels, {self.name} predicts one. Fit one model a "
                "label, or choose xgboost_regressor, catboost_regressor or linear_regressor."
            )
        if rows is None:
            return Part(table, labels, weights)
        weights = None if weights is None else weights[rows]
        # without a window, libraries would count rows of weight 0 where they bin and stop
        return (
            Part(table, labels, weights, rows)
            if self.window > 1
            else Part(table[rows], labels, weights)
        )

    def _valid_part(
        self,
        X: AnyArray | None,
        y: AnyArray | None,
        weight: AnyArray | None,
        names: Sequence[str],
        classes: AnyArray | None,
    ) -> Part | None:
        if X is None and y is None and weight is None:
            return None
        if X is None or y is None:
            raise DataError("X_valid, y_valid: one of the two is missing. Pass both, or neither.")
        return _encode(self._part(X, y, weight, names, "valid"), classes, "y_valid")

    def _classes(self, y: AnyArray) -> AnyArray | None:
        if self.task != "classification":
            inputs.refuse_constant_targets(y, "y_train")
            return None
        classes = np.unique(y)
        if len(classes) < 2:
            raise DataError(
                f"y_train has the single class {classes[0]!r} in all {len(y)} rows. Train on a "
                "longer period, or lower the threshold of the classes."
            )
        return np.asarray(classes.tolist())

    def _start(
        self,
        init: ModelAdapter | None,
        names: tuple[str, ...],
        shape: tuple[int, ...],
        classes: AnyArray | None,
    ) -> Any:
        if init is None:
            return None
        if not self.supports_continue:
            raise ConfigError(f"{self.name} cannot go on from a model. Fit it without init.")
        before = init._state()
        same = classes is before.classes or np.array_equal(classes, before.classes)  # type: ignore[arg-type]
        if init.name != self.name or (before.feature_names, before.label_shape) != (names, shape):
            raise ConfigError(
                f"init is {init.name} of {len(before.feature_names)} features and labels "
                f"{before.label_shape}, this fit is {self.name} of {len(names)} and {shape}, or "
                "the names differ. Go on from a model of the same kind and features, or fit anew."
            )
        if not same:
            raise ConfigError(
                f"init has the classes {before.classes}, y_train {classes}. Fit anew, without init."
            )
        return before.model

    def _predict(self, X: AnyArray) -> FloatArray:
        fitted = self._state()
        return self._output(fitted, self._features(X, fitted.feature_names, "X"))

    def _output(self, fitted: _Fitted, X: Features) -> FloatArray:
        shape = (len(self.positions),) if self.task == "policy" else fitted.label_shape
        unknown = np.full((min(self.window - 1, len(X)), *shape), np.nan)
        if len(unknown) == len(X):
            return unknown
        output = np.asarray(self.predict_model(fitted.model, X), dtype=np.float64)
        if fitted.classes is None:
            known = output.reshape(len(X) - len(unknown), *shape)
            return np.concatenate([unknown, known]) if len(unknown) else known
        if output.shape == (len(X),) and len(fitted.classes) == 2:
            output = np.stack([1 - output, output], axis=1)
        if output.shape != (len(X), len(fitted.classes)):
            raise ConfigError(
                f"{self.name} predicts shape {output.shape}, not one probability for each of "
                f"{len(fitted.classes)} classes. Choose an objective that gives probabilities."
            )
        return output


def _names(feature_names: Sequence[str] | None, X: AnyArray) -> tuple[str, ...]:
    if feature_names is None:
        return tuple(f"feature_{column}" for column in range(np.atleast_1d(X).shape[-1]))
    names = tuple(map(str, feature_names))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"feature_names holds {twice!r} twice. Give every feature its own name.")
    return names


def _encode(part: Part, classes: AnyArray | None, where: str) -> Part:
    """Replace classes by their codes."""
    if classes is None:
        return part
    unknown = np.setdiff1d(part.y, classes)
    if len(unknown):
        raise DataError(
            f"{where} has the class {unknown[0]!r}, which y_train lacks ({classes}). Train on a "
            "longer period, or drop these rows."
        )
    return replace(part, y=np.searchsorted(classes, part.y).astype(np.float64))
