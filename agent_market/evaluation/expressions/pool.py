"""Whether an expression is new beside others, and whether a model of all gains by it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent_market.evaluation.expressions.scoring import Double, Scorer, t_value

_RIDGE = 0.01
"""Share of a position's variance that is added to it: it decides between twins, and no more."""


class Likeness(NamedTuple):
    """The most alike of the others, and its correlation; "" and 0 where there is none."""

    name: str
    correlation: float


class Gain(NamedTuple):
    """Coefficient of the pooled model without and with a candidate, and t value of the gain."""

    ic_without: float
    ic_with: float
    t: float


class Pool:
    """Positions of accepted expressions and of existing features, on the scored rows.

    Parameters
    ----------
    scorer : Scorer
        Of the search rows: nothing after them is seen.
    """

    def __init__(self, scorer: Scorer) -> None:
        outcomes = scorer.outcomes
        self._kept = np.isfinite(outcomes)
        self._outcomes = outcomes[self._kept]
        block = np.broadcast_to(scorer.block_of_row, outcomes.shape)[self._kept]
        self._block, self._fold = block, scorer.fold_of_block[block]
        self._n_blocks, self._n_folds = scorer.n_blocks, scorer.n_folds
        self._names: list[str] = []
        self._columns: list[Double] = []

    def add(self, name: str, positions: Double) -> None:
        """Add the positions of one expression or feature, as `Scorer.positions` returns them."""
        self._names.append(name)
        self._columns.append(self._column(positions))

    def likeness(self, positions: Double) -> Likeness:
        """Return the member or feature whose positions correlate most, in absolute value.

        So `-x` is no other expression than `x`. A feature that never moves is like nothing.
        """
        column = self._column(positions)
        most = Likeness("", 0.0)
        for name, other in zip(self._names, self._columns, strict=True):
            found = abs(_correlation(column, other))
            if found > most.correlation:
                most = Likeness(name, found)
        return most

    def gain(self, positions: Double) -> Gain:
        """Return what a ridge regression on all positions gains by one more.

        Each fold but the first is predicted by the regression on the folds before it, whose labels
        end before it begins. The gain is the difference of the two predictions, each in its own
        standard deviation, times the outcome, summed over blocks.
        """
        column = self._column(positions)
        without = self._predictions(self._columns)
        with_it = self._predictions([*self._columns, column])
        tested = self._fold > 0
        products = (with_it - without)[tested] * self._outcomes[tested]
        sums: Double = np.bincount(self._block[tested], products, self._n_blocks).astype(np.float64)
        t = t_value(sums[np.unique(self._block[tested])])
        return Gain(
            _correlation(without[tested], self._outcomes[tested]),
            _correlation(with_it[tested], self._outcomes[tested]),
            0.0 if math.isnan(t) else t,
        )

    def _column(self, positions: Double) -> Double:
        return np.nan_to_num(positions[self._kept])

    def _predictions(self, columns: list[Double]) -> Double:
        predicted = np.zeros(self._outcomes.size)
        if not columns:
            return predicted
        design = np.column_stack(columns)
        for fold in range(1, self._n_folds):
            weights = _ridge(design[self._fold < fold], self._outcomes[self._fold < fold])
            size = float(np.std(design[self._fold < fold] @ weights))
            rows = self._fold == fold
            predicted[rows] = design[rows] @ weights / size if size > 0 else 0.0
        return predicted


def _ridge(design: Double, outcomes: Double) -> npt.NDArray[np.float64]:
    gram = design.T @ design
    gram += np.diag(_RIDGE * np.diag(gram) + np.finfo(float).tiny)
    return np.asarray(np.linalg.solve(gram, design.T @ outcomes))


def _correlation(x: Double, y: Double) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size > 0 else 0.0
