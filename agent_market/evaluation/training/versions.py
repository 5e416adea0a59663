"""The versions of what predictions follow from."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

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
