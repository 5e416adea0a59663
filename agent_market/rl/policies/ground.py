"""What a net is trained on: problems put end to end, and which of their rows are for what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.errors import DataError
from agent_market.rl.paths import Floats
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.policies.problem import Choices, TradingProblem, nearest_index, net_gains

Rows = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """Rows [start, stop) of one path; each has a whole window before it."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Ground:
    """Rows to learn from, and rows to choose by and to judge what was chosen.

    Parameters
    ----------
    whole : TradingProblem
        All rows, path after path.
    train, valid : tuple of Span
        One a path. The validation rows are its last ones; before them, rows are left out whose
        gains or windows either side could share.
    halves : pair of tuples of Span
        The validation rows in two, a window apart. The best of many epochs looks better than it is
        on the rows it was chosen by, so each half judges what the other has chosen.
    unit : float
        Standard deviation of a candle's return over the training rows: gains are learned in it, so
        that one learning rate and one entropy bonus fit quiet and loud markets.
    """

    whole: TradingProblem
    train: tuple[Span, ...]
    valid: tuple[Span, ...]
    halves: tuple[tuple[Span, ...], tuple[Span, ...]]
    unit: float

    @classmethod
    def of(
        cls,
        problems: Sequence[TradingProblem],
        *,
        window: int,
        purge: int,
        valid_share: float,
    ) -> Ground:
        """Return the ground of some problems that have positions and costs in common.

        Parameters
        ----------
        problems : sequence of TradingProblem
        window : int
            Rows that a choice is made from.
        purge : int
            Rows left out after the training rows, and the fewest of these.
        valid_share : float
            Share of each path's rows, the last ones, that are not trained on.

        Raises
        ------
        DataError
            A problem is too short, or prices never move.
        """
        train, valid, earlier, later, first = [], [], [], [], 0
        for problem in problems:
            stop = first + len(problem)
            cut = stop - round(valid_share * len(problem))
            start, middle = first + window - 1, (cut + stop) // 2
            train.append(Span(start, max(start, cut - purge)))
            valid.append(Span(cut, stop))
            earlier.append(Span(cut, max(cut, middle - window)))
            later.append(Span(middle, stop))
            if len(train[-1]) < purge or not len(earlier[-1]):
                raise DataError(
                    f"policy: a path of {len(problem)} rows leaves {len(train[-1])} rows to train "
                    f"on and {stop - cut} to validate beside window {window}, purge {purge} and "
                    f"validation share {valid_share}; {purge} and more than two windows are "
                    "needed. Give a longer path."
                )
            first = stop
        whole = TradingProblem(
            np.concatenate([problem.features for problem in problems]),
            problems[0].positions,
            np.concatenate([problem.gains for problem in problems]),
            problems[0].costs,
        )
        halves = (tuple(earlier), tuple(later))
        return cls(whole, tuple(train), tuple(valid), halves, _unit(whole, rows_of(train)))

    def segments(self, length: int, rng: np.random.Generator) -> Rows:
        """Return all training rows as segments with a random offset, shuffled, (n, length)."""
        starts = []
        for span in self.train:
            offset = rng.integers(0, min(length, len(span) - length + 1))
            starts.append(np.arange(span.start + offset, span.stop - length + 1, length))
        shuffled = rng.permutation(np.concatenate(starts))
        return np.asarray(shuffled[:, None] + np.arange(length))

    def earned(self, span: Span, choices: Choices) -> Floats:
        """Return what each row of a span earns after costs, from flat, by a table of choices."""
        flat = nearest_index(self.whole.positions, 0.0)
        part = self.whole.rows(span.start, span.stop)
        return net_gains(part, follow(choices, flat), flat)

    def earned_by(self, choices: Callable[[Features], Choices], spans: Sequence[Span]) -> Floats:
        """Return what each row of spans earns after costs, each path from flat."""
        features = self.whole.features
        return np.concatenate(
            [self.earned(span, choices(features[span.start : span.stop])) for span in spans]
        )


def rows_of(spans: Sequence[Span]) -> Rows:
    """Return the rows of spans, ascending."""
    return np.concatenate([np.arange(span.start, span.stop) for span in spans])


def t_value(gains: Floats, block: int) -> float:
    """Return the t value of the mean of `gains` over blocks of rows; 0 if it never varies.

    Blocks as long as a position lasts make their sums nearly independent; the last, shorter block
    is left out.
    """
    n_blocks = len(gains) // block
    sums = gains[: n_blocks * block].reshape(n_blocks, block).sum(axis=1)
    if n_blocks < 2 or not sums.std() > 0:
        return 0.0
    return float(sums.mean() / (sums.std(ddof=1) / np.sqrt(n_blocks)))


def _unit(problem: TradingProblem, rows: Rows) -> float:
    largest = int(np.abs(problem.positions).argmax())
    unit = float(problem.gains[rows, largest].std() / abs(problem.positions[largest]))
    if not unit > 0:
        raise DataError("policy: the gains of the training rows never vary. Give real prices.")
    return unit
