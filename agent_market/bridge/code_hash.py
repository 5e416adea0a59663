"""The hash of the code that a strategy's features and targets follow from."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from freqtrade.strategy import IStrategy

from agent_market.store import hash_bytes, hash_json

LIBRARIES = ("freqtrade", "numpy", "pandas", "TA-Lib")
OURS = "agent_market"
# strategies import the bridge for their settings; values of features come from their hooks alone
BRIDGE = Path(__file__).resolve().parent
FEATURE_HOOKS = BRIDGE / "feature_hooks.py"


def hash_strategy_code(strategy: IStrategy) -> str:
    """
    Return the hash of the strategy's source, of every module of the user's or ours that it
    reaches, of its parameters' values and of the libraries' versions.
    :param strategy: the strategy as Freqtrade made it
    """
    sources = {
        str(number): hash_bytes(path.read_bytes())
        for number, path in enumerate(sorted(_reached(type(strategy))))
    }
    parameters = {name: repr(value.value) for name, value in strategy.enumerate_parameters()}
    return hash_json({"sources": sources, "parameters": parameters, "libraries": _versions()})


@cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _reached(strategy: type) -> set[Path]:
    """Return the source files the strategy's classes and their modules lead to."""
    files: set[Path] = set()
    waiting: list[dict[str, Any]] = []
    for cls in strategy.__mro__:
        methods = [member for member in vars(cls).values() if inspect.isfunction(member)]
        if issubclass(cls, IStrategy) and cls is not IStrategy and methods:
            # Freqtrade keeps a strategy's module out of `sys.modules`: its methods lead to it
            path = Path(methods[0].__code__.co_filename).resolve()
            if _counts(path):
                files.add(path)
                waiting.append(methods[0].__globals__)
    while waiting:
        for module in _modules_in(waiting.pop()):
            source = _file_of(module)
            if source is not None and source not in files and _counts(source):
                files.add(source)
                waiting.append(vars(module))
    return files


def _modules_in(names: dict[str, Any]) -> Iterator[ModuleType]:
    for value in list(names.values()):
        if isinstance(value, ModuleType):
            yield value
        else:
            module = sys.modules.get(getattr(value, "__module__", None) or "")
            if module is not None:
                yield module


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file and file.endswith(".py") else None


def _counts(path: Path) -> bool:
    """Libraries count by their version, our own package by its source wherever it is installed."""
    if path.is_relative_to(BRIDGE):
        return path == FEATURE_HOOKS
    return OURS in path.parts or not any(path.is_relative_to(root) for root in _library_roots())


@cache
def _library_roots() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})
