"""Where the parameter search looks, for each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agent_market.errors import ConfigError


class Range(NamedTuple):
    """A parameter's bounds, both included; whole numbers where both bounds are.

    others : the library's other names for it, which a found value replaces.
    """

    low: float
    high: float
    log: bool = True
    others: tuple[str, ...] = ()


Space = Mapping[str, Range]

_LIGHTGBM: Space = {
    "n_estimators": Range(
        50,
        800,
        others=(
            "num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round",
            "num_rounds", "nrounds", "num_boost_round", "max_iter",
        ),
    ),
    "learning_rate": Range(0.005, 0.2, others=("eta", "shrinkage_rate")),
    "num_leaves": Range(4, 127, others=("num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes")),
    "min_child_samples": Range(
        10,
        500,
        others=("min_data_in_leaf", "min_data", "min_samples_leaf", "min_data_per_leaf"),
    ),
    "colsample_bytree": Range(0.2, 1.0, log=False, others=("feature_fraction", "sub_feature")),
    "reg_lambda": Range(0.001, 100.0, others=("lambda_l2", "lambda", "l2_regularization")),
}  # fmt: skip
_XGBOOST: Space = {
    "n_estimators": Range(50, 800, others=("num_boost_round",)),
    "learning_rate": Range(0.005, 0.2, others=("eta",)),
    "max_depth": Range(2, 8, log=False),
    "min_child_weight": Range(1.0, 200.0),
    "subsample": Range(0.4, 1.0, log=False),
    "colsample_bytree": Range(0.2, 1.0, log=False),
    "reg_lambda": Range(0.01, 100.0, others=("lambda",)),
}
_CATBOOST: Space = {
    "iterations": Range(50, 800, others=("n_estimators", "num_boost_round", "num_trees")),
    "learning_rate": Range(0.005, 0.2, others=("eta",)),
    "depth": Range(2, 8, log=False, others=("max_depth",)),
    "l2_leaf_reg": Range(0.5, 100.0, others=("reg_lambda",)),
    "random_strength": Range(0.1, 10.0),
}
SPACES: dict[str, Space] = {
    "lightgbm_regressor": _LIGHTGBM,
    "lightgbm_classifier": _LIGHTGBM,
    "xgboost_regressor": _XGBOOST,
    "xgboost_classifier": _XGBOOST,
    "catboost_regressor": _CATBOOST,
    "catboost_classifier": _CATBOOST,
    "linear_regressor": {"alpha": Range(0.1, 1e6)},
    "logistic_classifier": {"C": Range(1e-5, 10.0)},
}


def space_of(adapter: str) -> Space:
    """Return where to search for an adapter's parameters.

    Raises
    ------
    ConfigError
        There is no search space for it.
    """
    if adapter not in SPACES:
        raise ConfigError(
            f"--search: there is no search space for {adapter}. Search {', '.join(SPACES)}, or "
            "leave --search and --trials out."
        )
    return SPACES[adapter]


def suggest(trial: Any, space: Space) -> dict[str, float]:
    """Return the values that an Optuna trial takes from the space."""
    return {
        name: trial.suggest_int(name, span.low, span.high, log=span.log)
        if isinstance(span.low, int) and isinstance(span.high, int)
        else trial.suggest_float(name, span.low, span.high, log=span.log)
        for name, span in space.items()
    }


def with_found(
    params: Mapping[str, Any], found: Mapping[str, float], space: Space
) -> dict[str, Any]:
    """Return the parameters with the found values, each under one name only."""
    replaced = {other for name in found for other in space[name].others}
    return {name: value for name, value in params.items() if name not in replaced} | dict(found)
