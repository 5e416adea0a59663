"""What a group of features adds: train without it, and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.evaluation.training.bootstrap import (
    block_length,
    block_starts,
    coefficient_draws,
    percentile_interval,
)
from agent_market.evaluation.training.runner import Candidate, PairPredictions
from agent_market.evaluation.training.scored_rows import on_one_timeline, scored_rows


def without(candidate: Candidate, group: str, pattern: str) -> Candidate:
    """Return the candidate that is not trained on the features of a group."""
    spec = replace(candidate.spec, exclude=(*candidate.spec.exclude, pattern))
    return Candidate(f"{candidate.name} without {group}", candidate.horizon, spec)


def ablation_rows(
    whole: Sequence[PairPredictions],
    reduced: Mapping[str, Sequence[PairPredictions]],
    label: str,
    seed: int,
) -> list[dict[str, Any]]:
    """Return what each group adds to the information coefficient.

    Parameters
    ----------
    whole : predictions of the model with all features, one entry a pair.
    reduced : predictions without each group, by the group's name, in the same order of pairs.

    Returns
    -------
    list of dict
        `difference` is the coefficient with the group minus that without it, over the rows that
        both predicted: above 0 the group helps. The interval is of that difference, both models
        drawn on the same blocks of candles. It is for one group; of twenty groups without any use,
        one interval leaves out 0 by chance.
    """
    return [
        {"group": group} | _compare(whole, predictions, label, seed)
        for group, predictions in reduced.items()
    ]


def _compare(
    whole: Sequence[PairPredictions],
    reduced: Sequence[PairPredictions],
    label: str,
    seed: int,
) -> dict[str, Any]:
    pairs = [scored_rows(entry, label) for entry in whole]
    others = [scored_rows(entry, label) for entry in reduced]
    with_group, without_group, realized = on_one_timeline(
        pairs,
        [
            [pair.score for pair in pairs],
            [other.score for other in others],
            [pair.realized for pair in pairs],
        ],
    )
    both = np.isfinite(with_group) & np.isfinite(without_group)
    realized = np.where(both, realized, np.nan)
    length = block_length(len(realized), whole[0].plan.horizon_candles)
    starts = block_starts(len(realized), length, seed)
    draws = [
        coefficient_draws(score, realized, starts, length) for score in (with_group, without_group)
    ]
    coefficients = [
        np.array(
            [
                information_coefficient(score[:, pair], realized[:, pair])
                for pair in range(len(pairs))
            ]
        )
        for score in (with_group, without_group)
    ]
    difference = coefficients[0] - coefficients[1]
    known = np.isfinite(difference)
    return {
        "n": int((both & np.isfinite(realized)).sum()),
        "ic_with": _mean(coefficients[0][known]),
        "ic_without": _mean(coefficients[1][known]),
        "difference": _mean(difference[known]),
        "difference_interval_95": list(percentile_interval(draws[0] - draws[1])),
    }


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
