import numpy as np

from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.evaluation.training.bootstrap import (
    block_length,
    block_starts,
    coefficient_draws,
    percentile_interval,
)


def _interval(x, y, horizon, seed=0):
    length = block_length(len(x), horizon)
    draws = coefficient_draws(x, y, block_starts(len(x), length, seed, 300), length)
    return percentile_interval(draws)


def _overlapping(rng, n_rows, horizon):
    """Persistent noise that knows nothing of the overlapping returns beside it."""
    steps = rng.normal(size=n_rows + horizon)
    label = np.convolve(steps, np.ones(horizon), "valid")[:n_rows]
    prediction = np.convolve(rng.normal(size=n_rows + horizon), np.ones(horizon), "valid")[:n_rows]
    return prediction[:, None], label[:, None]


def test_that_the_interval_covers_zero_about_as_often_as_it_says_despite_overlap():
    rng = np.random.default_rng(0)
    inside = naive = 0
    for number in range(200):
        x, y = _overlapping(rng, 1500, 12)
        low, high = _interval(x, y, 12, number)
        inside += low <= 0 <= high
        naive += abs(information_coefficient(x[:, 0], y[:, 0])) < 1.96 / np.sqrt(1500)
    assert 0.88 <= inside / 200 <= 0.99
    assert naive / 200 < 0.65  # what an interval for independent rows would give


def test_that_rows_without_a_value_count_for_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(400, 2))
    x[::3, 0] = np.nan
    y[1::3, 1] = np.nan
    starts = np.zeros((1, 1), dtype=np.int64)
    whole = coefficient_draws(x, y, starts, 400)
    assert np.isclose(
        whole[0], np.mean([information_coefficient(x[:, pair], y[:, pair]) for pair in range(2)])
    )


def test_that_one_array_of_starts_pairs_two_predictions():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(900, 1))
    good = y + rng.normal(size=(900, 1))
    better = good + 0.1 * y
    starts = block_starts(900, 20, 3)
    difference = coefficient_draws(better, y, starts, 20) - coefficient_draws(good, y, starts, 20)
    low, _ = percentile_interval(difference)
    assert low > 0
    assert np.array_equal(starts, block_starts(900, 20, 3))


def test_that_too_few_blocks_give_no_interval():
    x = np.random.default_rng(3).normal(size=(90, 1))
    assert all(np.isnan(_interval(x, x, 12)))
    assert block_length(10_000, 12) == 24 and block_length(1_000_000, 12) == 100
