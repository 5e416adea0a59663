"""A user's model parameters: the library's own names, checked before anything is fitted."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent_market.errors import ConfigError, ModelUnavailable

KEY = "freqai.model_training_parameters"


def library(module: str, adapter: str) -> Any:
    """Return the library an adapter stands on.

    Raises
    ------
    ModelUnavailable
        It is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, ValueError) as error:  # a missing libgomp is no ImportError
        package = "scikit-learn" if module.startswith("sklearn") else module
        raise ModelUnavailable(
            f"{adapter} needs the package {package}, which cannot be imported ({error}). Run "
            f"`pip install {package}`, or choose another model."
        ) from error


@contextmanager
def blame_parameters(adapter: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn what a library says against parameters or data into a ConfigError."""
    try:
        yield
    except errors as error:
        reason = str(error).split("\nStack trace", maxsplit=1)[0].strip(" .\n")
        raise ConfigError(
            f"{adapter}: the library refused to train: {reason}. Correct {KEY}, or the data."
        ) from error


def check_json(params: Mapping[str, Any], adapter: str) -> None:
    """Refuse parameters that cannot be saved with the model."""
    for name, value in params.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{KEY}.{name}: {adapter} found {value!r}, which JSON cannot hold. Use a number, "
                "a string, a list or an object."
            ) from error


def refuse_seed(params: Mapping[str, Any], names: Collection[str], adapter: str) -> None:
    """Refuse a seed among the parameters: it belongs to the fit."""
    for name in params:
        if name in names:
            raise ConfigError(
                f"{KEY}.{name}: {adapter} found {params[name]!r}. The seed is an argument of the "
                "fit: take it out of the parameters and pass fit(..., seed=...)."
            )


def refuse_unknown(params: Mapping[str, Any], valid: Collection[str], adapter: str) -> None:
    """Refuse a name the library would ignore, and say which is nearest."""
    for name in params:
        if name not in valid:
            raise ConfigError(
                f"{KEY}.{name}: {adapter} has no such parameter (found {params[name]!r}). Did you "
                f"mean {nearest(name, valid)!r}?"
            )


def nearest(name: str, valid: Collection[str]) -> str:
    """Return the valid name that looks most like `name`."""
    return difflib.get_close_matches(name, sorted(valid), n=1, cutoff=0.0)[0]


def rename(params: Mapping[str, Any], aliases: Mapping[str, str], adapter: str) -> dict[str, Any]:
    """Return the parameters under one name each; two names for one thing are refused."""
    renamed: dict[str, Any] = {}
    given: dict[str, str] = {}
    for name, value in params.items():
        own = aliases.get(name, name)
        if own in renamed:
            raise ConfigError(
                f"{KEY}: {adapter} found {given[own]!r} and {name!r}, two names for one "
                "parameter. Keep one."
            )
        renamed[own], given[own] = value, name
    return renamed


def take_count(params: dict[str, Any], name: str, default: int, adapter: str, least: int) -> int:
    """Remove a whole number of at least `least` from `params` and return it, or the default."""
    value = params.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"{KEY}.{name}: {adapter} found {value!r}. Use a whole number of at least {least}."
        )
    return value
