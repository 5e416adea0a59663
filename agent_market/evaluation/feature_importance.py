"""Which features the trained windows used, and whether they agree."""

from __future__ import annotations

import bisect
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.errors import DataError
from agent_market.evaluation.backtest_result import BacktestArtifacts, BacktestResult
from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.evaluation.predictions import window_files
from agent_market.store import read_json

FOLDER = "windows"
TOP = 20
_FILE = re.compile(r".+_(\d+)")


def read_importances(artifacts: BacktestArtifacts, result: BacktestResult) -> pd.DataFrame:
    """Return the importance share of each feature in each trained window of this run.

    Returns
    -------
    DataFrame of shape (n_windows, n_features)
        Indexed by (pair, start of its predictions in Unix seconds); a feature that a window lacks
        has share 0. Empty if the model wrote no window files.

    Notes
    -----
    A record belongs to the first prediction window that starts at or after its last training
    candle; records after the last window, left by other runs, are ignored.

    Raises
    ------
    DataError
        A window file lacks `pair` or `feature_importance`.
    StateCorrupt
        A window file is not JSON.
    """
    shares: dict[tuple[str, int], dict[str, float]] = {}
    starts = sorted({start for start, _ in window_files(artifacts, result)})
    # In order of time: of two records of one window the later training wins.
    for trained_until, path in _records(artifacts.run_models_dir / FOLDER):
        place = bisect.bisect_left(starts, trained_until)
        window = _read(path)
        if place < len(starts) and window["pair"] in result.pairs and window["feature_importance"]:
            shares[window["pair"], starts[place]] = window["feature_importance"]
    frame = pd.DataFrame.from_dict(shares, orient="index", dtype=float).fillna(0.0)
    frame.index = pd.MultiIndex.from_tuples(list(frame.index), names=["pair", "trained_until"])
    return frame.sort_index(axis=1).sort_index()


def summarize_importance(artifacts: BacktestArtifacts, result: BacktestResult) -> dict[str, Any]:
    """Return what `describe_importance` says of this run, or why there is nothing to describe."""
    shares = read_importances(artifacts, result)
    if shares.empty:
        reason = f"the model wrote no window files to {artifacts.run_models_dir.name}/{FOLDER}"
        return {"status": "none", "reason": reason}
    return describe_importance(shares)


def describe_importance(shares: pd.DataFrame) -> dict[str, Any]:
    """Return mean shares of the 20 most used features and how stable the ranking is.

    Parameters
    ----------
    shares : DataFrame of shape (n_windows, n_features)
        Indexed by (pair, window), sorted; not empty.

    Notes
    -----
    `stability` is the mean rank correlation of all shares between consecutive windows of the
    same pair: 1 means that every training ranks the features alike, 0 that rankings are
    unrelated. NaN with a single window per pair. `low` and `high` of a feature are the 10 % and
    90 % quantiles of its share over the windows.
    """
    # Ties are broken by name, so that equal shares never reorder between runs.
    mean = shares.mean().sort_index().sort_values(ascending=False, kind="stable")
    low, high = shares.quantile(0.1), shares.quantile(0.9)
    top = [
        {"feature": name, "mean_share": mean[name], "low": low[name], "high": high[name]}
        for name in mean.index[:TOP]
    ]
    return {
        "status": "ok",
        "reason": None,
        "n_windows": len(shares),
        "n_features": shares.shape[1],
        "stability": _stability(shares),
        "top": top,
    }


def _records(folder: Path) -> list[tuple[int, Path]]:
    matches = [(_FILE.fullmatch(path.stem), path) for path in folder.glob("*.json")]
    return sorted((int(match[1]), path) for match, path in matches if match)


def _read(path: Path) -> dict[str, Any]:
    window = read_json(path)
    if not isinstance(window, dict) or not {"pair", "feature_importance"} <= window.keys():
        raise DataError(f"{path} lacks 'pair' or 'feature_importance'. Delete it and train again.")
    return window


def _stability(shares: pd.DataFrame) -> float:
    correlations = [
        information_coefficient(before, after, "spearman")
        for _, of_pair in shares.groupby(level="pair")
        for before, after in zip(of_pair.to_numpy(), of_pair.to_numpy()[1:], strict=False)
    ]
    finite = [value for value in correlations if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
