"""Behavior cloning: of the best positions in hindsight, or of those that somebody took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.ground import Ground, Rows, Span, rows_of
from agent_market.rl.policies.hindsight import hindsight_choices, regrets
from agent_market.rl.policies.net_policy import NetPolicy
from agent_market.rl.policies.problem import UNKNOWN_ROWS, Choices, TradingProblem, nearest_index

if TYPE_CHECKING:
    from torch import Tensor

    from agent_market.rl.policies.training import Lesson


class ImitationPolicy(NetPolicy):
    """Learns which position a teacher takes next, given the features and the position held.

    `fit` takes the optimum in hindsight as its teacher: for every row and position held, what
    dynamic programming over the known path would have chosen, weighted by what the other choices
    would have lost. It answers "what was best", not "what is best on average", and so is a weaker
    teacher the louder the noise is; see `ExactPolicy`.

    `fit_positions` clones positions that were taken, such as those of a rule strategy.
    """

    name = "imitation"

    def lesson(self, ground: Ground) -> Lesson:
        """Return the weighted cross entropy to the hindsight optimum, judged by net profit."""
        from agent_market.rl.policies.training import Lesson, imitation_loss

        targets, weights = _hindsight(ground)

        def loss(scores: Tensor, switching: Tensor, rows: Rows) -> Tensor:
            return imitation_loss(scores, switching, targets[rows], weights[rows])

        return Lesson(loss, lambda span, choices: float(ground.earned(span, choices).sum()))

    def fit_positions(
        self,
        paths: Sequence[PricePath],
        taken: Sequence[Floats],
        *,
        cost: float,
        seed: int = 0,
    ) -> None:
        """Learn to take the positions that somebody took.

        Parameters
        ----------
        paths : sequence of PricePath
        taken : sequence of array, float64, (n_rows,)
            For each path, the position decided on each row; the nearest of `positions` counts.
        cost, seed :
            See `fit`.

        Notes
        -----
        Stops by the agreement with the validation rows, where rows that change the position count
        as much as all others together. `stays_flat` is never set: whether the teacher earns money
        is the teacher's business.

        Raises
        ------
        DataError
            A path and its positions differ in length.
        """
        for number, (path, positions) in enumerate(zip(paths, taken, strict=True)):
            if len(path) != len(positions):
                raise DataError(
                    f"imitation: path {number} has {len(path)} rows, its positions {len(positions)}"
                    ". Give one position a row."
                )
        ground = self._ground([TradingProblem.of(path, self.positions, cost) for path in paths])
        held, chosen = self._taken(taken)
        self._train(ground, _cloning(held, chosen, len(self.positions)), seed)
        self.valid_t = self._measure(ground)

    def _taken(self, taken: Sequence[Floats]) -> tuple[Choices, Choices]:
        """Return what was held before and after each row of all paths, (n_rows,), as indices."""
        flat = nearest_index(self.positions, 0.0)
        held, chosen = [], []
        for positions in taken:
            away = np.abs(np.asarray(positions)[:-UNKNOWN_ROWS, None] - self.positions)
            indices = away.argmin(axis=1)
            held.append(np.concatenate([[flat], indices[:-1]]))
            chosen.append(indices)
        return np.concatenate(held), np.concatenate(chosen)


def positions_of_trades(
    dates: npt.NDArray[np.datetime64],
    opened: npt.NDArray[np.datetime64],
    closed: npt.NDArray[np.datetime64],
    exposures: Floats,
) -> Floats:
    """Return the position that each row decided, given trades.

    Parameters
    ----------
    dates : array, datetime64, (n_rows,)
        When candles open, evenly spaced.
    opened, closed : array, datetime64, (n_trades,)
        When trades were filled; no two overlap.
    exposures : array, float64, (n_trades,)
        Multiples of capital, shorts negative.

    Returns
    -------
    array, float64, (n_rows,)
        A trade filled at the open of candle t + 1 was decided on row t. Flat where no trade is.
    """
    fills = np.asarray(dates) + (dates[1] - dates[0])
    positions = np.zeros(len(dates))
    for start, stop, exposure in zip(opened, closed, exposures, strict=True):
        positions[(fills >= start) & (fills < stop)] = exposure
    return positions


def _hindsight(ground: Ground) -> tuple[Choices, npt.NDArray[np.float32]]:
    """Return targets and weights of each row and position held; mean weight 1 in training."""
    targets, lost, first = [], [], 0
    for train, valid in zip(ground.train, ground.valid, strict=True):
        # the teacher of training rows must not know the validation rows
        for start, stop in ((first, train.stop), (train.stop, valid.stop)):
            part = ground.whole.rows(start, stop)
            targets.append(hindsight_choices(part))
            lost.append(regrets(part).sum(axis=2))
        first = valid.stop
    weights = np.concatenate(lost)
    unit = weights[rows_of(ground.train)].mean()
    return np.concatenate(targets), (weights / unit).astype(np.float32)


def _cloning(held: Choices, chosen: Choices, n_positions: int) -> Lesson:
    from agent_market.rl.policies.training import Lesson, imitation_loss

    changes = held != chosen
    targets = np.tile(chosen[:, None], (1, n_positions))
    weights = np.zeros((len(held), n_positions), dtype=np.float32)
    weights[np.arange(len(held)), held] = 1

    def loss(scores: Tensor, switching: Tensor, rows: Rows) -> Tensor:
        return imitation_loss(scores, switching, targets[rows], weights[rows])

    def agreement(span: Span, choices: Choices) -> float:
        rows = np.arange(span.start, span.stop)
        right = choices[rows - span.start, held[rows]] == chosen[rows]
        kinds = [right[changes[rows] == kind] for kind in (False, True)]
        return float(np.mean([kind.mean() for kind in kinds if kind.size]))

    return Lesson(loss, agreement)
