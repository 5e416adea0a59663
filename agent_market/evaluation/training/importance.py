"""Which features a candidate's windows used, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from agent_market.evaluation.feature_importance import TOP, describe_importance
from agent_market.evaluation.training.runner import PairPredictions


def importance_of(predictions: Sequence[PairPredictions]) -> dict[str, Any]:
    """Return the mean share of the top features and how stable both shares and ranking are.

    To what `describe_importance` says, each feature adds `std` (of its share between windows) and
    `top_share`: the share of windows in which it is among the 20 largest and used at all.
    """
    shares = _shares(predictions)
    if shares.empty or not shares.to_numpy().any():
        return {"status": "none", "reason": "no trained window gave an importance"}
    described = describe_importance(shares)
    spread = shares.std(ddof=0)
    top = (shares.rank(axis=1, ascending=False, method="min") <= TOP) & (shares > 0)
    for row in described["top"]:
        row["std"] = float(spread[row["feature"]])
        row["top_share"] = float(top[row["feature"]].mean())
    return described


def _shares(predictions: Sequence[PairPredictions]) -> pd.DataFrame:
    """Return shares of shape (n_windows, n_features), 0 where a window lacks a feature."""
    rows = {
        (entry.plan.pair, trained_at): outcome.report.importance
        for entry in predictions
        for trained_at, outcome in entry.outcomes.items()
        if outcome.report is not None
    }
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float).fillna(0.0)
    frame.index = pd.MultiIndex.from_tuples(list(rows), names=["pair", "trained_until"])
    return frame.sort_index(axis=1).sort_index()
