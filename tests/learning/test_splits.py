from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from agent_market.errors import ConfigError
from agent_market.learning.splits import (
    CombinatorialPurged,
    PurgedHoldout,
    PurgedKFold,
    PurgedSplitter,
    WalkForward,
)

IntArray = npt.NDArray[np.int64]
Split = tuple[IntArray, IntArray]


class Case(NamedTuple):
    """Rows with a candle number and a label end each, and the labels' part of the settings."""

    candle: IntArray
    end: IntArray
    embargo: int
    settings: dict[str, Any]

    def split(self, splitter: PurgedSplitter) -> list[Split]:
        try:
            return list(splitter.split(self.candle, groups=self.candle))
        except ConfigError as error:
            if "leave no row to train on" not in str(error):
                raise
            reject()

    def overlaps(self, train: int, tests: IntArray) -> bool:
        """Compare the half-open intervals one by one, as the definition says."""
        start, end = self.candle[train], self.end[train]
        return bool(((start < self.end[tests]) & (self.candle[tests] < end)).any())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw rows with gaps and with several rows a candle, in any order."""
    n_rows = draw(st.integers(60, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    candle = rng.permutation(np.cumsum(rng.choice([0, 1, 1, 1, 3], n_rows)))
    embargo = draw(st.integers(0, 5))
    if draw(st.booleans()):
        horizon = draw(st.integers(1, 8))
        return Case(candle, candle + horizon, embargo, {"horizon": horizon, "embargo": embargo})
    end = candle + rng.integers(1, 9, n_rows)
    return Case(candle, end, embargo, {"label_end": end, "embargo": embargo})


def _blocks(case: Case, tests: IntArray, count: int) -> list[IntArray]:
    """Return the test rows by the group of candles they belong to."""
    groups = np.array_split(np.unique(case.candle), count)
    blocks = [tests[np.isin(case.candle[tests], group)] for group in groups]
    return [block for block in blocks if block.size]


def _assert_exact(case: Case, split: Split, blocks: list[IntArray]) -> None:
    """Nothing that overlaps or is embargoed trains, and all that does not, does."""
    train, tests = split
    assert not np.intersect1d(train, tests).size
    for row in np.setdiff1d(np.arange(len(case.candle)), tests):
        known = [case.end[block].max() for block in blocks]
        embargoed = any(end <= case.candle[row] < end + case.embargo for end in known)
        assert (row in train) == (not embargoed and not case.overlaps(row, tests)), row


@given(cases(), st.integers(2, 6))
def test_that_k_fold_purges_what_overlaps_and_no_more(case: Case, n_splits: int) -> None:
    splitter = PurgedKFold(n_splits=n_splits, **case.settings)
    splits = case.split(splitter)
    assert len(splits) == splitter.get_n_splits() == n_splits
    tested = np.sort(np.concatenate([tests for _, tests in splits]))
    assert tested.tolist() == list(range(len(case.candle)))
    for split in splits:
        _assert_exact(case, split, _blocks(case, split[1], n_splits))


@given(cases(), st.integers(3, 6), st.integers(1, 2))
def test_that_combinatorial_splits_purge_around_every_test_group(
    case: Case, n_groups: int, n_test_groups: int
) -> None:
    splitter = CombinatorialPurged(n_groups=n_groups, n_test_groups=n_test_groups, **case.settings)
    splits = case.split(splitter)
    assert len(splits) == splitter.get_n_splits()
    tested = np.bincount(np.concatenate([tests for _, tests in splits]))
    assert tested.tolist() == [splitter.n_paths] * len(case.candle)
    groups = np.array_split(np.unique(case.candle), n_groups)
    for (train, tests), chosen in zip(splits, combinations(groups, n_test_groups), strict=True):
        assert set(case.candle[tests]) == set(np.concatenate(chosen))
        _assert_exact(case, (train, tests), _blocks(case, tests, n_groups))


@given(cases(), st.integers(15, 30), st.integers(1, 20), st.booleans())
def test_that_walk_forward_trains_on_the_past_alone(
    case: Case, train_length: int, step: int, expanding: bool
) -> None:
    splitter = WalkForward(
        train_length=train_length, step=step, expanding=expanding, **case.settings
    )
    timeline = np.unique(case.candle)
    splits = case.split(splitter)
    assert len(splits) == splitter.get_n_splits(case.candle, groups=case.candle)
    for number, (train, tests) in enumerate(splits):
        first = train_length + number * step
        assert set(case.candle[tests]) == set(timeline[first : first + step])
        start = timeline[first]
        since = timeline[0 if expanding else first - train_length]
        fits = (case.candle >= since) & (case.end + case.embargo <= start)
        assert train.tolist() == np.flatnonzero(fits).tolist()
        assert case.candle[train].max() < start
        assert not any(case.overlaps(row, tests) for row in train)
    tested = np.concatenate([tests for _, tests in splits])
    assert sorted(case.candle[tested]) == sorted(case.candle[case.candle >= timeline[train_length]])


@given(cases(), st.floats(0.01, 0.6))
def test_that_the_holdout_is_the_end_and_known_labels_train(case: Case, share: float) -> None:
    ((train, tests),) = case.split(PurgedHoldout(test_share=share, **case.settings))
    timeline = np.unique(case.candle)
    count = max(1, round(timeline.size * share))
    assert set(case.candle[tests]) == set(timeline[-count:])
    fits = case.end + case.embargo <= timeline[-count]
    assert train.tolist() == np.flatnonzero(fits).tolist()


def test_that_numbers_come_out_as_computed_by_hand() -> None:
    splits = list(PurgedKFold(n_splits=2, horizon=2, embargo=1).split(np.zeros(10)))
    # rows 0-4 are tested; the label of row 4 ends at 6, so row 6 may train, were it not embargoed
    assert [list(train) for train, _ in splits] == [[7, 8, 9], [0, 1, 2, 3]]
    walk = list(WalkForward(train_length=4, step=3, horizon=2).split(np.zeros(10)))
    assert [list(train) for train, _ in walk] == [[0, 1, 2], [3, 4, 5]]
    assert [list(tests) for _, tests in walk] == [[4, 5, 6], [7, 8, 9]]


def test_that_a_row_dropped_does_not_stretch_the_purge() -> None:
    candle = np.array([0, 1, 2, 3, 10, 11, 12, 13])
    splitter = PurgedKFold(n_splits=2, horizon=3)
    assert [list(train) for train, _ in splitter.split(candle, groups=candle)] == [
        [4, 5, 6, 7],
        [0, 1, 2, 3],
    ]
    assert [list(train) for train, _ in splitter.split(candle)] == [[6, 7], [0, 1]]


def test_that_rows_of_one_candle_are_never_parted() -> None:
    candle = np.tile(np.arange(30), 4)  # four pairs, one after the other
    splitter = PurgedKFold(n_splits=3, horizon=4, embargo=2)
    for train, tests in splitter.split(candle, groups=candle):
        assert not set(candle[train]) & set(candle[tests])
        assert train.size % 4 == tests.size % 4 == 0


@pytest.mark.parametrize(
    "splitter",
    [
        PurgedHoldout(horizon=5),
        PurgedKFold(horizon=5, embargo=3),
        WalkForward(train_length=50, step=25, horizon=5),
        CombinatorialPurged(horizon=5),
    ],
    ids=lambda splitter: type(splitter).__name__,
)
def test_that_scikit_learn_takes_every_splitter(splitter: PurgedSplitter) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    labels = features @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 200)
    scores = cross_val_score(Ridge(), features, labels, cv=splitter)
    assert len(scores) == splitter.get_n_splits(features) and scores.min() > 0.99
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e6]}, cv=splitter).fit(features, labels)
    assert search.best_params_ == {"alpha": 0.1}


def test_that_path_and_split_counts_agree_with_the_literature() -> None:
    splitter = CombinatorialPurged(n_groups=6, n_test_groups=2, horizon=1)
    assert (splitter.get_n_splits(), splitter.n_paths) == (15, 5)


def test_that_absurd_numbers_of_splits_are_refused_with_their_consequence() -> None:
    with pytest.raises(ConfigError, match=r"12,870 splits, and as many models.*6,435 paths"):
        CombinatorialPurged(n_groups=16, n_test_groups=8, horizon=1)
    assert (
        CombinatorialPurged(
            n_groups=16, n_test_groups=8, horizon=1, max_splits=12_870
        ).get_n_splits()
        == 12_870
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PurgedKFold(), "horizon is None and label_end not given"),
        (lambda: PurgedKFold(horizon=1, label_end=[1]), "horizon is 1 and label_end given"),
        (lambda: PurgedKFold(horizon=0), "horizon is 0. Take at least 1"),
        (lambda: PurgedKFold(horizon=1, embargo=-1), "embargo is -1"),
        (lambda: PurgedKFold(horizon=1, n_splits=1), "n_splits is 1"),
        (lambda: PurgedHoldout(horizon=1, test_share=1.5), "test_share is 1.5"),
        (lambda: WalkForward(horizon=1, train_length=0, step=1), "train_length is 0"),
        (lambda: WalkForward(horizon=1, train_length=1, step=1).get_n_splits(), "Pass X"),
        (lambda: CombinatorialPurged(horizon=1, n_groups=3, n_test_groups=3), "nothing to train"),
        (lambda: _run(PurgedKFold(horizon=1, n_splits=5), 4), "4 candles cannot be split"),
        (lambda: _run(WalkForward(horizon=1, train_length=9, step=1), 9), "at least 10"),
        (lambda: _run(PurgedKFold(horizon=9), 10), "no row to train on in split 0, which tests 2"),
        (lambda: _run(PurgedKFold(label_end=[1, 2]), 10), r"label_end has the shape \(2,\)"),
        (lambda: _run(PurgedKFold(label_end=np.arange(10.0)), 10), "type float64"),
        (lambda: _run(PurgedKFold(label_end=np.arange(10)), 10), "row 0, candle 0, ends at"),
    ],
)
def test_that_a_mistake_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def _run(splitter: PurgedSplitter, n_rows: int) -> list[Split]:
    return list(splitter.split(np.zeros(n_rows)))


def test_that_splits_are_in_order_and_ascending() -> None:
    splits = _run(PurgedKFold(horizon=3), 100)
    assert all(before[1].max() < after[1].min() for before, after in pairwise(splits))
    assert all((np.diff(train) > 0).all() for train, _ in splits)
