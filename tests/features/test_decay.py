import numpy as np
import pandas as pd

from agent_market.features import decayed_mean


def test_that_a_constant_is_its_own_mean() -> None:
    means = decayed_mean(pd.Series(np.full(100, 3.0)), 4.0)
    assert means.isna().sum() == 39
    np.testing.assert_allclose(means.dropna(), 3.0)


def test_that_it_is_close_to_an_average_without_an_end() -> None:
    values = pd.Series(np.random.default_rng(0).normal(size=3000))
    ours, endless = decayed_mean(values, 6.0), values.ewm(halflife=6.0).mean()
    assert np.abs(ours - endless).max() < 0.005


def test_that_a_value_does_not_depend_on_where_the_history_starts() -> None:
    values = pd.Series(np.random.default_rng(1).normal(size=2000)) * 1e8
    whole, late = decayed_mean(values, 5.0), decayed_mean(values.iloc[777:], 5.0).dropna()
    pd.testing.assert_series_equal(late, whole.loc[late.index], check_exact=True)


def test_that_a_nan_blanks_only_the_rows_that_read_it() -> None:
    values = pd.Series(np.ones(100))
    values[30] = np.nan
    missing = decayed_mean(values, 2.0).isna()
    assert list(np.flatnonzero(missing)) == [*range(19), *range(30, 50)]
