"""The environment under stable-baselines3 and sb3-contrib."""

import warnings
from typing import Any

import numpy as np
import pytest

from agent_market.rl.env import VectorTradingEnv, five_actions, target_actions
from agent_market.rl.rules import TradingRules
from tests.rl.env.paths import random_path

sb3 = pytest.importorskip("stable_baselines3")
sb3_contrib = pytest.importorskip("sb3_contrib")

from agent_market.rl.env.sb3 import TradingVecEnv  # noqa: E402 - needs the libraries above


def _vec_env(**options: Any) -> TradingVecEnv:
    return TradingVecEnv(
        VectorTradingEnv(random_path(120, 1), TradingRules(), 4, episode_rows=15, **options)
    )


def test_that_the_end_of_an_episode_is_told_as_stable_baselines_wants_it() -> None:
    env = _vec_env()
    env.seed(3)
    first = env.reset()
    kept = first.copy()
    lengths = []
    for _ in range(40):
        seen, rewards, done, infos = env.step(np.ones(4, int))
        assert rewards.dtype == np.float32 and seen.dtype == np.float32
        for each in np.flatnonzero(done):
            assert infos[each]["terminal_observation"].shape == seen[each].shape
            assert infos[each]["terminal_observation"].tobytes() != seen[each].tobytes()
            lengths.append(infos[each]["episode"]["l"])
        assert not any(infos[each] for each in np.flatnonzero(~done))
    assert lengths == [15] * 8
    assert first.tobytes() == kept.tobytes()  # what was given is not written over
    env.seed(3)
    assert env.reset().tobytes() == kept.tobytes()


def test_that_stable_baselines_finds_nothing_missing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _vec_env().render_mode is None


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC"])
def test_that_algorithms_learn_on_it(algorithm: str) -> None:
    actions = target_actions(is_continuous=algorithm == "SAC")
    options = {"learning_starts": 8} if algorithm == "SAC" else {"n_steps": 16}
    model = getattr(sb3, algorithm)("MlpPolicy", _vec_env(actions=actions), device="cpu", **options)
    model.learn(128)
    assert model.num_timesteps >= 128


def test_that_a_masked_policy_takes_only_actions_that_fit() -> None:
    env = _vec_env(actions=five_actions())
    model = sb3_contrib.MaskablePPO("MlpPolicy", env, device="cpu", n_steps=16, batch_size=32)
    model.learn(128)
    seen = env.reset()
    for _ in range(30):
        masks = env.action_masks()
        actions, _ = model.predict(seen, action_masks=masks)
        assert masks[np.arange(4), actions].all()
        seen, *_ = env.step(actions)
