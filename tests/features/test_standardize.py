import numpy as np
import pandas as pd
import pytest

from agent_market.features import STANDARDIZATIONS, rolling_rank, winsorize


def test_that_a_rank_is_the_share_below() -> None:
    ranks = rolling_rank(pd.Series([3.0, 1.0, 2.0, 9.0, 2.0]), 4)
    assert ranks.isna().sum() == 3
    assert list(ranks[3:]) == [0.875, 0.5]  # of 1, 2, 9, 2 the 2s share their places


def test_that_an_outlier_is_moved_to_the_fence_and_nothing_else_is() -> None:
    values = pd.Series(np.random.default_rng(0).normal(size=500))
    values[400] = 1000.0
    found = winsorize(values, 100)
    window = values[301:401]
    first, third = window.quantile([0.25, 0.75])
    assert found[400] == pytest.approx(third + 5 * (third - first))
    rest = values.drop(400)[99:]
    pd.testing.assert_series_equal(found.drop(400)[99:], rest, check_exact=True)


@pytest.mark.parametrize("name", STANDARDIZATIONS)
def test_that_a_column_that_stands_still_stays_finite(name: str) -> None:
    found = STANDARDIZATIONS[name](pd.Series([2.0] * 50), 10)
    assert np.isfinite(found[9:]).all()


@pytest.mark.parametrize("name", ["zscore", "rank"])
def test_that_scale_and_place_do_not_matter(name: str) -> None:
    values = pd.Series(np.random.default_rng(1).normal(size=300))
    ours, theirs = STANDARDIZATIONS[name](values, 50), STANDARDIZATIONS[name](8 * values + 3, 50)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
