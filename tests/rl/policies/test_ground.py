"""Which rows teach, which stop, and which are left out."""

import numpy as np
import pytest

from agent_market.errors import DataError
from agent_market.rl.paths import trading_costs
from agent_market.rl.policies.ground import Ground, rows_of, t_value
from agent_market.rl.policies.problem import TradingProblem

POSITIONS = np.array([-1.0, 0.0, 1.0])


def _problem(n_rows: int, seed: int = 0) -> TradingProblem:
    gains = np.random.default_rng(seed).normal(size=(n_rows, 1)) * POSITIONS
    features = np.zeros((n_rows, 2), dtype=np.float32)
    return TradingProblem(features, POSITIONS, gains, trading_costs(POSITIONS, 0.1))


def _ground(*lengths: int) -> Ground:
    problems = [_problem(length) for length in lengths]
    return Ground.of(problems, window=5, purge=30, valid_share=0.2)


def test_rows_before_the_validation_rows_of_a_path_are_left_out() -> None:
    ground = _ground(1000)
    assert (ground.train[0].start, ground.train[0].stop) == (4, 770)
    assert (ground.valid[0].start, ground.valid[0].stop) == (800, 1000)


def test_no_window_has_rows_of_both_halves_of_the_validation_rows() -> None:
    (earlier,), (later,) = _ground(1000).halves
    assert (earlier.start, earlier.stop) == (800, 895)
    assert (later.start, later.stop) == (900, 1000)


def test_segments_cover_training_rows_alone_and_cross_no_border_of_paths() -> None:
    ground = _ground(1000, 500)
    allowed = set(rows_of(ground.train).tolist())
    segments = ground.segments(25, np.random.default_rng(1))
    assert segments.shape[1] == 25
    assert (np.diff(segments, axis=1) == 1).all()
    assert set(segments.ravel().tolist()) <= allowed
    assert len(segments.ravel()) > 0.9 * len(allowed)
    assert {row // 1000 for row in segments[:, 0]} == {0, 1}
    again = ground.segments(25, np.random.default_rng(2))
    assert set(again[:, 0]) != set(segments[:, 0])


def test_a_path_just_long_enough_gives_a_segment_whatever_the_offset() -> None:
    ground = Ground.of([_problem(80)], window=5, purge=30, valid_share=0.2)
    assert len(ground.train[0]) == 30
    for seed in range(20):
        assert len(ground.segments(25, np.random.default_rng(seed))) == 1


def test_the_unit_knows_the_training_rows_alone() -> None:
    calm = _problem(1000)
    gains = calm.gains.copy()
    gains[770:] *= 100
    wild = TradingProblem(calm.features, POSITIONS, gains, calm.costs)
    units = [Ground.of([each], window=5, purge=30, valid_share=0.2).unit for each in (calm, wild)]
    assert units[0] == units[1]
    assert units[0] == pytest.approx(1.0, abs=0.1)


def test_the_t_value_of_noise_is_small_and_of_a_steady_gain_large() -> None:
    noise = np.random.default_rng(3).normal(size=10_000)
    assert abs(t_value(noise, 50)) < 3
    assert t_value(noise + 0.2, 50) > 10
    assert t_value(np.zeros(1000), 50) == 0
    assert t_value(noise[:60], 50) == 0


def test_prices_that_never_move_are_refused() -> None:
    still = _problem(500)
    flat = TradingProblem(still.features, POSITIONS, 0 * still.gains, still.costs)
    with pytest.raises(DataError, match="never vary"):
        Ground.of([flat], window=1, purge=30, valid_share=0.2)
