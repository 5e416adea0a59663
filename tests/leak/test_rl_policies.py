"""Policies under a known truth: they take what is there, and nothing where nothing is.

docs/rl-policies.md describes the markets and the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent_market.rl.paths import PricePath
from agent_market.rl.policies.ground import Ground, t_value
from agent_market.rl.policies.hindsight import optimum
from agent_market.rl.policies.net_policy import NetPolicy
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.problem import TradingProblem, net_gains
from agent_market.rl.policies.registry import POLICIES, create_policy
from agent_market.rl.policies.sb3 import Sb3Policy
from tests.rl.policies.known_truth import (
    earned,
    policy_without_alpha,
    share_of_hindsight,
    share_with_leaked_return,
    train_and_test,
)
from tests.rl.policies.markets import (
    COST,
    KnownMarket,
    barren_market,
    oracle_market,
    planted_market,
    rows_of_path,
    simulated_market,
)

BLOCK = 128
FLAT = 1
SMALL_PPO = {"total_steps": 60_000, "evaluations": 3, "algorithm": {"gamma": 0.5}}
MANY_LOOKS: dict[str, dict[str, Any]] = {
    "exact": {"members": 1, "segment_candles": 32, "max_epochs": 20, "valid_share": 0.4},
    "ppo": {
        "total_steps": 10_240,
        "n_envs": 32,
        "episode_candles": 32,
        "valid_share": 0.4,
        "algorithm": {"n_steps": 32, "n_epochs": 2},
    },
}
SEEDS = (1, 2, 3, 4, 5)


def _share_of_known_drift(policy: Policy, market: KnownMarket, n_train: int) -> float:
    """Return the expected profit as a share of what one earns who knows every drift to come.

    Both are measured by the drift alone, so that luck is on nobody's side.
    """
    path = rows_of_path(market.path, n_train, len(market.path))
    drift = np.outer(market.drift[n_train:-2], policy.positions)
    truth = TradingProblem(
        path.features[:-2],
        policy.positions,
        drift,
        TradingProblem.of(path, policy.positions, COST).costs,
    )
    chosen = np.searchsorted(policy.positions, policy.positions_of(truth.features))
    return float(net_gains(truth, chosen, FLAT).sum() / optimum(truth, start=FLAT))


@pytest.mark.parametrize("name", ["exact", "imitation"])
def test_a_leaked_return_is_traded_within_5_percent_of_the_hindsight_optimum(name: str) -> None:
    train, test = train_and_test(oracle_market(1, 16_000), 12_000)
    policy = create_policy(name, {"members": 1})
    policy.fit([train], cost=COST)
    assert share_of_hindsight(policy, test) > 0.95


def test_ppo_trades_a_leaked_return_as_near_to_the_optimum() -> None:
    """The small version: a leaked return says nothing of later rows, so that fewer steps do."""
    train, test = train_and_test(oracle_market(1, 8_000), 6_000)
    policy = create_policy("ppo", SMALL_PPO)
    policy.fit([train], cost=COST)
    assert share_of_hindsight(policy, test) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_comes_within_5_percent_when_trained_for_long(name: str) -> None:
    assert share_with_leaked_return(name) > 0.95


@pytest.mark.parametrize("name", ["exact", "imitation"])
def test_without_alpha_nothing_significant_is_earned_and_little_is_held(name: str) -> None:
    gains, exposures = [], []
    for seed in SEEDS:
        train, test = train_and_test(barren_market(seed, 12_000), 8_000)
        policy = create_policy(name, {"members": 2, "max_epochs": 20})
        policy.fit([train], cost=COST, seed=seed)
        gains.append(earned(policy, test))
        exposures.append(np.abs(policy.positions_of(test.features)).mean())
    assert t_value(np.concatenate(gains), BLOCK) < 2
    assert np.mean(exposures) < 0.2


@pytest.mark.parametrize("name", ["exact", "ppo"])
def test_the_best_of_many_looks_is_not_judged_by_the_rows_it_was_chosen_by(name: str) -> None:
    """Without alpha and costs, the best look earns something by luck, and nothing elsewhere."""
    by_luck, judged = [], []
    for seed in range(12):
        path = barren_market(seed, 3_000).path
        policy = create_policy(name, MANY_LOOKS[name])
        assert isinstance(policy, NetPolicy | Sb3Policy)
        policy.fit([path], cost=0.0, seed=seed)
        problem = TradingProblem.of(path, policy.positions, 0.0)
        ground = Ground.of([problem], window=1, purge=33, valid_share=0.4)
        by_luck.append(t_value(ground.earned_by(policy.choices, ground.valid), 32))
        judged.append(policy.valid_t)
    assert np.mean(by_luck) > 0.8
    assert abs(np.mean(judged)) < 2 / np.sqrt(12)


def test_labels_that_were_permuted_earn_nothing() -> None:
    market = planted_market(1, 16_000)
    train, test = train_and_test(market, 12_000)
    order = np.random.default_rng(0).permutation(len(train))
    shuffled = PricePath(
        train.features[order],
        train.open,
        train.high,
        train.low,
        train.close,
        train.funding_rate,
    )
    policy = create_policy("exact", {"members": 2, "max_epochs": 20})
    policy.fit([shuffled], cost=COST)
    assert t_value(earned(policy, test), BLOCK) < 2


def test_what_was_learned_is_lost_when_the_test_features_are_permuted() -> None:
    train, test = train_and_test(planted_market(2, 24_000), 20_000)
    policy = create_policy("exact", {"members": 2, "max_epochs": 20})
    policy.fit([train], cost=COST)
    honest = earned(policy, test).sum()
    order = np.random.default_rng(0).permutation(len(test))
    mixed = PricePath(
        test.features[order], test.open, test.high, test.low, test.close, test.funding_rate
    )
    assert honest > 0
    assert earned(policy, mixed).sum() < 0.2 * honest


@pytest.mark.parametrize(
    ("market", "n_train"),
    [(lambda: simulated_market(3, 120), 25_920), (lambda: planted_market(1, 60_000), 40_000)],
    ids=["simulator", "autoregressive"],
)
def test_planted_alpha_is_taken_to_four_fifths_of_what_knowing_it_would_earn(
    market: Callable[[], KnownMarket], n_train: int
) -> None:
    known = market()
    policy = create_policy("exact")
    policy.fit([rows_of_path(known.path, 0, n_train)], cost=COST)
    assert _share_of_known_drift(policy, known, n_train) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_earns_anything_significant_in_the_simulator_without_alpha(name: str) -> None:
    gains = []
    for seed in SEEDS[:3]:
        policy, test = policy_without_alpha(name, seed)
        gains.append(earned(policy, test))
    assert t_value(np.concatenate(gains), BLOCK) < 2


@pytest.mark.parametrize("name", ["exact", "imitation"])
def test_the_rows_that_stop_the_training_teach_nothing(name: str) -> None:
    """Other gains on validation rows may choose another epoch, but the epochs stay the same."""
    market = planted_market(3, 4_000)
    problem = TradingProblem.of(market.path, np.array([-1.0, 0.0, 1.0]), COST)
    gains = problem.gains.copy()
    gains[-int(0.2 * len(problem)) :] *= -3
    changed = TradingProblem(problem.features, problem.positions, gains, problem.costs)
    losses = []
    for each in (problem, changed):
        policy = create_policy(name, {"members": 1, "max_epochs": 4})
        policy.fit_problems([each])
        losses.append(policy.records[0].losses)
    assert losses[0] == losses[1]
