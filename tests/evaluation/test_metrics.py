import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.evaluation.metrics import (
    daily_returns,
    drawdown,
    max_drawdown,
    profit_factor,
    sharpe_interval,
    sharpe_ratio,
    sortino_ratio,
    win_rate,
)


def _equity(values, freq="1D"):
    return pd.Series(values, pd.date_range("2024-01-01", periods=len(values), freq=freq, tz="UTC"))


def test_that_sharpe_and_sortino_are_those_worked_out_by_hand():
    returns = np.array([0.01, -0.02, 0.03, 0.02, np.nan])
    # mean 0.01, variance (0 + 0.0009 + 0.0004 + 0.0001) / 3, downside 0.0004 / 4
    assert sharpe_ratio(returns) == pytest.approx(0.01 / math.sqrt(0.0014 / 3) * math.sqrt(365))
    assert sortino_ratio(returns) == pytest.approx(0.01 / 0.01 * math.sqrt(365))


@pytest.mark.parametrize("returns", [[], [0.01], [0.01] * 20, [0.0] * 20])
def test_that_a_ratio_without_variation_is_nan(returns):
    assert math.isnan(sharpe_ratio(np.array(returns)))
    assert all(map(math.isnan, sharpe_interval(np.array(returns))))


def test_that_the_interval_repeats_by_seed_and_holds_the_ratio():
    returns = np.random.default_rng(3).normal(0.001, 0.02, 120)
    first = sharpe_interval(returns, seed=1)
    assert first == sharpe_interval(returns, seed=1) != sharpe_interval(returns, seed=2)
    assert first.low < sharpe_ratio(returns) < first.high


def test_that_the_interval_covers_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    true = 0.05 * math.sqrt(365)
    intervals = [
        sharpe_interval(rng.normal(0.001, 0.02, 120), seed=n, resamples=400) for n in range(200)
    ]
    covered = np.mean([low <= true <= high for low, high in intervals])
    assert 0.88 <= covered <= 0.99


def test_that_nine_days_have_no_interval():
    assert all(map(math.isnan, sharpe_interval(np.linspace(-1, 1, 9))))


def test_that_drawdown_is_the_fall_from_the_running_maximum():
    equity = _equity([100.0, 120.0, 90.0, 130.0, 117.0])
    np.testing.assert_allclose(drawdown(equity), [0, 0, 0.25, 0, 0.1])
    assert max_drawdown(equity) == pytest.approx(0.25)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60), st.floats(0.01, 100))
def test_that_drawdown_stays_in_bounds_and_ignores_the_unit(values, unit):
    equity = _equity(values)
    falls = drawdown(equity)
    assert falls.between(0, 1, inclusive="left").all()
    np.testing.assert_allclose(drawdown(equity * unit), falls, atol=1e-9)
    # Row t uses rows <= t.
    np.testing.assert_array_equal(drawdown(equity.iloc[:1]), falls.iloc[:1])


@given(st.lists(st.floats(10, 1000), min_size=2, max_size=200))
def test_that_daily_returns_compound_to_the_whole_return(values):
    equity = _equity(values, "3h")
    returns = daily_returns(equity)
    if equity.index[-1] - equity.index[0] < pd.Timedelta(hours=12):
        assert returns.empty
    else:
        total = equity.iloc[-1] / equity.iloc[0]
        assert np.prod(1 + returns) == pytest.approx(total)


def test_that_a_short_rest_joins_the_last_day_and_a_long_one_is_its_own():
    short = _equity(np.arange(1.0, 50.0 + 5), "1h")
    assert list(daily_returns(short).index) == [short.index[24], short.index[-1]]
    long = _equity(np.arange(1.0, 50.0 + 20), "1h")
    assert list(daily_returns(long).index) == [long.index[24], long.index[48], long.index[-1]]


def test_that_trade_ratios_are_those_worked_out_by_hand():
    profits = np.array([10.0, -4.0, 6.0, -4.0, 0.0, np.nan])
    assert profit_factor(profits) == pytest.approx(2.0)
    assert win_rate(profits) == pytest.approx(0.4)
    assert math.isnan(profit_factor(np.array([1.0, 2.0])))
    assert math.isnan(win_rate(np.array([])))
