"""Intervals of correlations over rows that are no independent evidence.

A label over h candles shares h - 1 of them with the next row's. The moving-block bootstrap
(Kuensch 1989; circular form of Politis and Romano 1992) draws whole blocks of candles, all pairs
of a candle together, so that both kinds of dependence stay in every draw.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from agent_market.evaluation.metrics import Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RESAMPLES = 1000
MIN_BLOCKS = 10
_CHUNK = 50


def block_length(n_candles: int, horizon: int) -> int:
    """Return the length of a block in candles: twice the horizon, at least n^(1/3)."""
    return max(2 * horizon, math.ceil(math.cbrt(n_candles)))


def block_starts(n_candles: int, length: int, seed: int, resamples: int = RESAMPLES) -> IntArray:
    """Return where the blocks of each resample begin, shape (resamples, n_blocks).

    Empty, shape (0, n_blocks), where the candles hold fewer than ten blocks: no interval then.
    """
    n_blocks = math.ceil(n_candles / length)
    draws = resamples if n_candles >= MIN_BLOCKS * length else 0
    return np.random.default_rng(seed).integers(0, max(1, n_candles), size=(draws, n_blocks))


def coefficient_draws(
    prediction: FloatArray, realized: FloatArray, starts: IntArray, length: int
) -> FloatArray:
    """Return the mean correlation over pairs in each resample, shape (n_resamples,).

    Parameters
    ----------
    prediction, realized : ndarray of shape (n_candles, n_pairs)
        Rows where either is NaN count for nothing.
    starts : ndarray of shape (n_resamples, n_blocks)
        Of `block_starts`; two predictions drawn with one array are paired.
    """
    sums = _block_sums(_moments(prediction, realized), length)
    chunks = [
        _correlation(sums[starts[first : first + _CHUNK]].sum(axis=1))
        for first in range(0, len(starts), _CHUNK)
    ]
    if not chunks:
        return np.empty(0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(np.concatenate(chunks), axis=1), dtype=np.float64)


def percentile_interval(draws: FloatArray, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of draws; NaN where there are none."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return Interval(math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _moments(prediction: FloatArray, realized: FloatArray) -> FloatArray:
    """Return count, x, y, xx, yy, xy of each row and pair, shape (n_candles, n_pairs, 6)."""
    known = np.isfinite(prediction) & np.isfinite(realized)
    x, y = _standardized(prediction, known), _standardized(realized, known)
    return np.stack([known.astype(np.float64), x, y, x * x, y * y, x * y], axis=-1)


def _standardized(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Return each pair's known rows with mean 0 and spread 1, the others 0."""
    kept = np.where(known, values, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    centered = np.where(known, kept - kept.sum(axis=0) / count, 0.0)
    spread = np.sqrt((centered**2).sum(axis=0) / count)
    return np.asarray(centered / np.where(spread > 0, spread, 1.0), dtype=np.float64)


def _block_sums(moments: FloatArray, length: int) -> FloatArray:
    """Return the sum of the `length` rows from each row on, around the end."""
    wrapped = np.concatenate([np.zeros_like(moments[:1]), moments, moments[: length - 1]])
    total = np.cumsum(wrapped, axis=0)
    return np.asarray(total[length:] - total[:-length], dtype=np.float64)


def _correlation(sums: FloatArray) -> FloatArray:
    """Return correlations of shape (n, n_pairs) from sums of shape (n, n_pairs, 6)."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = xy - x * y / count
        spread = np.sqrt((xx - x * x / count) * (yy - y * y / count))
        return np.asarray(np.where(spread > 1e-9 * count, covariance / spread, np.nan))
