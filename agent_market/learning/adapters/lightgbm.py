"""LightGBM: Ke et al. (2017), "LightGBM: a highly efficient gradient boosting decision tree"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
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

_LEAST_FEATURES = 20  # that a tree may use


class _LightGBM(ModelAdapter):
    """What both tasks share; parameters are those of `lightgbm.train`, plus two of ours.

    num_leaves : of a tree; 15, where LightGBM has 31.
    extra_trees : whether a feature is split at one random value instead of the best one; true,
        where LightGBM has false: returns are mostly noise, and the best split learns it by heart.
    feature_fraction : of the features that a tree may use; 0.3 but at least 20 features, where
        LightGBM has 1.
    max_bin : of a feature's values; 63, where LightGBM has 255. What these cost and gain stands in
        docs/adapters.md.
    threads : of the fit and of predictions; 1.
    early_stopping_rounds : without a better validation score that end the fit; 0, which turns it
        off: a validation part of some days is too noisy to say when to stop.
    """

    suffix = "txt"
    supports_continue = True
    seed_names: ClassVar[frozenset[str]] = frozenset({"seed", "random_seed", "random_state"})

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        library("lightgbm", self.name)
        aliases = _aliases()
        refuse_unknown(self.params, aliases.keys(), self.name)
        self._own = rename(self.params, aliases, self.name)
        self._threads = take_count(self._own, "threads", 1, self.name, least=1)
        self._patience = take_count(self._own, "early_stopping_rounds", 0, self.name, least=0)

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        """See `ModelAdapter.fit_model`."""
        lightgbm = library("lightgbm", self.name)
        data = lightgbm.Dataset(train.X, train.y, weight=train.weight)
        params = self._library_params(n_classes, seed, train.X.shape[1])
        tails = []
        if valid is not None and self._patience:
            tails = [data.create_valid(valid.X, valid.y, weight=valid.weight)]
            params["early_stopping_round"] = self._patience
        with blame_parameters(self.name, (lightgbm.basic.LightGBMError, ValueError, TypeError)):
            booster = lightgbm.train(params, data, valid_sets=tails, init_model=init)
        # the text form drops the rounds after the best one, and the training data
        return self.parse(booster.model_to_string().encode())

    def predict_model(self, model: Any, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        return np.asarray(model.predict(X, num_threads=self._threads))

    def importance(self, model: Any, n_features: int) -> FloatArray:
        """Return the total gain of each feature's splits."""
        return np.asarray(model.feature_importance("gain"), dtype=np.float64)

    def dump(self, model: Any) -> bytes:
        """Return LightGBM's text form."""
        return str(model.model_to_string()).encode()

    def parse(self, payload: bytes) -> Any:
        """Return the booster of a text form."""
        return library("lightgbm", self.name).Booster(model_str=payload.decode())

    def _library_params(self, n_classes: int, seed: int, n_features: int) -> dict[str, Any]:
        # the two ways to build histograms add in different orders, and LightGBM would choose
        # between them by a stopwatch
        order = {} if "force_row_wise" in self._own else {"force_col_wise": True}
        params = {
            "objective": {0: "regression", 2: "binary"}.get(n_classes, "multiclass"),
            "verbosity": -1,
            "deterministic": True,
            "num_leaves": 15,
            "extra_trees": True,
            "max_bin": 63,
            "feature_fraction": min(1.0, max(0.3, _LEAST_FEATURES / n_features)),
            **order,
            **self._own,
            "num_threads": self._threads,
            "seed": seed,
        }
        if str(params["objective"]).startswith(("multiclass", "softmax")):
            params["num_class"] = n_classes
        return params


class LightGBMRegressor(_LightGBM):
    """LightGBM for one continuous label; squared error unless `objective` says otherwise."""

    name = "lightgbm_regressor"
    task = "regression"


class LightGBMClassifier(_LightGBM):
    """LightGBM for classes; binary or multiclass log loss unless `objective` says otherwise."""

    name = "lightgbm_classifier"
    task = "classification"


@cache
def _aliases() -> dict[str, str]:
    """Return every name LightGBM knows and the one it stands for, with `threads` as ours."""
    # LightGBM ignores an unknown name, and its public interface does not list the known ones
    table = library("lightgbm", "lightgbm").basic._ConfigAliases._get_all_param_aliases()
    ours = {"num_threads": "threads", "early_stopping_round": "early_stopping_rounds"}
    names = {
        alias: ours.get(name, name) for name, group in table.items() for alias in (name, *group)
    }
    return {**names, "threads": "threads"}
