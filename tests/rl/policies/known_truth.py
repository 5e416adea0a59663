"""What policies earn on markets whose truth is known."""

from __future__ import annotations

import numpy as np

from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.hindsight import optimum
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.problem import TradingProblem, nearest_index, net_gains
from agent_market.rl.policies.registry import create_policy
from tests.rl.policies.markets import (
    COST,
    KnownMarket,
    oracle_market,
    rows_of_path,
    simulated_market,
)


def train_and_test(market: KnownMarket, n_train: int) -> tuple[PricePath, PricePath]:
    """Return the first rows of a market, and those after them."""
    path = market.path
    return rows_of_path(path, 0, n_train), rows_of_path(path, n_train, len(path))


def earned(policy: Policy, path: PricePath) -> Floats:
    """Return what each row of a path earns after costs, from flat."""
    problem = TradingProblem.of(path, policy.positions, COST)
    chosen = np.searchsorted(policy.positions, policy.positions_of(problem.features))
    return net_gains(problem, chosen, nearest_index(policy.positions, 0.0))


def share_of_hindsight(policy: Policy, path: PricePath) -> float:
    """Return net profit as a share of what one earns who knows the whole path."""
    problem = TradingProblem.of(path, policy.positions, COST)
    best = optimum(problem, start=nearest_index(policy.positions, 0.0))
    return float(earned(policy, path).sum() / best)


def share_with_leaked_return(name: str) -> float:
    """Return the share of the hindsight optimum when one feature is the return to come."""
    train, test = train_and_test(oracle_market(1, 16_000), 12_000)
    policy = create_policy(name)
    policy.fit([train], cost=COST)
    return share_of_hindsight(policy, test)


def policy_without_alpha(name: str, seed: int) -> tuple[Policy, PricePath]:
    """Return a policy trained in the simulator without alpha, and the rows after it."""
    train, test = train_and_test(simulated_market(seed, 60, no_alpha=True), 12_000)
    policy = create_policy(name)
    policy.fit([train], cost=COST, seed=seed)
    return policy, test
