"""Offline learning: no row of a log sees beyond its next opens, and noise teaches nothing."""

from dataclasses import replace

import numpy as np
import pytest

from agent_market.rl.offline.behavior import random_targets, trend_targets
from agent_market.rl.offline.buffer import TransitionBuffer
from agent_market.rl.offline.evaluation import gate
from agent_market.rl.offline.policy import BCQPolicy, CQLPolicy
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules
from tests.rl.offline.markets import POSITIONS, log_of, market

RULES = TradingRules(fee=0.0005, stoploss=-0.02, minimal_roi={0: 0.03}, leverage=2.0)
GRID = np.array(POSITIONS)


def _another_future(path: PricePath, n_closed: int, *, knows_open: bool = False) -> PricePath:
    """The same first candles, and perhaps the open of the next one; all else is another market."""
    later = np.arange(len(path)) >= n_closed
    factor = np.where(later, 1.5, 1.0)
    opens = factor.copy()
    if knows_open:
        opens[n_closed] = 1.0
    return replace(
        path,
        features=np.where(later[:, None], path.features + 3, path.features).astype(np.float32),
        open=path.open * opens,
        high=path.high * factor,
        low=path.low * opens,
        close=path.close * factor,
    )


@pytest.mark.parametrize("row", [10, 57, 150])
def test_that_no_row_of_a_log_holds_anything_after_the_open_its_reward_counts_to(row: int) -> None:
    path = market(300, seed=1)
    targets = random_targets(300, 3, seed=0)
    now = log_of(path, targets, episode_rows=100, rules=RULES)
    future = _another_future(path, row + 2, knows_open=True)
    other = log_of(future, targets, episode_rows=100, rules=RULES)
    for name in ("observation", "position_state", "held", "reward", "done"):
        assert (getattr(now, name)[: row + 1] == getattr(other, name)[: row + 1]).all(), name
    rewards = slice(row + 1, row + 9)
    assert (now.reward[rewards] != other.reward[rewards]).any()  # the future is another one


@pytest.mark.parametrize("row", [10, 57, 150])
def test_that_an_observation_holds_nothing_after_its_own_close(row: int) -> None:
    path = market(300, seed=1)
    targets = random_targets(300, 3, seed=0)
    now = log_of(path, targets, episode_rows=100, rules=RULES)
    other = log_of(_another_future(path, row + 1), targets, episode_rows=100, rules=RULES)
    for name in ("observation", "position_state", "held"):
        assert (getattr(now, name)[: row + 1] == getattr(other, name)[: row + 1]).all(), name
    assert (now.observation[row + 1] != other.observation[row + 1]).all()


def test_that_the_trend_rule_does_not_see_later_closes() -> None:
    path = market(300, seed=1)
    whole = trend_targets(path, GRID)
    for row in (60, 200):
        cut = trend_targets(_another_future(path, row + 1), GRID)
        assert (cut[: row + 1] == whole[: row + 1]).all()
    assert len(set(whole[48:])) == 2


def _log(seed: int, **market_options: float) -> TransitionBuffer:
    path = market(4000, seed=seed, **market_options)
    return log_of(path, random_targets(len(path), 3, seed=seed))


@pytest.mark.parametrize("kind", [CQLPolicy, BCQPolicy])
@pytest.mark.parametrize("seed", [1, 2])
def test_that_noise_does_not_pass_the_gate(kind: type[CQLPolicy], seed: int) -> None:
    policy = kind({"steps": 300})
    policy.fit_buffer(_log(seed), seed=seed)
    assert not gate(policy, _log(seed + 50)).passed


def test_that_permuted_rewards_teach_nothing() -> None:
    log = _log(1, strength=0.6)
    shuffled = np.random.default_rng(0).permutation(log.reward)
    taught, fooled = CQLPolicy({"steps": 500}), CQLPolicy({"steps": 500})
    taught.fit_buffer(log)
    fooled.fit_buffer(replace(log, reward=shuffled))
    held_out = _log(51, strength=0.6)
    assert gate(taught, held_out).passed
    assert not gate(fooled, held_out).passed


def test_that_a_policy_of_noise_that_makes_its_own_log_mostly_stays_flat() -> None:
    flat = []
    for seed in range(3):
        policy = CQLPolicy({"steps": 200})
        policy.fit([market(3000, seed=seed)], cost=0.0005, seed=seed)
        flat.append(policy.stays_flat)
    assert sum(flat) >= 2
