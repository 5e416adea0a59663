"""Ridge and logistic regression: the models that are left when the libraries are not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray
from agent_market.learning.adapters.parameters import (
    KEY,
    blame_parameters,
    library,
    refuse_unknown,
    take_count,
)


@dataclass(frozen=True)
class _Linear:
    """A linear model and what it learned about its inputs, from training rows alone.

    fill : median of each feature, (n_features,), or None without an imputer.
    masked : features with NaN in training; each has a second column that says where.
    mean, scale : of the filled columns and the masks after them, (n_columns,).
    coefficients : (n_outputs, n_columns), of the standardized columns.
    """

    fill: FloatArray | None
    masked: AnyArray
    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercepts: FloatArray

    def columns(self, X: Features) -> FloatArray:
        """Return the standardized columns, (n_rows, n_columns)."""
        return (_filled(X, self.fill, self.masked) - self.mean) / self.scale

    def outputs(self, X: Features) -> FloatArray:
        """Return (n_rows, n_outputs), each row summed alone.

        A matrix product would add in another order for one row than for many.
        """
        columns = self.columns(X)
        sums = [(columns * weights).sum(axis=1) for weights in self.coefficients]
        return np.stack(sums, axis=1) + self.intercepts


class _ScikitLinear(ModelAdapter):
    """What both tasks share; parameters are those of the scikit-learn class, plus two of ours.

    imputer : "median" fills NaN with the training median and adds a column that says where, for
        the features that had NaN in training; None refuses NaN.
    threads : of the fit; 1.

    Features are standardized by the training part. The validation part is not used.
    """

    suffix = "json"
    seed_names: ClassVar[frozenset[str]] = frozenset({"random_state"})
    nan_remedy = f'Set {KEY}.imputer to "median", or choose a tree model.'
    estimator: ClassVar[str]

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        self._own = dict(self.params)
        self._threads = take_count(self._own, "threads", 1, self.name, least=1)
        imputer = self._own.pop("imputer", None)
        if imputer not in (None, "median"):
            raise ConfigError(
                f'{KEY}.imputer: {self.name} found {imputer!r}. Use "median" or leave it out.'
            )
        self.supports_nan = imputer is not None
        valid = self._estimator_class()().get_params().keys()
        refuse_unknown(self.params, {*valid, "threads", "imputer"}, self.name)

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """See `ModelAdapter.fit_model`."""
        fill = np.nanmedian(train.X, axis=0).astype(np.float64) if self.supports_nan else None
        masked = np.flatnonzero(np.isnan(train.X).any(axis=0))
        columns = _filled(train.X, fill, masked)
        mean = np.average(columns, axis=0, weights=train.weight)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=train.weight))
        constant = scale <= 1e-12 * np.abs(mean)  # 0, or a rounding error
        scale[constant] = 1
        standardized = (columns - mean) / scale
        standardized[:, constant] = 0
        with (
            library("threadpoolctl", self.name).threadpool_limits(self._threads),
            blame_parameters(self.name, (ValueError, TypeError)),
        ):
            estimator = self._estimator_class()(**self._own, random_state=seed).fit(
                standardized, train.y, sample_weight=train.weight
            )
        coefficients = np.where(constant, 0.0, np.atleast_2d(estimator.coef_))
        intercepts = np.atleast_1d(estimator.intercept_).astype(np.float64)
        return _Linear(fill, masked, mean, scale, coefficients, intercepts)

    def importance(self, model: _Linear, n_features: int) -> FloatArray:
        """Return the size of the standardized coefficients, with those of the masks."""
        sizes = np.abs(model.coefficients).mean(axis=0)
        weights: FloatArray = sizes[:n_features].copy()
        weights[model.masked] += sizes[n_features:]
        return weights

    def dump(self, model: _Linear) -> bytes:
        """Return JSON; every number reads back to the last bit."""
        plain = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(model).items()
        }
        return json.dumps(plain, allow_nan=False).encode()

    def parse(self, payload: bytes) -> _Linear:
        """Return the model of a JSON form."""
        plain = json.loads(payload)
        arrays: dict[str, Any] = {
            name: None if value is None else np.asarray(value, dtype=np.float64)
            for name, value in plain.items()
        }
        arrays["masked"] = np.asarray(plain["masked"], dtype=np.int64)
        return _Linear(**arrays)

    def _estimator_class(self) -> Any:
        return getattr(library("sklearn.linear_model", self.name), self.estimator)


class LinearRegressor(_ScikitLinear):
    """Ridge regression (`sklearn.linear_model.Ridge`) on standardized features."""

    name = "linear_regressor"
    task = "regression"
    estimator = "Ridge"
    supports_multi_target = True

    def predict_model(self, model: _Linear, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        return model.outputs(X)


class LogisticClassifier(_ScikitLinear):
    """Logistic regression (`sklearn.linear_model.LogisticRegression`) on standardized features."""

    name = "logistic_classifier"
    task = "classification"
    estimator = "LogisticRegression"

    def predict_model(self, model: _Linear, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        scores = model.outputs(X)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _filled(X: Features, fill: FloatArray | None, masked: AnyArray) -> FloatArray:
    columns = X.astype(np.float64)
    if fill is None:
        return columns
    missing = np.isnan(columns)
    filled = np.where(missing, fill, columns)
    return np.concatenate([filled, missing[:, masked].astype(np.float64)], axis=1)
