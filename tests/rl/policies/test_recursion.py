"""The exact expected profit: against enumeration, sampling and finite differences."""

import itertools

import numpy as np
import pytest

from agent_market.rl.paths import Floats, trading_costs
from agent_market.rl.policies.recursion import expected_profit

POSITIONS = np.array([-1.0, 0.0, 1.0])
COSTS = trading_costs(POSITIONS, 0.1)


def _random(n_segments: int, n_rows: int) -> tuple[np.ndarray, Floats, Floats]:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(n_segments, n_rows, 3)).astype(np.float32)
    return scores, rng.normal(size=(3, 3)), rng.normal(size=(n_segments, n_rows, 3))


def _chances(scores: np.ndarray, switching: Floats) -> Floats:
    logits = scores[:, None, :] + switching
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def test_the_expected_profit_is_the_mean_over_every_sequence_of_positions() -> None:
    scores, switching, gains = _random(1, 4)
    chances = _chances(scores[0], switching)
    mean = entropy = 0.0
    for start, *sequence in itertools.product(range(3), repeat=5):
        chance, profit, surprise, held = 1 / 3, 0.0, 0.0, start
        for t, chosen in enumerate(sequence):
            chance *= chances[t, held, chosen]
            profit += gains[0, t, chosen] - COSTS[held, chosen]
            surprise -= np.log(chances[t, held, chosen])
            held = chosen
        mean += chance * profit
        entropy += chance * surprise
    profit, bonus, _, _ = expected_profit(scores, switching, gains, COSTS, 0.5)
    assert profit == pytest.approx(mean / 4, abs=1e-6)
    assert bonus == pytest.approx(0.5 * entropy / 4, abs=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    scores, switching, gains = _random(2, 6)

    def total(moved_scores: np.ndarray, moved_switching: Floats) -> float:
        result = expected_profit(moved_scores, moved_switching, gains, COSTS, 0.3)
        return result[0] + result[1]

    _, _, by_scores, by_switching = expected_profit(scores, switching, gains, COSTS, 0.3)
    step = 1e-2
    for place in ((0, 0, 0), (0, 5, 2), (1, 3, 1), (1, 0, 2)):
        up, down = scores.copy(), scores.copy()
        up[place] += step
        down[place] -= step
        slope = (total(up, switching) - total(down, switching)) / (2 * step)
        assert by_scores[place] == pytest.approx(slope, abs=2e-5)
    for place in ((0, 0), (1, 2), (2, 1)):
        higher, lower = switching.copy(), switching.copy()
        higher[place] += step
        lower[place] -= step
        slope = (total(scores, higher) - total(scores, lower)) / (2 * step)
        assert by_switching[place] == pytest.approx(slope, abs=2e-5)


def test_a_position_that_pays_alone_is_sought_more_on_every_row() -> None:
    scores, switching = np.zeros((1, 5, 3), dtype=np.float32), np.zeros((3, 3))
    gains = np.zeros((1, 5, 3))
    gains[:, :, 2] = 1.0
    _, _, by_scores, _ = expected_profit(scores, switching, gains, np.zeros((3, 3)), 0.0)
    assert (by_scores[0, :, 2] > 0).all() and (by_scores[0, :, :2] < 0).all()
