"""What each step's output depends on, and the key that follows from it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agent_market.flow.setup import Setup
from agent_market.settings import FREQAI_FILES
from agent_market.store import hash_json

PACKAGE = Path(__file__).resolve().parents[1]
_ENGINES = ("freqtrade", "ccxt", "numpy", "pandas", "scikit-learn", "datasieve", "TA-Lib")
_LEARNERS = ("catboost", "lightgbm", "xgboost", "torch")
_PLACES = ("user_data_dir", "strategy_path", "freqaimodel_path", "datadir", "exportdirectory")
_NETWORK = ("urls", "aiohttp_trust_env", "httpsProxy", "wsProxy", "enableRateLimit", "rateLimit")


@dataclass(frozen=True)
class Inputs:
    """Everything a step's output is a function of; two equal ones need one execution.

    Attributes
    ----------
    code : source files and library versions, each with its hash or version.
    config : the settings that matter, nested; no credential, port or place.
    data : data files (relative to the data directory) with their hashes.
    upstream : keys of the steps whose outputs are read.
    """

    code: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the four parts as JSON-able values."""
        return {
            "code": dict(self.code),
            "config": dict(self.config),
            "data": dict(self.data),
            "upstream": dict(self.upstream),
        }

    def key(self, step: str) -> str:
        """Return the step key: 64 hexadecimal digits."""
        return hash_json({"step": step, **self.to_json()})


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; it is read again only if its size or time changed."""
    status = path.stat()
    return _hash_version(path, status.st_size, status.st_mtime_ns)


def code_hashes(*parts: str) -> dict[str, str]:
    """Return the hash of every source file below the package's `parts` (rooms or files)."""
    files = {path for part in parts for path in _sources(PACKAGE / part)}
    return {f"agent_market/{path.relative_to(PACKAGE)}": file_hash(path) for path in sorted(files)}


def backtest_code(setup: Setup) -> dict[str, str]:
    """Return what a backtest executes: rooms, the strategy, the model, library versions.

    The flow and the evaluation are left out: they do not act on a backtest's result.
    """
    apart = {"evaluation", "flow", "market"}
    rooms = sorted(path.name for path in PACKAGE.iterdir() if path.name not in apart)
    market = ["market/candles.py", "market/sidedata.py"]
    if setup.source != "exchange":
        market.append("market/replay")
    own = {f.name: f for f in _with_parameters((setup.strategy_file, setup.freqaimodel_file))}
    own[FREQAI_FILES["feature_set_file"]] = setup.feature_set_file
    own[FREQAI_FILES["expressions_file"]] = setup.expressions_file
    histories = (setup.settings.bias.history, setup.settings.event_mode.history)
    own |= {path.name: path for path in histories if path is not None}
    return (
        code_hashes(*rooms, *market)
        | {name: file_hash(file) for name, file in own.items() if file.is_file()}
        | library_versions()
    )


def agent_code() -> dict[str, str]:
    """Return the hash of every source file of the agents, which stand beside the package."""
    folder = PACKAGE.parent / "agents"
    return {f"agents/{path.name}": file_hash(path) for path in sorted(folder.glob("*.py"))}


def library_versions(further: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a backtest's result.

    `further` names others; one that is not installed is left out.
    """
    versions = {"python": platform.python_version()}
    for library in (*_ENGINES, *_LEARNERS, *further):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def relevant_config(setup: Setup) -> dict[str, Any]:
    """Return the part of the configuration that a backtest's result depends on."""
    config = {key: value for key, value in setup.config.items() if key not in _PLACES}
    exchange = dict(config.get("exchange", {}))
    for section in ("ccxt_config", "ccxt_sync_config", "ccxt_async_config"):
        options = {k: v for k, v in exchange.pop(section, {}).items() if k not in _NETWORK}
        exchange |= {section: options} if options else {}
    exchange["pair_whitelist"] = list(setup.pairs)
    own = setup.settings.model_dump(
        mode="json", exclude={"state_dir", "timerange", "market", "replay", "llm", "flow", "loop"}
    )
    changed: dict[str, Any] = {"exchange": exchange, "agent_market": own}
    if "freqai" in config:  # what its files hold counts as code, not where they stand
        freqai = {key: value for key, value in config["freqai"].items() if key not in FREQAI_FILES}
        changed["freqai"] = freqai
    names = {"strategy": setup.strategy, "freqaimodel": setup.freqaimodel}
    return {**config, **names, **changed}


def describe_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return which inputs differ between two `Inputs.to_json()`, in one line."""
    parts = [
        f"{part} changed: {_first_changes(old.get(part, {}), new[part], values=part == 'config')}"
        for part in ("code", "config", "data")
        if old.get(part) != new[part]
    ]
    if not parts and old.get("upstream") != new["upstream"]:
        parts.append("an earlier step changed")
    return "; ".join(parts)


def _first_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], *, values: bool, limit: int = 3
) -> str:
    flat_old, flat_new = dict(_flatten(old)), dict(_flatten(new))
    names = sorted(
        key for key in flat_old.keys() | flat_new.keys() if flat_old.get(key) != flat_new.get(key)
    )
    shown = [
        f"{name} {flat_old.get(name)} -> {flat_new.get(name)}" if values else name
        for name in names[:limit]
    ]
    more = [f"and {len(names) - limit} more"] if len(names) > limit else []
    return ", ".join(shown + more)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


@lru_cache(maxsize=4096)
def _hash_version(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sources(path: Path) -> Iterable[Path]:
    return path.rglob("*.py") if path.is_dir() else [path]


def _with_parameters(files: Iterable[Path | None]) -> Iterator[Path]:
    # Freqtrade loads Strategy.json beside Strategy.py as its hyperopt parameters.
    for file in files:
        if file is not None:
            yield file
            yield from [p for p in [file.with_suffix(".json")] if p.is_file()]
