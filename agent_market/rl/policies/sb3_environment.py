"""The environment of one path as the policies of stable-baselines3 see it.

Imports stable_baselines3; import it where it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnvWrapper

from agent_market.rl.accounting import STATE_NAMES
from agent_market.rl.env.actions import five_actions, target_actions
from agent_market.rl.env.sb3 import TradingVecEnv
from agent_market.rl.env.vector import VectorTradingEnv
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules

Observations = npt.NDArray[np.float32]


class PositionOnly(VecEnvWrapper):
    """Leaves out all of the account but its position, and pays rewards in another unit.

    Parameters
    ----------
    env : TradingVecEnv
    unit : float
        What a reward is divided by, so that a candle's usual one is about 1.
    """

    def __init__(self, env: TradingVecEnv, unit: float) -> None:
        self._width = env.observation_space.shape[0] - len(STATE_NAMES) + 1
        self._unit = np.float32(unit)
        super().__init__(env, spaces.Box(-np.inf, np.inf, (self._width,), np.float32))

    def reset(self) -> Observations:
        """Start all episodes."""
        return self._seen(self.venv.reset())

    def step_wait(
        self,
    ) -> tuple[Observations, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Trade one candle."""
        observations, rewards, done, infos = self.venv.step_wait()
        for env in np.flatnonzero(done):
            infos[env]["terminal_observation"] = self._seen(infos[env]["terminal_observation"])
        return self._seen(observations), rewards / self._unit, done, infos

    def _seen(self, observations: Observations) -> Observations:
        return observations[..., : self._width]  # the position is the first of the state


def position_only(
    path: PricePath,
    *,
    targets: tuple[float, ...] | None,
    is_continuous: bool,
    rules: TradingRules,
    n_envs: int,
    window: int,
    episode_candles: int,
    reward: str,
    unit: float,
) -> PositionOnly:
    """Return the environment of a path.

    Parameters
    ----------
    path : PricePath
        With features as the agent is to see them.
    targets : tuple of float, optional
        From -1 to 1; None takes FreqAI's five actions.
    is_continuous : bool
        The agent gives a number, and the nearest target is taken.
    rules : TradingRules
    n_envs, window, episode_candles, reward :
        See `VectorTradingEnv`.
    unit : float
        See `PositionOnly`.
    """
    actions = five_actions() if targets is None else target_actions(targets, is_continuous)
    vector = VectorTradingEnv(path, rules, n_envs, actions, reward, window, episode_candles)
    return PositionOnly(TradingVecEnv(vector), unit)
