"""How well an expression orders what comes after it: fast, causal, honest about what repeats.

**Position.** The values x of a pair become u = clip((x - m) / s, -3, 3), with the mean m and the
standard deviation s of the pair's rows before the fold. Nothing of the fold itself enters:
centering inside it would tell a row how the fold ends, and a slow expression on a random walk would
seem to predict (Stambaugh, "Predictive regressions", 1999). Labels y are measured in the root mean
square of the pair's labels known before the fold, so that no pair outweighs the others.

**t value.** Pairs move together, and a sum over them is mostly a few days of the whole market. So
positions and labels are first quasi-demeaned: less (1 - 1 / sqrt(1 + n c)) times their mean over
the n pairs of the row, c = r / (1 - r) for the mean correlation r of the pairs' labels known before
the fold. These are the products of generalized least squares under one common factor (Fuller and
Battese, "Estimation of linear models with crossed-error structure", 1974). B_j is their sum over
all pairs and rows of block j, and t = mean(B) / (std(B) / sqrt(n_blocks)). Blocks last a day and
five horizons at least, and the last `horizon` rows of each are left out, so without predictability
E[B_j | all before the block] = 0: the B_j are martingale differences. Labels that overlap, pairs
that move together and volatility that clusters all stay inside a block, where they are summed, not
counted. The sum divided by the root of the sum of squares is at most sqrt(n_blocks), however heavy
the tails; for symmetric B_j its tail is below exp(-z^2 / 2) (de la Pena, "A general class of
exponential inequalities for martingales and ratios", 1999), and Student's t, which is used, is
close for the normal ones. What is not tested away is the drift of the market: a position that is
long on average earns it.

**Coefficient.** The IC of a fold is the Pearson correlation of u and y, mean over pairs; nothing is
demeaned. Its error is that of the plain sums of u y over blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import stats

from agent_market.evaluation.expressions.layout import ScoredFold

FloatArray = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]

CLIP = 3.0
LEAST_COVERAGE = 0.9
_LEAST_ROWS = 30
_NOTHING_LEFT = 3.0
_MOST_COMMON = 0.9
"""Pairs that are more alike than that have nothing of their own to be measured."""


class Score(NamedTuple):
    """What an expression is worth on some rows; NaN all where it covers too little of them.

    ic : mean of the folds' coefficients.
    ic_error : standard error of `ic`, from blocks.
    gls_ic : correlation of quasi-demeaned positions and labels, all folds together.
    icir : mean of the blocks' coefficients in their standard deviations (about daily, not a year).
    t : t value of the mean product of quasi-demeaned position and label, over blocks.
    coverage : share of the rows with a label that have a value too.
    fold_ics : coefficient of each fold.
    """

    ic: float
    ic_error: float
    gls_ic: float
    icir: float
    t: float
    coverage: float
    fold_ics: tuple[float, ...]

    @property
    def is_valid(self) -> bool:
        """Whether there is a t value."""
        return math.isfinite(self.t)

    @property
    def shrunk_ic(self) -> float:
        """The coefficient without its sign, shrunk by the nonnegative garrote of |t| 3.

        It is the mean of the two coefficients: the plain one is what is earned, but a few days of
        the whole market decide it; the other is measured well, but prefers what is hedged. What is
        measured surely keeps nearly all of it; what is not keeps nothing, or less (Gao, "Wavelet
        shrinkage denoising using the non-negative garrote", 1998). Minus infinity where the two
        have no sign in common.
        """
        coefficient = math.copysign(0.5, self.t) * (self.ic + self.gls_ic)
        if not self.t or not coefficient > 0:
            return -math.inf
        return coefficient * (1 - (_NOTHING_LEFT / self.t) ** 2)


class Scorer:
    """Scores values on fixed folds.

    Parameters
    ----------
    labels : ndarray of shape (n_pairs, n_rows)
        Row t uses rows t to t + horizon; NaN where unknown.
    folds : sequence of ScoredFold
        In time.
    """

    def __init__(self, labels: Double, folds: Sequence[ScoredFold]) -> None:
        self._known = np.array([fold.known for fold in folds])
        self._blocks = np.array([block for fold in folds for block in fold.blocks])
        self._fold_of = np.array([k for k, fold in enumerate(folds) for _ in fold.blocks])
        self._outcomes, self._common = _scaled_outcomes(labels, folds)
        self._n_known = int(np.isfinite(self._outcomes).sum())

    @property
    def n_blocks(self) -> int:
        """How many block sums a t value is made of."""
        return len(self._blocks)

    @property
    def outcomes(self) -> Double:
        """Labels of the scored rows in their scale, NaN elsewhere; shape (n_pairs, n_rows)."""
        return self._outcomes

    @property
    def fold_of_block(self) -> npt.NDArray[np.int64]:
        """The fold of each block."""
        return self._fold_of

    def score(self, values: FloatArray) -> Score:
        """Return the score of values of shape (n_pairs, n_rows)."""
        return self.score_positions(self.positions(values))

    def score_positions(self, positions: Double) -> Score:
        """Return the score of positions, as `positions` returns them."""
        return self._measured(positions)[0]

    def measure(self, values: FloatArray) -> tuple[Score, Double]:
        """Return the score of values, and what each block earned: the sums of its t value."""
        return self._measured(self.positions(values))

    def _measured(self, positions: Double) -> tuple[Score, Double]:
        sums, moments = _sums(
            positions, self._outcomes, self._blocks, self._fold_of, len(self._known)
        )
        gls = _gls_sums(positions, self._outcomes, self._blocks, self._fold_of, self._common)
        coverage = float(moments[:, :, 0].sum()) / max(1, self._n_known)
        ics = _coefficients(moments)
        t, plain_t = t_value(gls[:, 0]), t_value(sums[:, 0])
        if coverage < LEAST_COVERAGE or not math.isfinite(t) or np.isnan(ics).any():
            nothing = Score(*(math.nan,) * 5, coverage, (math.nan,) * len(ics))
            return nothing, np.zeros(self.n_blocks)
        ic = float(ics.mean())
        score = Score(
            ic,
            abs(ic / plain_t) if plain_t else math.nan,
            float(gls[:, 0].sum() / np.sqrt(gls[:, 1].sum() * gls[:, 2].sum())),
            _information_ratio(sums),
            t,
            coverage,
            tuple(map(float, ics)),
        )
        return score, gls[:, 0]

    def positions(self, values: FloatArray) -> Double:
        """Return u of the scored rows, NaN where there is none; shape (n_pairs, n_rows)."""
        result: Double = _positions(
            values, self._outcomes, self._known, self._blocks, self._fold_of
        )
        return result

    @property
    def block_of_row(self) -> npt.NDArray[np.int64]:
        """The block of each row, -1 where it is in none; shape (n_rows,)."""
        found = np.full(self._outcomes.shape[1], -1)
        for number, (first, last) in enumerate(self._blocks):
            found[first:last] = number
        return found

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return len(self._known)


def t_value(sums: Double) -> float:
    """Return the t value of the mean of block sums; NaN where they do not differ."""
    n = len(sums)
    spread = float(np.std(sums, ddof=1)) if n > 1 else 0.0
    return float(sums.mean()) / spread * math.sqrt(n) if spread > 0 else math.nan


def t_threshold(error: float, n_tests: int, n_blocks: int) -> float:
    """Return the |t| that, two-sided, one of `n_tests` passes by chance with at most `error`.

    Bonferroni's bound, which asks nothing of how the tests depend on one another.
    """
    return float(stats.t.isf(error / (2 * max(1, n_tests)), n_blocks - 1))


def _scaled_outcomes(labels: Double, folds: Iterable[ScoredFold]) -> tuple[Double, Double]:
    """Return labels in the scale of those known before their fold, and each fold's c."""
    outcomes, common = np.full(labels.shape, np.nan), []
    for fold in folds:
        known = labels[:, : fold.known]
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.sqrt(np.nanmean(np.square(known), axis=1))
        size[~(size > 0)] = np.nan
        for first, last in fold.blocks:
            outcomes[:, first:last] = labels[:, first:last] / size[:, None]
        common.append(_common_variance(known / size[:, None]))
    return outcomes, np.array(common)


def _common_variance(labels: Double) -> float:
    """Return the variance that labels of one row share, in that which each has of its own."""
    squares = np.nansum(np.square(labels), axis=0)
    own = float((squares * (np.isfinite(labels).sum(axis=0) - 1).clip(0)).sum())
    crossed = float((np.square(np.nansum(labels, axis=0)) - squares).sum())
    correlation = min(_MOST_COMMON, max(0.0, crossed / own)) if own > 0 else 0.0
    return correlation / (1 - correlation)


def _information_ratio(sums: Double) -> float:
    size = np.sqrt(sums[:, 1] * sums[:, 2])
    daily = sums[size > 0, 0] / size[size > 0]
    spread = float(np.std(daily, ddof=1))
    return float(daily.mean()) / spread if spread > 0 else math.nan


def _coefficients(moments: Double) -> Double:
    """Return the mean over pairs of each fold's correlation; NaN where no pair has one."""
    n, x, y, xx, yy, xy = np.moveaxis(moments, 2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((xx - x * x / n) * (yy - y * y / n))
        each = (xy - x * y / n) / spread
    usable = np.isfinite(each) & (n >= _LEAST_ROWS)
    count = usable.sum(axis=1)
    total = np.where(usable, each, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@njit(cache=True, nogil=True)
def _extend(state: Double, row: FloatArray, first: int, last: int) -> None:
    """Add rows to (count, mean, sum of squared deviations); in two passes, then merged."""
    count, total = 0, 0.0
    for t in range(first, last):
        if not np.isnan(row[t]):
            count += 1
            total += row[t]
    if count == 0:
        return
    mean, squares = total / count, 0.0
    for t in range(first, last):
        if not np.isnan(row[t]):
            squares += (row[t] - mean) ** 2
    together = state[0] + count
    shift = mean - state[1]
    state[2] += squares + shift * shift * state[0] * count / together
    state[1] += shift * count / together
    state[0] = together


@njit(cache=True, nogil=True)
def _center_and_scale(state: Double) -> tuple[float, float]:
    """Return mean and 1 / deviation; 0 for the latter where the values do not differ."""
    if state[0] < _LEAST_ROWS:
        return 0.0, 0.0
    deviation = np.sqrt(state[2] / (state[0] - 1))
    is_flat = not deviation > 1e-12 * abs(state[1]) or not np.isfinite(deviation)
    return state[1], 0.0 if is_flat else 1.0 / deviation


@njit(cache=True, nogil=True)
def _positions(
    values: FloatArray,
    outcomes: Double,
    known: npt.NDArray[np.int64],
    blocks: npt.NDArray[np.int64],
    fold_of: npt.NDArray[np.int64],
) -> Double:
    result = np.full(values.shape, np.nan)
    for pair in range(values.shape[0]):
        state = np.zeros(3)
        before, fold, center, scale = 0, -1, 0.0, 0.0
        for b in range(len(blocks)):
            if fold_of[b] != fold:
                fold = fold_of[b]
                _extend(state, values[pair], before, known[fold])
                before = known[fold]
                center, scale = _center_and_scale(state)
            if scale == 0.0:
                continue
            for t in range(blocks[b, 0], blocks[b, 1]):
                u = (values[pair, t] - center) * scale
                if not np.isnan(u) and not np.isnan(outcomes[pair, t]):
                    result[pair, t] = min(CLIP, max(-CLIP, u))
    return result


@njit(cache=True, nogil=True)
def _sums(
    positions: Double,
    outcomes: Double,
    blocks: npt.NDArray[np.int64],
    fold_of: npt.NDArray[np.int64],
    n_folds: int,
) -> tuple[Double, Double]:
    """Return sums of u y, u u, y y a block; and n, u, y, u u, y y, u y a fold and pair."""
    n_pairs = positions.shape[0]
    sums = np.zeros((len(blocks), 3))
    moments = np.zeros((n_folds, n_pairs, 6))
    for pair in range(n_pairs):
        for b in range(len(blocks)):
            n, x, y, xx, yy, xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
            for t in range(blocks[b, 0], blocks[b, 1]):
                u, v = positions[pair, t], outcomes[pair, t]
                if np.isnan(u) or np.isnan(v):
                    continue
                n += 1
                x += u
                y += v
                xx += u * u
                yy += v * v
                xy += u * v
            sums[b] += np.array([xy, xx, yy])
            moments[fold_of[b], pair] += np.array([n, x, y, xx, yy, xy])
    return sums, moments


@njit(cache=True, nogil=True)
def _gls_sums(
    positions: Double,
    outcomes: Double,
    blocks: npt.NDArray[np.int64],
    fold_of: npt.NDArray[np.int64],
    common: Double,
) -> Double:
    """Return sums of u y, u u, y y a block, both less a part of their mean over the pairs."""
    n_pairs = positions.shape[0]
    sums = np.zeros((len(blocks), 3))
    for b in range(len(blocks)):
        xy, xx, yy, c = 0.0, 0.0, 0.0, common[fold_of[b]]
        for t in range(blocks[b, 0], blocks[b, 1]):
            n, x, y = 0, 0.0, 0.0
            for pair in range(n_pairs):
                u, v = positions[pair, t], outcomes[pair, t]
                if not (np.isnan(u) or np.isnan(v)):
                    n += 1
                    x += u
                    y += v
            if n == 0:
                continue
            share = (1 - 1 / np.sqrt(1 + n * c)) / n
            for pair in range(n_pairs):
                u, v = positions[pair, t] - share * x, outcomes[pair, t] - share * y
                if not (np.isnan(u) or np.isnan(v)):
                    xy += u * v
                    xx += u * u
                    yy += v * v
        sums[b] = xy, xx, yy
    return sums
