"""XGBoost: Chen and Guestrin (2016), "XGBoost: a scalable tree boosting system"."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray
from agent_market.learning.adapters.parameters import (
    KEY,
    blame_parameters,
    library,
    rename,
    take_count,
)

ALIASES = {"n_jobs": "threads", "nthread": "threads", "num_boost_round": "n_estimators"}
_recording = Lock()  # recording warnings changes the process, one thread at a time


class _XGBoost(ModelAdapter):
    """What both tasks share; parameters are those of `xgboost.train`, plus three.

    n_estimators : boosting rounds; 100.
    threads : of the fit and of predictions; 1.
    early_stopping_rounds : without a better validation score that end the fit; 0 turns it off, and
        is the default.
    """

    suffix = "ubj"
    supports_continue = True
    seed_names: ClassVar[frozenset[str]] = frozenset({"seed", "random_state"})

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        self._own = rename(self.params, ALIASES, self.name)
        self._threads = take_count(self._own, "threads", 1, self.name, least=1)
        self._rounds = take_count(self._own, "n_estimators", 100, self.name, least=1)
        self._patience = take_count(self._own, "early_stopping_rounds", 0, self.name, least=0)
        self._refuse_unused(library("xgboost", self.name))

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """See `ModelAdapter.fit_model`."""
        xgboost = library("xgboost", self.name)
        tails = []
        if valid is not None and self._patience:
            tails = [(self._matrix(valid), "valid")]
        with blame_parameters(self.name, (xgboost.core.XGBoostError, ValueError, TypeError)):
            booster = xgboost.train(
                self._library_params(n_classes, seed),
                self._matrix(train),
                self._rounds,
                evals=tails,
                early_stopping_rounds=self._patience if tails else None,
                verbose_eval=False,
                xgb_model=init,
            )
            # not every booster predicts in place
            booster.inplace_predict(train.X[:1])
        return booster[: booster.best_iteration + 1] if tails else booster

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        return np.asarray(model.inplace_predict(X))

    def importance(self, model: Any, n_features: int) -> FloatArray:
        """Return the total gain of each feature's splits."""
        weights = np.zeros(n_features)
        for feature, gain in model.get_score(importance_type="total_gain").items():
            weights[int(feature[1:])] = gain  # xgboost names the columns f0, f1, ...
        return weights

    def dump(self, model: Any) -> bytes:
        """Return XGBoost's universal binary JSON."""
        return bytes(model.save_raw("ubj"))

    def parse(self, payload: bytes) -> Any:
        """Return the booster of a universal binary JSON."""
        booster = library("xgboost", self.name).Booster({"nthread": self._threads})
        booster.load_model(bytearray(payload))
        return booster

    def _matrix(self, part: Part) -> Any:
        xgboost = library("xgboost", self.name)
        return xgboost.DMatrix(part.X, part.y, weight=part.weight, nthread=self._threads)

    def _library_params(self, n_classes: int, seed: int) -> dict[str, Any]:
        params: dict[str, Any] = {"nthread": self._threads, "seed": seed}
        if n_classes:
            params["objective"] = "binary:logistic" if n_classes == 2 else "multi:softprob"
        params |= self._own
        if str(params.get("objective")).startswith("multi:"):
            params["num_class"] = n_classes
        return params

    def _refuse_unused(self, xgboost: Any) -> None:
        """Train on four rows: XGBoost only warns of a parameter that it does not use."""
        n_classes = 2 if self.task == "classification" else 0
        params = self._library_params(n_classes, seed=0)
        with (
            _recording,
            warnings.catch_warnings(record=True) as heard,
            blame_parameters(self.name, (xgboost.core.XGBoostError, ValueError, TypeError)),
        ):
            warnings.simplefilter("always")
            labels = [0, 1, 0, 1] if n_classes else [0.25, 0.75, 0.25, 0.75]  # any loss takes these
            rows = xgboost.DMatrix(np.eye(4, dtype=np.float32), labels, nthread=1)
            xgboost.train({**params, "verbosity": 1, "validate_parameters": True}, rows, 1)
        for warning in heard:
            unused = re.search(r"Parameters: \{ (.*) \} are not used", str(warning.message))
            if unused:
                raise ConfigError(
                    f"{KEY}: {self.name} does not use {unused[1]}. Correct the name, or take it "
                    "out."
                )


class XGBoostRegressor(_XGBoost):
    """XGBoost for continuous labels; squared error unless `objective` says otherwise."""

    name = "xgboost_regressor"
    task = "regression"
    supports_multi_target = True


class XGBoostClassifier(_XGBoost):
    """XGBoost for classes; `objective` may be another one that gives probabilities."""

    name = "xgboost_classifier"
    task = "classification"
