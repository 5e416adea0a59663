"""Rewards: the built-in ones against their formulas, and one of the user's own."""

from typing import Any

import numpy as np
import pytest

from agent_market.rl.env import VectorTradingEnv
from agent_market.rl.rewards import (
    N_MEMORY,
    STEP,
    compiled_reward,
    compound_reward,
    risk_adjusted_reward,
)
from agent_market.rl.rules import TradingRules
from tests.rl.env.paths import random_path


def _paid(reward: Any, steps: list[dict[str, float]]) -> list[float]:
    compiled, memory = compiled_reward(reward), np.zeros(N_MEMORY)
    paid = []
    for each in steps:
        record = np.zeros(1, STEP)
        for name, value in each.items():
            record[name] = value
        paid.append(compiled(record[0], memory))
    return paid


def test_that_the_differential_sharpe_ratio_is_the_slope_of_the_running_one() -> None:
    profits = np.random.default_rng(1).normal(1e-3, 0.01, 300)
    paid = _paid("differential_sharpe", [{"profit": profit} for profit in profits])
    mean = square = 0.0
    for profit, reward in zip(profits, paid, strict=True):
        sharpe = mean / np.sqrt(square - mean**2) if square > mean**2 else 0.0
        for rate, is_kept in ((1e-7, False), (0.01, True)):
            moved = mean + rate * (profit - mean), square + rate * (profit**2 - square)
            if is_kept:
                mean, square = moved
            elif sharpe:
                slope = (moved[0] / np.sqrt(moved[1] - moved[0] ** 2) - sharpe) / rate
                assert reward == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_that_risk_is_charged_where_it_grows() -> None:
    reward = risk_adjusted_reward(drawdown=0.5, losing_streak=0.01, sharpe=0.0)
    steps = [
        {"profit": -0.02, "drawdown": 0.02, "n_closed": 1, "losing_streak": 1},
        {"profit": -0.03, "drawdown": 0.05, "n_closed": 1, "losing_streak": 2},
        {"profit": 0.01, "drawdown": 0.04, "n_closed": 0, "losing_streak": 2},
    ]
    assert _paid(reward, steps) == pytest.approx([-0.03, -0.055, 0.01])


def test_that_a_compound_reward_is_the_fast_one_and_a_multiple_of_the_sharpe_ratio() -> None:
    steps = [{"profit": profit} for profit in np.random.default_rng(2).normal(0, 0.01, 50)]
    slow, fast = _paid("differential_sharpe", steps), _paid("net_profit", steps)
    both = _paid(compound_reward(sharpe=0.3), steps)
    assert both == pytest.approx([f + 0.3 * s for f, s in zip(fast, slow, strict=True)])


def test_that_a_user_adds_a_reward_as_a_function() -> None:
    def longs_only(step: Any, memory: Any) -> float:
        memory[0] += 1
        return step.profit if step.position > 0 else -memory[0]

    env = VectorTradingEnv(random_path(30, 1), TradingRules(), 2, reward=longs_only)
    for count in range(1, 4):
        stepped = env.step([0, 2])
        assert stepped.rewards.tolist() == [-count, env.steps["profit"][1]]
