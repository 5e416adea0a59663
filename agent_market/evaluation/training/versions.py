"""What predictions follow from: versions, configuration, features."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from agent_market.evaluation.report_tables import flat_config
from agent_market.learning.window_plan import PairPlan
from agent_market.store import hash_json

LIBRARIES = (
    "freqtrade", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "catboost", "torch",
    "optuna",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Return Python's version and those of the libraries; one that is missing is left out."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def provenance(config: Mapping[str, Any], plans: Iterable[PairPlan]) -> dict[str, str]:
    """Return strategy, time range and the hashes of the configuration and of the features."""
    return {
        "strategy": str(config.get("strategy")),
        "timerange": str(config.get("timerange")),
        "config_hash": hash_json(flat_config(config)),
        "features_hash": hash_json(sorted({plan.table.key for plan in plans})),
    }
