"""The adapters by name, and what stands in for one whose library is missing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.learning.adapters.catboost import CatBoostClassifier, CatBoostRegressor
from agent_market.learning.adapters.contract import ModelAdapter, Task
from agent_market.learning.adapters.ensemble import (
    AverageClassifier,
    AverageRegressor,
    StackingRegressor,
)
from agent_market.learning.adapters.lightgbm import LightGBMClassifier, LightGBMRegressor
from agent_market.learning.adapters.linear import LinearRegressor, LogisticClassifier
from agent_market.learning.adapters.model_file import read_model
from agent_market.learning.adapters.parameters import nearest
from agent_market.learning.adapters.torch_models import (
    LstmRegressor,
    MlpClassifier,
    MlpRegressor,
    TcnRegressor,
    TransformerRegressor,
)
from agent_market.learning.adapters.xgboost import XGBoostClassifier, XGBoostRegressor

logger = logging.getLogger(__name__)

ADAPTERS: dict[str, type[ModelAdapter]] = {
    adapter.name: adapter
    for adapter in (
        LightGBMRegressor,
        LightGBMClassifier,
        XGBoostRegressor,
        XGBoostClassifier,
        CatBoostRegressor,
        CatBoostClassifier,
        LinearRegressor,
        LogisticClassifier,
        AverageRegressor,
        AverageClassifier,
        StackingRegressor,
        MlpRegressor,
        MlpClassifier,
        LstmRegressor,
        TcnRegressor,
        TransformerRegressor,
    )
}

FALLBACKS: dict[Task, tuple[str, ...]] = {
    "regression": ("lightgbm_regressor", "xgboost_regressor", "linear_regressor"),
    "classification": ("lightgbm_classifier", "xgboost_classifier", "logistic_classifier"),
}


def create(
    name: str, params: Mapping[str, Any] | None = None, *, fallback: bool = False
) -> ModelAdapter:
    """Return the unfitted adapter `name`.

    Parameters
    ----------
    name : str
        A key of `ADAPTERS`, or `module:Class` of an adapter that can be imported.
    params : mapping, optional
        The library's own names, plus `threads` and what the adapter's docstring names.
    fallback : bool
        Where the library is missing, take the next of LightGBM, XGBoost, linear or logistic, and
        log a warning. The stand-in has its own default parameters (and `threads`, if that is
        given): the names of one library mean nothing to another.

    Raises
    ------
    ConfigError
        There is no such adapter, or a parameter is wrong.
    ModelUnavailable
        The library is missing, and so are those of all stand-ins.
    """
    adapter = adapter_class(name)
    try:
        return adapter(params)
    except ModelUnavailable as error:
        if not fallback:
            raise
        return _stand_in(adapter, dict(params or {}), error)


def load_adapter(path: Path) -> ModelAdapter:
    """Return the fitted adapter in a model file, whichever of `ADAPTERS` wrote it.

    Raises
    ------
    StateCorrupt
        The file was cut or damaged.
    ModelUnavailable
        There is no such file, or the library is not installed.
    ConfigError
        The adapter that wrote it is not in `ADAPTERS`.
    """
    header, _ = read_model(path)
    return adapter_class(header.adapter).load(path)


def adapter_class(name: str) -> type[ModelAdapter]:
    """Return the adapter `name`: a key of `ADAPTERS`, or `module:Class`.

    Raises
    ------
    ConfigError
        There is none.
    """
    if ":" in name:
        return _imported(name)
    if name not in ADAPTERS:
        raise ConfigError(
            f"There is no model adapter {name!r}. Did you mean {nearest(name, ADAPTERS)!r}? "
            f"Known: {', '.join(ADAPTERS)}."
        )
    return ADAPTERS[name]


def _imported(name: str) -> type[ModelAdapter]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The model adapter {name!r} cannot be imported: {error}. Write module:Class of a "
            "ModelAdapter that Python finds."
        ) from error
    if not (isinstance(found, type) and issubclass(found, ModelAdapter)) or found.name != name:
        raise ConfigError(
            f"{name!r} is {found!r}, not a ModelAdapter whose `name` is {name!r}. Let it be one."
        )
    return found


def _stand_in(
    wanted: type[ModelAdapter], params: dict[str, Any], error: ModelUnavailable
) -> ModelAdapter:
    if wanted.task not in FALLBACKS:
        raise error
    missing = error
    shared = {"threads": params["threads"]} if "threads" in params else {}
    for name in FALLBACKS[wanted.task]:
        if name == wanted.name:
            continue
        logger.warning("%s Trying %s with its default parameters instead.", missing, name)
        imputer = {"imputer": "median"} if wanted.supports_nan and _is_linear(name) else {}
        try:
            return ADAPTERS[name](shared | imputer)
        except ModelUnavailable as another:
            missing = another
    raise error


def _is_linear(name: str) -> bool:
    return name in (LinearRegressor.name, LogisticClassifier.name)
