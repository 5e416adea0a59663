"""Splitters that keep the future out of the training set, in scikit-learn's `split` protocol.

The label of a row is known only when its information interval (t, label end] has passed. Where the
interval of a training row overlaps that of a test row, both are made of the same prices, and a
model that remembers the one knows the other. The purge leaves out exactly those training rows; the
embargo leaves out more, for features that remember longer than the label lasts.

Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), chapters 7 and 12.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError
from agent_market.learning.bounds import require_at_least

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Span(NamedTuple):
    """Candles `first` to `last`, both included."""

    first: int
    last: int


class Fold(NamedTuple):
    """What one split tests, and the candles it may train on before the purge."""

    tests: tuple[Span, ...]
    train: Span


class _Rows(NamedTuple):
    """The candle number of each row, where its label ends, and the sorted numbers themselves."""

    candle: IntArray
    end: IntArray
    timeline: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PurgedSplitter(ABC):
    """Base of the splitters.

    Parameters
    ----------
    horizon : int, optional
        Length of every label in candles, at least 1. Give it or `label_end`.
    label_end : array-like of shape (n_rows,), optional
        Number of the last candle that each label uses, as `LabelSpec.label_end` returns it.
    embargo : int
        Candles kept out of the training set between a test block and the training rows after it,
        beyond the purge. Splitters that train on the past alone keep it before the test block.
    """

    horizon: int | None = None
    label_end: npt.ArrayLike | None = None
    embargo: int = 0

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.horizon is None) == (self.label_end is None):
            raise ConfigError(
                f"{name}: horizon is {self.horizon} and label_end "
                f"{'not ' if self.label_end is None else ''}given. Give one of the two."
            )
        if self.horizon is not None:
            require_at_least(self, "horizon", 1)
        require_at_least(self, "embargo", 0)

    @abstractmethod
    def get_n_splits(
        self, X: Sized | None = None, y: object = None, groups: npt.ArrayLike | None = None
    ) -> int:
        """Return the number of splits."""

    def split(
        self, X: Sized, y: object = None, groups: npt.ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the row numbers to train on and to test on, ascending.

        Parameters
        ----------
        X : array-like of shape (n_rows, ...)
            Only its length is used.
        y : ignored
            For scikit-learn.
        groups : array-like of shape (n_rows,), int, optional
            The candle number of each row. Give it where rows were dropped, or where the rows of
            several pairs are stacked: rows of one candle are never parted. None: row t is candle t.

        Raises
        ------
        ConfigError
            There are too few rows, the purge leaves nothing to train on, or an array does not fit.
        """
        rows = self._rows(X, groups)
        for number, fold in enumerate(self._folds(rows.timeline)):
            train, test = self._masks(rows, fold)
            if not train.any():
                raise ConfigError(
                    f"{type(self).__name__}: purge and embargo leave no row to train on in split "
                    f"{number}, which tests {int(test.sum())} of {len(test)} rows. Use more data, "
                    "fewer or smaller test blocks, a shorter horizon or a smaller embargo."
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    @abstractmethod
    def _folds(self, timeline: IntArray) -> Iterator[Fold]:
        """Yield the folds of sorted, distinct candle numbers."""

    def _masks(self, rows: _Rows, fold: Fold) -> tuple[BoolArray, BoolArray]:
        train = _within(rows.candle, fold.train)
        test = np.zeros_like(train)
        for span in fold.tests:
            block = _within(rows.candle, span)
            known = int(rows.end[block].max())  # the candle at which the last test label is known
            train &= ~self._overlaps(rows, span, known)
            test |= block
        return train & ~test, test

    def _overlaps(self, rows: _Rows, test: Span, known: int) -> BoolArray:
        return (rows.end > test.first) & (rows.candle < known + self.embargo)

    def _rows(self, X: Sized, groups: npt.ArrayLike | None) -> _Rows:
        n_rows = len(X)
        candle = np.arange(n_rows) if groups is None else _integers(groups, n_rows, "groups")
        if self.label_end is None:
            end = candle + (self.horizon or 0)
        else:
            end = _integers(self.label_end, n_rows, "label_end")
        self._require_future(candle, end)
        return _Rows(candle, end, np.unique(candle))

    def _require_future(self, candle: IntArray, end: IntArray) -> None:
        early = np.flatnonzero(end <= candle)
        if early.size:
            row = int(early[0])
            raise ConfigError(
                f"{type(self).__name__}: the label of row {row}, candle {candle[row]}, ends at "
                f"candle {end[row]}. A label ends after its own candle: pass LabelSpec.label_end."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class _ForwardSplitter(PurgedSplitter):
    """Base of splitters that train on nothing after the test block."""

    def _overlaps(self, rows: _Rows, test: Span, known: int) -> BoolArray:
        return rows.end + self.embargo > test.first


@dataclass(frozen=True, kw_only=True, eq=False)
class PurgedHoldout(_ForwardSplitter):
    """Train on the first rows, test on the last.

    Parameters
    ----------
    test_share : float
        Share of the candles that are tested, above 0 and below 1; rounded, at least one candle.
    """

    test_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.test_share < 1:
            raise ConfigError(
                f"PurgedHoldout: test_share is {self.test_share}. Take a share between 0 and 1."
            )

    def get_n_splits(
        self, X: Sized | None = None, y: object = None, groups: npt.ArrayLike | None = None
    ) -> int:
        """Return 1."""
        return 1

    def _folds(self, timeline: IntArray) -> Iterator[Fold]:
        _require_candles(self, timeline, 2)
        first = timeline.size - max(1, round(timeline.size * self.test_share))
        yield Fold((_span(timeline[first:]),), _span(timeline))


@dataclass(frozen=True, kw_only=True, eq=False)
class PurgedKFold(PurgedSplitter):
    """Test each of `n_splits` consecutive blocks once, train on what is left on both sides."""

    n_splits: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "n_splits", 2)

    def get_n_splits(
        self, X: Sized | None = None, y: object = None, groups: npt.ArrayLike | None = None
    ) -> int:
        """Return `n_splits`."""
        return self.n_splits

    def _folds(self, timeline: IntArray) -> Iterator[Fold]:
        _require_candles(self, timeline, self.n_splits)
        for block in np.array_split(timeline, self.n_splits):
            yield Fold((_span(block),), _span(timeline))


@dataclass(frozen=True, kw_only=True, eq=False)
class WalkForward(_ForwardSplitter):
    """Test block after block, each with a model trained on the candles before it.

    The test blocks cover every candle from `train_length` on, once; the last one may be shorter.

    Parameters
    ----------
    train_length : int
        Candles before a test block that it is trained on; the purge is taken out of them.
    step : int
        Candles of a test block.
    expanding : bool
        Train on all candles before the test block, and at least on `train_length`.
    """

    train_length: int
    step: int
    expanding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "train_length", 1)
        require_at_least(self, "step", 1)

    def get_n_splits(
        self, X: Sized | None = None, y: object = None, groups: npt.ArrayLike | None = None
    ) -> int:
        """Return the number of test blocks in `X`."""
        if X is None:
            raise ConfigError("WalkForward: the number of splits depends on the data. Pass X.")
        return len(list(self._folds(self._rows(X, groups).timeline)))

    def _folds(self, timeline: IntArray) -> Iterator[Fold]:
        _require_candles(self, timeline, self.train_length + 1)
        for start in range(self.train_length, timeline.size, self.step):
            since = 0 if self.expanding else start - self.train_length
            test = _span(timeline[start : start + self.step])
            yield Fold((test,), _span(timeline[since:start]))


