import os
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import DataError
from agent_market.learning.feature_store import FeatureStore, as_float32
from agent_market.learning.feature_table import FeatureBlock, FeatureTable

HOURS = np.array([-1, -1, 0, 0, 1, 1, 2], dtype=np.int32)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path)


@pytest.fixture
def table(store: FeatureStore) -> FeatureTable:
    """Seven base rows: one column of their own, and one of three slower rows, with a lag of one."""
    own = store.put("aa", pd.DataFrame({"%-own": np.arange(7.0)}), pd.DataFrame())
    slow = store.put("bb", pd.DataFrame({"%-slow": [10.0, 20.0, 30.0]}), pd.DataFrame())
    rows = store.array("cc", HOURS)
    blocks = (
        FeatureBlock(own.values, own.names),
        FeatureBlock(slow.values, slow.names, rows),
        FeatureBlock(slow.values, ("%-slow_shift-1",), rows, 1),
        FeatureBlock(own.values, ("%-own_shift-2",), None, 2),
    )
    return FeatureTable(blocks, store.array("dd", np.arange(7, dtype=np.int64)), "key")


def test_that_a_lag_counts_rows_of_the_blocks_own_timeframe(table: FeatureTable) -> None:
    nan = np.nan
    expected = np.array(
        [
            [0, nan, nan, nan],
            [1, nan, nan, nan],
            [2, 10, nan, 0],
            [3, 10, nan, 1],
            [4, 20, 10, 2],
            [5, 20, 10, 3],
            [6, 30, 20, 4],
        ],
        dtype=np.float32,
    )
    np.testing.assert_array_equal(table.read(0, 7), expected)
    assert table.names == ("%-own", "%-slow", "%-slow_shift-1", "%-own_shift-2")


def test_that_blocks_nobody_asked_for_in_two_weeks_are_removed(
    store: FeatureStore, tmp_path: Path
) -> None:
    for key in ("aa", "bb"):
        store.put(key, pd.DataFrame({"%-own": np.arange(7.0)}), pd.DataFrame())
    rows = {key: store.array(key, HOURS) for key in ("cc", "dd")}
    old = time.time() - 15 * 86_400
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (old, old))
    assert store.find("aa") is not None
    store.array("cc", HOURS)
    fresh = FeatureStore(tmp_path)
    assert fresh.find("aa") is not None and fresh.find("bb") is None
    assert rows["cc"].is_file() and not rows["dd"].is_file()


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (0, 1), (3, 5), (6, 7), (4, 4)])
def test_that_a_slice_is_the_slice_of_the_whole(table: FeatureTable, start: int, stop: int) -> None:
    np.testing.assert_array_equal(table.read(start, stop), table.read(0, 7)[start:stop])
    assert table.read(start, stop).flags.c_contiguous


def test_that_another_process_gets_paths_and_not_arrays(table: FeatureTable) -> None:
    whole = table.read(0, 7)
    sent = pickle.dumps(table)
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent).read(0, 7), whole)


def test_that_a_lag_before_the_data_is_missing_and_never_wraps(table: FeatureTable) -> None:
    assert np.isnan(table.read(0, 2)[:, 3]).all()


def test_that_a_damaged_block_is_not_found(store: FeatureStore) -> None:
    stored = store.put("ee", pd.DataFrame({"%-a": [1.0, 2.0]}), pd.DataFrame({"note": [1, 2]}))
    assert store.find("ee") == stored
    assert stored.read_extras()["note"].tolist() == [1, 2]
    file: Path = getattr(stored, "values")  # noqa: B009 - the linter takes it for pandas
    file.write_bytes(file.read_bytes()[:-1])
    assert store.find("ee") is None
    assert not file.exists()


def test_that_flags_and_infinite_values_become_numbers_and_nan() -> None:
    lagged = pd.Series([True, False, True]).shift(1)
    assert lagged.dtype == object  # as FreqAI hands lagged flags over
    frame = pd.DataFrame({"flag": [True, False, True], "lagged": lagged, "x": [1, np.inf, -np.inf]})
    expected = [[1, np.nan, 1], [0, 1, np.nan], [1, 0, np.nan]]
    np.testing.assert_array_equal(as_float32(frame), np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("values", [["a", "b"], ["1", "2"], pd.to_datetime(["2024", "2025"])])
def test_that_a_feature_that_is_no_number_is_refused(values: list[str]) -> None:
    with pytest.raises(DataError, match=r"%-name has dtype .* Features must be numbers"):
        as_float32(pd.DataFrame({"%-name": values}))
