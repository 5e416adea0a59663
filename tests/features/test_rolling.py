import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.features.rolling import rolling_mean, rolling_std, rolling_sum, rolling_zscore


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.integers(min_value=2, max_value=20),
)
def test_that_statistics_equal_those_of_pandas(values: list[float], window: int) -> None:
    series = pd.Series(values)
    rolling = series.rolling(window)
    for ours, theirs in (
        (rolling_mean(series, window), rolling.mean()),
        (rolling_sum(series, window), rolling.sum()),
        (rolling_std(series, window), rolling.std()),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-3)


def test_that_a_value_does_not_depend_on_where_the_history_starts() -> None:
    series = pd.Series(np.random.default_rng(1).normal(size=5000)) * 1e8
    for statistic in (rolling_mean, rolling_std, rolling_sum, rolling_zscore):
        whole = statistic(series, 50)
        for start in (1, 777, 4000):
            late = statistic(series.iloc[start:], 50).dropna()
            pd.testing.assert_series_equal(late, whole.loc[late.index], check_exact=True)


def test_that_a_nan_blanks_only_the_windows_that_hold_it() -> None:
    series = pd.Series(np.arange(10.0))
    series[4] = np.nan
    assert (
        list(rolling_mean(series, 3).isna())
        == [True, True] + [False] * 2 + [True] * 3 + [False] * 3
    )


def test_that_a_constant_window_has_no_z_score() -> None:
    assert rolling_zscore(pd.Series([1.0] * 5), 3).isna().all()


@pytest.mark.parametrize("rows", [0, 1])
def test_that_a_history_shorter_than_the_window_is_nan(rows: int) -> None:
    assert rolling_mean(pd.Series([1.0] * rows), 2).isna().all()
