"""CatBoost: Prokhorenkova et al. (2018), "CatBoost: unbiased boosting", arXiv:1706.09516."""

from __future__ import annotations

import inspect
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray
from agent_market.learning.adapters.parameters import (
    blame_parameters,
    library,
    refuse_unknown,
    rename,
    take_count,
)

ALIASES = {
    "thread_count": "threads",
    "od_wait": "early_stopping_rounds",
    "objective": "loss_function",
}
VERBOSITY = {"verbose", "silent", "logging_level", "verbose_eval"}


class _CatBoost(ModelAdapter):
    """What both tasks share; parameters are those of CatBoost's estimators, plus two of ours.

    threads : of the fit and of predictions; 1.
    early_stopping_rounds : without a better validation score that end the fit; 0 turns it off, and
        is the default.
    """

    suffix = "cbm"
    supports_continue = True
    seed_names: ClassVar[frozenset[str]] = frozenset({"random_seed", "random_state"})
    estimator: ClassVar[str]

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        valid = inspect.signature(self._estimator_class().__init__).parameters.keys() - {"self"}
        refuse_unknown(self.params, {*valid, "threads"}, self.name)
        self._own = rename(self.params, ALIASES, self.name)
        self._threads = take_count(self._own, "threads", 1, self.name, least=1)
        self._patience = take_count(self._own, "early_stopping_rounds", 0, self.name, least=0)

    @abstractmethod
    def default_loss(self, y: FloatArray, n_classes: int) -> str:
        """Return the loss where the user names none."""

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """See `ModelAdapter.fit_model`."""
        params = {
            "loss_function": self.default_loss(train.y, n_classes),
            "allow_writing_files": False,
            **({} if VERBOSITY & self._own.keys() else {"verbose": False}),
            **self._own,
            "thread_count": self._threads,
            "random_seed": seed,
        }
        watched = None
        if valid is not None and (self._patience or params.get("use_best_model")):
            watched = self._pool(valid)
            params.setdefault("use_best_model", True)
        if watched is not None and self._patience:
            params["early_stopping_rounds"] = self._patience
        errors = (library("catboost", self.name).CatBoostError, ValueError, TypeError)
        with blame_parameters(self.name, errors):
            return self._estimator_class()(**params).fit(
                self._pool(train),
                eval_set=watched,
                init_model=init,
            )

    def importance(self, model: Any, n_features: int) -> FloatArray:
        """Return how far the prediction moves, on average, when each feature does."""
        return np.asarray(model.get_feature_importance(), dtype=np.float64)

    def dump(self, model: Any) -> bytes:
        """Return CatBoost's binary form."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            model.save_model(str(path), format="cbm")
            return path.read_bytes()

    def parse(self, payload: bytes) -> Any:
        """Return the estimator of a binary form."""
        return self._estimator_class()().load_model(blob=payload)

    def _pool(self, part: Part) -> Any:
        catboost = library("catboost", self.name)
        return catboost.Pool(part.X, part.y, weight=part.weight, thread_count=self._threads)

    def _estimator_class(self) -> Any:
        return getattr(library("catboost", self.name), self.estimator)


class CatBoostRegressor(_CatBoost):
    """CatBoost for continuous labels; RMSE, or MultiRMSE of several labels, by default."""

    name = "catboost_regressor"
    task = "regression"
    estimator = "CatBoostRegressor"
    supports_multi_target = True

    def default_loss(self, y: FloatArray, n_classes: int) -> str:
        """See `_CatBoost.default_loss`."""
        return "RMSE" if y.ndim == 1 else "MultiRMSE"

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        return np.asarray(model.predict(X, thread_count=self._threads))


class CatBoostClassifier(_CatBoost):
    """CatBoost for classes; Logloss, or MultiClass of more than two, by default."""

    name = "catboost_classifier"
    task = "classification"
    estimator = "CatBoostClassifier"

    def default_loss(self, y: FloatArray, n_classes: int) -> str:
        """See `_CatBoost.default_loss`."""
        return "Logloss" if n_classes == 2 else "MultiClass"

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        return np.asarray(model.predict_proba(X, thread_count=self._threads))