@dataclass(frozen=True, kw_only=True, eq=False)
class CombinatorialPurged(PurgedSplitter):
    """Test every choice of `n_test_groups` out of `n_groups` consecutive groups.

    Each candle is tested in `n_paths` splits, so the test predictions make `n_paths` histories of
    the whole data and not one.

    Parameters
    ----------
    n_groups : int
        Consecutive groups of candles, at least 2.
    n_test_groups : int
        How many of them a split tests, at least 1 and fewer than `n_groups`.
    max_splits : int
        More splits than that are refused.
    """

    n_groups: int = 6
    n_test_groups: int = 2
    max_splits: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, "n_groups", 2)
        require_at_least(self, "n_test_groups", 1)
        if self.n_test_groups >= self.n_groups:
            raise ConfigError(
                f"CombinatorialPurged: n_test_groups is {self.n_test_groups} of n_groups = "
                f"{self.n_groups}, which leaves nothing to train on. Test fewer groups."
            )
        if self.get_n_splits() > self.max_splits:
            raise ConfigError(
                f"CombinatorialPurged: n_groups = {self.n_groups} and n_test_groups = "
                f"{self.n_test_groups} make {self.get_n_splits():,} splits, and as many models to "
                f"fit, for {self.n_paths:,} paths. Lower n_groups or n_test_groups (10 and 2 make "
                "45 splits), or raise max_splits if you mean it."
            )

    @property
    def n_paths(self) -> int:
        """Number of splits that test each candle."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    def get_n_splits(
        self, X: Sized | None = None, y: object = None, groups: npt.ArrayLike | None = None
    ) -> int:
        """Return the number of choices: `n_groups` over `n_test_groups`."""
        return comb(self.n_groups, self.n_test_groups)

    def _folds(self, timeline: IntArray) -> Iterator[Fold]:
        _require_candles(self, timeline, self.n_groups)
        blocks = [_span(block) for block in np.array_split(timeline, self.n_groups)]
        for tests in combinations(blocks, self.n_test_groups):
            yield Fold(tests, _span(timeline))


def _within(candle: IntArray, span: Span) -> BoolArray:
    return (candle >= span.first) & (candle <= span.last)


def _span(timeline: IntArray) -> Span:
    return Span(int(timeline[0]), int(timeline[-1]))


def _integers(values: npt.ArrayLike, n_rows: int, name: str) -> IntArray:
    array = np.asarray(values)
    if array.shape != (n_rows,) or not np.issubdtype(array.dtype, np.integer):
        raise ConfigError(
            f"{name} has the shape {array.shape} and the type {array.dtype}; X has {n_rows} rows. "
            f"Pass one whole number a row."
        )
    return array.astype(np.int64)


def _require_candles(splitter: PurgedSplitter, timeline: IntArray, needed: int) -> None:
    if timeline.size < needed:
        raise ConfigError(
            f"{type(splitter).__name__}: {timeline.size} candles cannot be split; at least "
            f"{needed} are needed. Use more data or a smaller split."
        )
