"""The dynamic program against every possible sequence of positions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.errors import DataError
from agent_market.rl.paths import PricePath, holding_gains, trading_costs
from agent_market.rl.policies.hindsight import (
    follow,
    hindsight_choices,
    optimum,
    regrets,
    values_to_go,
)
from agent_market.rl.policies.problem import TradingProblem, net_gains

GRIDS = ([-1.0, 0.0, 1.0], [0.0, 1.0], [-1.0, -0.5, 0.0, 2.0])


def _problem(seed: int, n_rows: int, grid: list[float], cost: float) -> TradingProblem:
    rng = np.random.default_rng(seed)
    positions = np.array(grid)
    gains = rng.normal(0, 0.01, (n_rows, len(grid)))
    features = np.zeros((n_rows, 1), dtype=np.float32)
    return TradingProblem(features, positions, gains, trading_costs(positions, cost))


@given(
    seed=st.integers(0, 10_000),
    n_rows=st.integers(1, 5),
    grid=st.sampled_from(GRIDS),
    cost=st.sampled_from([0.0, 0.002, 0.02]),
)
def test_no_sequence_of_positions_earns_more_than_the_hindsight_optimum(
    seed: int, n_rows: int, grid: list[float], cost: float
) -> None:
    problem = _problem(seed, n_rows, grid, cost)
    for start in range(len(grid)):
        profits = [
            net_gains(problem, np.array(sequence), start).sum()
            for sequence in itertools.product(range(len(grid)), repeat=n_rows)
        ]
        assert optimum(problem, start=start) == pytest.approx(max(profits), abs=1e-12)


def test_the_value_of_a_row_is_what_the_best_choices_earn_from_there() -> None:
    problem = _problem(3, 60, [-1.0, 0.0, 1.0], 0.004)
    values, choices = values_to_go(problem.gains, problem.costs), hindsight_choices(problem)
    for row, held in ((0, 1), (20, 0), (59, 2)):
        rest = problem.rows(row, 60)
        earned = net_gains(rest, follow(choices[row:], held), held).sum()
        assert values[row, held] == pytest.approx(earned, abs=1e-12)


def test_regret_is_zero_for_the_best_choice_and_what_a_detour_costs_for_another() -> None:
    problem = _problem(4, 40, [-1.0, 0.0, 1.0], 0.004)
    lost, choices = regrets(problem), hindsight_choices(problem)
    assert lost.min() >= -1e-15
    rows, held = np.indices(choices.shape)
    assert np.abs(lost[rows, held, choices]).max() < 1e-15
    detour = choices.copy()
    detour[0] = (choices[0] + 1) % 3
    earned = [net_gains(problem, follow(c, 1), 1).sum() for c in (choices, detour)]
    assert earned[0] - earned[1] == pytest.approx(lost[0, 1, detour[0, 1]])


def test_it_keeps_what_is_held_when_nothing_is_better() -> None:
    positions = np.array([-1.0, 0.0, 1.0])
    still = TradingProblem(
        np.zeros((5, 1), np.float32), positions, np.zeros((5, 3)), trading_costs(positions, 0.0)
    )
    assert (hindsight_choices(still) == np.arange(3)).all()


def test_the_optimum_by_expected_gains_is_paid_by_what_came_true() -> None:
    positions = np.array([-1.0, 0.0, 1.0])
    problem = _problem(5, 30, positions.tolist(), 0.0)
    up = np.broadcast_to(positions * 0.01, (30, 3)).copy()
    assert optimum(problem, up, start=1) == pytest.approx(problem.gains[:, 2].sum())


def _path(n_rows: int) -> PricePath:
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(6).normal(0, 0.01, n_rows)))
    features = np.zeros((n_rows, 2), dtype=np.float32)
    return PricePath(features, prices, prices, prices, prices, np.zeros(n_rows))


def test_a_problem_leaves_out_the_rows_whose_outcome_is_not_known() -> None:
    path, positions = _path(20), np.array([-1.0, 0.0, 1.0])
    problem = TradingProblem.of(path, positions, 0.001)
    assert len(problem) == 18
    np.testing.assert_array_equal(problem.gains, holding_gains(path, positions)[:18])


@pytest.mark.parametrize("grid", [[0.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
def test_positions_out_of_order_or_without_a_flat_one_are_refused(grid: list[float]) -> None:
    with pytest.raises(DataError, match="ascending"):
        TradingProblem.of(_path(20), grid, 0.001)


def test_a_gain_that_is_not_known_is_refused_with_its_row() -> None:
    path, positions = _path(20), np.array([-1.0, 0.0, 1.0])
    with pytest.raises(DataError, match="row 18"):
        TradingProblem(
            path.features, positions, holding_gains(path, positions), trading_costs(positions, 0.1)
        )
