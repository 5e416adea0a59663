"""Prediction intervals that keep their coverage when the market changes.

A split-conformal interval is the prediction plus and minus a quantile of past absolute errors. It
covers what it promises only while errors keep their size. Adaptive conformal inference moves the
level of that quantile after each outcome: a miss widens the next interval, a hit narrows it, so the
share of misses is steered to the promised one whatever the errors do.

Source: I. Gibbs and E. Candes (2021), "Adaptive conformal inference under distribution shift",
arXiv:2106.00170. Three things differ. An outcome is used when its horizon has passed, not on the
next row. Overlapping labels miss together, for about a horizon at a time, and the sum of their
misses has `horizon` times the variance: the step is divided by its root. A level that asks for more
than the window's largest error gets that error and no infinite interval, and is held where the
theory would keep it, so that a shock or a halted market is not paid for long after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from agent_market.errors import ConfigError, DataError
from agent_market.learning.bounds import require_at_least

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_ERRORS = 30


class Intervals(NamedTuple):
    """Bounds of each row, and whether to abstain there.

    lo, hi : ndarray of shape (n_rows,), float64
        In the unit of the label; NaN where there is no interval.
    abstain : ndarray of shape (n_rows,), bool
        The interval of `abstain_coverage` encloses 0, or there is none.
    """

    lo: FloatArray
    hi: FloatArray
    abstain: BoolArray


@dataclass(frozen=True, kw_only=True)
class ConformalRule:
    """How intervals are made.

    Parameters
    ----------
    horizon : int
        Length of the label in candles, at least 1: row t's outcome is known at row t + horizon.
    coverage : float
        Share of outcomes that the bounds are to enclose, above 0 and below 1.
    abstain_coverage : float
        The same for the interval that decides on abstaining.
    adaptation_rate : float
        Step of the level after each outcome of a label of one candle, above 0 and below 1. Small
        is steady and narrow, large is quick.
    window_candles : int
        Newest errors that the quantile is taken of, at least `min_errors`.

    Raises
    ------
    ConfigError
        A value is out of its bounds.
    """

    horizon: int
    coverage: float
    abstain_coverage: float
    adaptation_rate: float
    window_candles: int

    def __post_init__(self) -> None:
        require_at_least(self, "horizon", 1)
        for field in ("coverage", "abstain_coverage", "adaptation_rate"):
            value = getattr(self, field)
            if not 0 < value < 1:
                raise ConfigError(
                    f"ConformalRule: {field} is {value!r}. Take a share above 0 and below 1."
                )
        if self.window_candles < self.min_errors:
            raise ConfigError(
                f"ConformalRule: window_candles is {self.window_candles}, but a coverage of "
                f"{max(self.coverage, self.abstain_coverage):g} needs {self.min_errors} errors. "
                "Lengthen the window, or lower the coverage."
            )

    @property
    def step(self) -> float:
        """Step of the level after each outcome."""
        return self.adaptation_rate / math.sqrt(self.horizon)

    @property
    def min_errors(self) -> int:
        """Errors before the first interval: 30, or so many that one may lie outside of it."""
        share = max(self.coverage, self.abstain_coverage)
        return max(MIN_ERRORS, math.ceil(share / (1 - share) - 1e-9))


class ConformalTracker:
    """Intervals candle by candle; as many at once as there are give the same bits.

    Parameters
    ----------
    rule : ConformalRule
        How intervals are made.
    calibration_errors : array-like of shape (n_errors,), optional
        Errors on rows that the model was not fitted on and whose outcome is known before the first
        row, oldest first, such as the purged validation tail of the training window. Signs do not
        matter; NaN is skipped. Without them there is no interval until `rule.min_errors` outcomes
        are known.
    """

    def __init__(
        self, rule: ConformalRule, calibration_errors: npt.ArrayLike | None = None
    ) -> None:
        self.rule = rule
        self._misses = 1 - np.array([rule.coverage, rule.abstain_coverage])
        self._levels = self._misses.copy()
        self._ordered = np.empty(rule.window_candles)
        self._newest = np.empty(rule.window_candles)
        self._counts = np.zeros(2, np.int64)  # errors in the window, rows seen
        self._pending = np.full((rule.horizon, 3), np.nan)  # prediction, half widths
        if calibration_errors is not None:
            self._calibrate(np.abs(np.asarray(calibration_errors, np.float64)))

    def step(self, prediction: float, known_outcome: float) -> tuple[float, float, bool]:
        """Return `lo`, `hi` and `abstain` of the next row.

        Parameters
        ----------
        prediction : float
            Of this row; NaN gives NaN bounds and abstains.
        known_outcome : float
            Of the row `horizon` before this one, NaN if there is none.
        """
        rows = self.run(np.array([prediction]), np.array([known_outcome]))
        return float(rows.lo[0]), float(rows.hi[0]), bool(rows.abstain[0])

    def run(self, predictions: FloatArray, known_outcomes: FloatArray) -> Intervals:
        """Return the intervals of the next rows, see `step`; both of shape (n_rows,)."""
        half = _half_widths(
            predictions,
            known_outcomes,
            self._misses,
            self.rule.step,
            self.rule.min_errors,
            self._levels,
            self._ordered,
            self._newest,
            self._counts,
            self._pending,
        )
        return Intervals(
            lo=predictions - half[:, 0],
            hi=predictions + half[:, 0],
            abstain=~(np.abs(predictions) > half[:, 1]),  # NaN abstains
        )

    def _calibrate(self, errors: FloatArray) -> None:
        for error in errors[np.isfinite(errors)]:
            _remember(error, self._ordered, self._newest, self._counts)


def conformal_intervals(
    predictions: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    rule: ConformalRule,
    calibration_errors: npt.ArrayLike | None = None,
) -> Intervals:
    """Return the interval of each row of a history.

    Parameters
    ----------
    predictions : array-like of shape (n_rows,)
        One a candle, in order of time. NaN gives NaN bounds and abstains.
    outcomes : array-like of shape (n_rows,)
        The label of each row, in the unit of the prediction. A row with NaN teaches nothing.
    rule : ConformalRule
        How intervals are made.
    calibration_errors : array-like of shape (n_errors,), optional
        See `ConformalTracker`.

    Notes
    -----
    Information time: row t uses predictions of rows <= t and outcomes of rows <= t - horizon.

    Raises
    ------
    DataError
        The two are not of one length.
    """
    predicted = np.asarray(predictions, np.float64)
    happened = np.asarray(outcomes, np.float64)
    if predicted.ndim != 1 or predicted.shape != happened.shape:
        raise DataError(
            f"predictions have shape {predicted.shape}, outcomes {happened.shape}. Pass one of "
            "each a row, shape (n_rows,)."
        )
    known = np.full(len(happened), np.nan)
    known[rule.horizon :] = happened[: -rule.horizon]
    return ConformalTracker(rule, calibration_errors).run(predicted, known)


@dataclass(frozen=True)
class CoverageChunk:
    """Figures of rows `first_row` to `last_row`, both included.

    n_scored : rows with an interval and an outcome.
    coverage : share of them inside the interval, 0..1; None without any.
    mean_width : of all intervals, in the unit of the label; None without any.
    abstained : share of all rows, 0..1.
    """

    first_row: int
    last_row: int
    n_scored: int
    coverage: float | None
    mean_width: float | None
    abstained: float


@dataclass(frozen=True)
class CoverageReport:
    """What intervals held of their promise; `dataclasses.asdict` gives plain JSON.

    nominal : the promised coverage.
    total : over all rows.
    chunks : the same by stretches of time, in order; the last may be shorter.
    """

    nominal: float
    total: CoverageChunk
    chunks: tuple[CoverageChunk, ...]


def coverage_report(
    intervals: Intervals, outcomes: npt.ArrayLike, *, nominal: float, chunk_candles: int
) -> CoverageReport:
    """Return how often intervals enclosed the outcome, overall and by stretches of time.

    Parameters
    ----------
    intervals : Intervals
        Of n_rows rows.
    outcomes : array-like of shape (n_rows,)
        The label of each row; NaN is not scored.
    nominal : float
        The coverage that was asked for.
    chunk_candles : int
        Rows of a stretch, at least 1.

    Notes
    -----
    Information time: outcomes of all rows. It is for reports, never for decisions.

    Raises
    ------
    DataError
        There are no rows, or not as many outcomes as intervals.
    """
    happened = np.asarray(outcomes, np.float64)
    if happened.shape != intervals.lo.shape or not happened.size:
        raise DataError(
            f"{intervals.lo.shape} intervals and {happened.shape} outcomes. Pass one outcome a row."
        )
    starts = range(0, happened.size, chunk_candles)
    chunks = [_chunk(intervals, happened, start, start + chunk_candles) for start in starts]
    return CoverageReport(nominal, _chunk(intervals, happened, 0, happened.size), tuple(chunks))


def _chunk(intervals: Intervals, happened: FloatArray, start: int, stop: int) -> CoverageChunk:
    lo, hi, abstain = (column[start:stop] for column in intervals)
    outcome = happened[start:stop]
    scored = np.isfinite(lo) & np.isfinite(outcome)
    inside = (outcome >= lo) & (outcome <= hi)
    width = (hi - lo)[np.isfinite(lo)]
    return CoverageChunk(
        first_row=start,
        last_row=start + len(outcome) - 1,
        n_scored=int(scored.sum()),
        coverage=float(inside[scored].mean()) if scored.any() else None,
        mean_width=float(width.mean()) if width.size else None,
        abstained=float(abstain.mean()),
    )


@njit(cache=True)
def _half_widths(
    predictions: FloatArray,
    known_outcomes: FloatArray,
    misses: FloatArray,
    step: float,
    min_errors: int,
    levels: FloatArray,
    ordered: FloatArray,
    newest: FloatArray,
    counts: IntArray,
    pending: FloatArray,
) -> FloatArray:
    """Return (n_rows, 2) half widths; `levels` and all after it are the state and move on."""
    half = np.full((predictions.size, 2), np.nan)
    for row in range(predictions.size):
        slot = counts[1] % len(pending)
        error = abs(known_outcomes[row] - pending[slot, 0])
        if np.isfinite(error):
            _adapt(error, pending[slot, 1:], misses, step, len(pending) * step, levels)
            _remember(error, ordered, newest, counts)
        pending[slot, 0] = predictions[row]
        if counts[0] >= min_errors and np.isfinite(predictions[row]):
            for k in range(2):
                half[row, k] = _quantile(ordered, min(counts[0], ordered.size), levels[k])
        pending[slot, 1:] = half[row]
        counts[1] += 1
    return half


@njit(cache=True)
def _adapt(
    error: float,
    half: FloatArray,
    misses: FloatArray,
    step: float,
    reach: float,
    levels: FloatArray,
) -> None:
    """Move the levels; `reach`, the steps until an outcome tells, is how far they leave 0..1."""
    for k in range(2):
        if np.isfinite(half[k]):
            missed = 1.0 if error > half[k] else 0.0
            level = levels[k] + step * (misses[k] - missed)
            levels[k] = min(max(level, -reach), 1 + reach)


@njit(cache=True)
def _quantile(ordered: FloatArray, count: int, level: float) -> float:
    """Return the error that a share `level` of the window, and of the next one, exceeds."""
    rank = int(np.ceil((count + 1) * (1 - level) - 1e-9))
    return float(ordered[min(max(rank, 1), count) - 1])


@njit(cache=True)
def _remember(error: float, ordered: FloatArray, newest: FloatArray, counts: IntArray) -> None:
    """Put an error into the window, in order of size and in order of time; the oldest leaves."""
    size = min(counts[0], ordered.size)
    slot = counts[0] % ordered.size
    if size == ordered.size:
        size -= 1
        gap = np.searchsorted(ordered, newest[slot])
        for place in range(gap, size):
            ordered[place] = ordered[place + 1]
    place = size
    while place > 0 and ordered[place - 1] > error:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = error
    newest[slot] = error
    counts[0] += 1
