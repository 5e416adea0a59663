"""PPO, A2C and SAC of stable-baselines3 behind the policies' protocol."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_market.errors import ConfigError
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.registry import create_policy, load_policy
from agent_market.rl.policies.sb3_environment import position_only
from agent_market.rl.rules import TradingRules
from tests.rl.policies.markets import COST, PricePath, planted_market

TINY: dict[str, Any] = {
    "total_steps": 1024,
    "n_envs": 16,
    "episode_candles": 32,
    "evaluations": 2,
    "least_valid_t": -100.0,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ppo": ("ppo", {"algorithm": {"n_steps": 16, "batch_size": 128}}),
    "ppo of five actions": (
        "ppo",
        {"actions": "five", "algorithm": {"n_steps": 16, "batch_size": 128}},
    ),
    "a2c": ("a2c", {}),
    "sac": ("sac", {"algorithm": {"learning_starts": 256, "batch_size": 64}}),
}


@pytest.fixture(scope="module")
def path() -> PricePath:
    return planted_market(5, 1000, strength=4.0).path


def _fit(kind: str, path: PricePath) -> Policy:
    name, params = KINDS[kind]
    policy = create_policy(name, TINY | params)
    policy.fit([path], cost=COST, seed=3)
    return policy


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest, path: PricePath) -> tuple[str, Policy]:
    return request.param, _fit(request.param, path)


def test_one_row_gets_the_position_that_it_gets_in_a_batch(
    fitted: tuple[str, Policy], path: PricePath
) -> None:
    _, policy = fitted
    features = path.features[200:330]
    batch, held = policy.positions_of(features, 1.0), 1.0
    for row, position in zip(features, batch, strict=True):
        held = policy.act(row, held)
        assert held == position


def test_one_seed_gives_one_policy_and_its_file_gives_it_back(
    fitted: tuple[str, Policy], path: PricePath, tmp_path: Path
) -> None:
    kind, policy = fitted
    policy.save(tmp_path / "policy.zip")
    loaded = load_policy(tmp_path / "policy.zip")
    assert type(loaded) is type(policy) and loaded.settings == policy.settings
    choices = policy.choices(path.features)
    np.testing.assert_array_equal(loaded.choices(path.features), choices)
    _fit(kind, path).save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "policy.zip").read_bytes()


def test_five_actions_turn_a_position_around_by_way_of_none(path: PricePath) -> None:
    choices = _fit("ppo of five actions", path).choices(path.features)
    assert not (choices[:, 2] == 0).any()  # from long to short
    assert not (choices[:, 0] == 2).any()


def test_five_actions_on_spot_never_go_short(path: PricePath) -> None:
    policy = create_policy(
        "ppo", TINY | KINDS["ppo of five actions"][1] | {"positions": (0.0, 1.0)}
    )
    policy.fit([path], cost=COST)
    assert set(policy.positions_of(path.features)) <= {0.0, 1.0}


def test_the_agent_sees_features_and_its_position_alone(path: PricePath) -> None:
    env = position_only(
        path,
        targets=(-1.0, 0.0, 1.0),
        is_continuous=False,
        rules=TradingRules(fee=COST),
        n_envs=2,
        window=3,
        episode_candles=50,
        reward="net_profit",
        unit=0.002,
    )
    env.seed(1)
    assert env.reset().shape == (2, 31)
    observations, _, _, _ = env.step(np.array([0, 2]))
    np.testing.assert_array_equal(observations[:, -1], [-1, 1])
    for _ in range(49):
        _, _, done, infos = env.step(np.array([0, 2]))
    assert done.all()
    assert infos[0]["terminal_observation"].shape == (31,)


def test_wrong_arguments_of_an_algorithm_are_refused(path: PricePath) -> None:
    policy = create_policy("a2c", {**TINY, "algorithm": {"learning_rat": 0.1}})
    with pytest.raises(ConfigError, match="learning_rat"):
        policy.fit([path], cost=COST)
    with pytest.raises(ConfigError, match="five actions know"):
        create_policy("ppo", {"actions": "five", "positions": (-0.5, 0.0, 0.5)})


def test_several_paths_are_learned_in_turns() -> None:
    paths = [planted_market(seed, 600, strength=4.0).path for seed in (1, 2)]
    policy = create_policy("a2c", TINY)
    policy.fit(paths, cost=COST)
    assert len(policy.positions_of(paths[1].features)) == 600
