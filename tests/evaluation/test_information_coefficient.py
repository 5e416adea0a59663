import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from agent_market.evaluation import (
    clustered_mean,
    forward_returns,
    hit_rate,
    information_coefficient,
    information_coefficient_error,
)

VALUES = hnp.arrays(np.float64, st.integers(3, 40), elements=st.integers(-50, 50).map(float))
PAIRED = hnp.arrays(
    np.float64, st.tuples(st.just(2), st.integers(3, 40)), elements=st.integers(-50, 50).map(float)
)


@given(PAIRED)
def test_that_the_coefficient_equals_scipys(paired):
    x, y = paired
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    assert information_coefficient(x, y) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-9)
    rank = information_coefficient(x, y, "spearman")
    assert rank == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)


@given(PAIRED, st.sampled_from(["pearson", "spearman"]))
def test_that_the_coefficient_is_bounded_symmetric_and_turns_sign(paired, method):
    x, y = paired
    value = information_coefficient(x, y, method)
    assume(math.isfinite(value))
    assert -1 <= value <= 1
    assert information_coefficient(y, x, method) == pytest.approx(value, abs=1e-12)
    assert information_coefficient(-x, y, method) == pytest.approx(-value, abs=1e-12)
    assert information_coefficient(3 * x + 7, y, method) == pytest.approx(value, abs=1e-9)


@given(VALUES)
def test_that_rank_coefficient_ignores_a_monotone_change(x):
    assume(np.ptp(x) > 0)
    assert information_coefficient(np.exp(x / 10), x, "spearman") == pytest.approx(1.0)


def test_that_rows_with_nan_or_infinity_are_dropped():
    x = np.array([1.0, 2.0, 3.0, np.nan, 9.0, np.inf])
    y = np.array([2.0, 1.0, 4.0, 5.0, np.nan, 1.0])
    expected = information_coefficient(x[:3], y[:3])
    assert information_coefficient(x, y) == expected


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([], []),
        ([np.nan] * 5, [1] * 5),
    ],
)
def test_that_too_few_or_constant_rows_give_nan(x, y):
    assert math.isnan(information_coefficient(np.array(x, float), np.array(y, float)))
    assert math.isnan(information_coefficient_error(np.array(x, float), np.array(y, float), 3))


def test_that_forward_returns_are_those_worked_out_by_hand():
    dates = pd.date_range("2024-01-01", periods=4, freq="5min", tz="UTC")
    candles = pd.DataFrame({"date": dates, "close": [100.0, 110.0, 99.0, 120.0]})
    found = forward_returns(candles, 2, "5m")
    np.testing.assert_allclose(found, [-0.01, 120 / 110 - 1, np.nan, np.nan])
    assert list(found.index) == list(dates)


def test_that_a_gap_gives_nan_and_not_a_return_over_a_longer_span():
    dates = pd.date_range("2024-01-01", periods=5, freq="5min", tz="UTC").delete(2)
    candles = pd.DataFrame({"date": dates, "close": [1.0, 2.0, 4.0, 8.0]})
    np.testing.assert_allclose(forward_returns(candles, 1, "5m"), [1.0, np.nan, 1.0, np.nan])


def test_that_the_standard_error_matches_simulated_overlapping_labels():
    rng = np.random.default_rng(5)
    horizon, rows, runs = 12, 600, 300
    found, errors = [], []
    for _ in range(runs):
        returns = rng.normal(size=rows + horizon)
        label = np.convolve(returns, np.ones(horizon), "valid")[1:]
        prediction = np.zeros(rows)
        for t in range(1, rows):
            prediction[t] = 0.95 * prediction[t - 1] + rng.normal()
        found.append(information_coefficient(prediction, label))
        errors.append(information_coefficient_error(prediction, label, horizon))
    spread = np.std(found)
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)
    # What an error that takes rows for independent would claim.
    assert spread > 2.5 / math.sqrt(rows)


def test_that_without_overlap_the_standard_error_is_that_of_independent_rows():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 400))
    assert information_coefficient_error(x, y, 1) == pytest.approx(1 / 20)


def test_that_hit_rate_counts_signs_and_leaves_zeros_out():
    prediction = np.array([1.0, -1.0, 2.0, 0.0, -3.0, np.nan])
    realized = np.array([0.5, 0.5, 1.0, 1.0, 0.0, 1.0])
    assert hit_rate(prediction, realized) == pytest.approx(2 / 3)
    assert math.isnan(hit_rate(np.zeros(4), np.ones(4)))


def test_that_clusters_of_one_give_the_classical_standard_error():
    values = np.random.default_rng(1).normal(size=25)
    found = clustered_mean(values, np.arange(25))
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(stats.sem(values))
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_that_repeating_every_value_within_its_cluster_adds_no_evidence():
    values = np.random.default_rng(2).normal(size=12)
    once = clustered_mean(values, np.arange(12))
    thrice = clustered_mean(np.repeat(values, 3), np.repeat(np.arange(12), 3))
    assert thrice == pytest.approx(once)


def test_that_related_neighbors_widen_the_error_once_a_lag_is_allowed():
    values = np.sin(np.arange(40) / 6)
    alone = clustered_mean(values, np.arange(40))
    related = clustered_mean(values, np.arange(40), lag=5)
    assert related.standard_error > 1.5 * alone.standard_error


def test_that_one_cluster_has_a_mean_but_no_error():
    found = clustered_mean(np.array([0.1, 0.3, np.nan]), np.zeros(3))
    assert found.mean == pytest.approx(0.2)
    assert math.isnan(found.standard_error) and found.n_clusters == 1
    assert clustered_mean(np.array([np.nan]), np.zeros(1)).n_clusters == 0
