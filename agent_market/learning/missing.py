"""Which features are missing where, what that costs, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.learning.adapters.inputs import Features

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MissingFeature:
    """A feature with NaN in a window.

    n_missing : labeled rows in which it is NaN. cause : `warm-up` where all of them are the first
    rows of the window, `absent` where it has no value at all, else `gaps`.
    left_out : whether the feature, not its rows, was left out.
    """

    n_missing: int
    cause: str
    left_out: bool


@dataclass(frozen=True)
class MissingReport:
    """What missing features cost a window.

    n_labeled : rows with a label. n_dropped : of those, rows too incomplete to be trained on.
    features : the features with NaN, the worst first, at most 50.
    """

    n_labeled: int
    n_dropped: int
    features: dict[str, MissingFeature]


def usable_rows(X: Features, max_missing_share: float) -> BoolArray:
    """Return which rows have enough features, shape (n_rows,).

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        NaN where missing.
    max_missing_share : float
        Share of a row's features that may be NaN; at 0 none may.
    """
    if not X.shape[1]:
        return np.zeros(len(X), dtype=bool)
    allowed = int(max_missing_share * X.shape[1])
    return np.asarray(np.isnan(X).sum(axis=1) <= allowed)


def choose_columns(
    X: Features,
    labeled: BoolArray,
    names: Sequence[str],
    max_missing_rows: float,
    max_missing_share: float,
) -> tuple[tuple[int, ...], MissingReport]:
    """Return the columns to train on, and the report.

    A feature that is NaN in more than `max_missing_rows` of the labeled rows is left out, so that
    it does not cost all of them.
    """
    missing = np.isnan(X[labeled])
    n_labeled = len(missing)
    counts = missing.sum(axis=0)
    left_out = counts > max_missing_rows * n_labeled
    columns = np.flatnonzero(~left_out)
    allowed = int(max_missing_share * len(columns))
    n_dropped = int((missing[:, columns].sum(axis=1) > allowed).sum())
    worst = [int(column) for column in np.argsort(-counts, kind="stable")[:50] if counts[column]]
    features = {
        names[column]: MissingFeature(
            int(counts[column]), _cause(missing[:, column]), bool(left_out[column])
        )
        for column in worst
    }
    return tuple(map(int, columns)), MissingReport(n_labeled, n_dropped, features)


def _cause(missing: BoolArray) -> str:
    count = int(missing.sum())
    if count == len(missing):
        return "absent"
    return "warm-up" if missing[:count].all() else "gaps"
