"""The vectorized environment as stable-baselines3 takes it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from agent_market.rl.env.single import action_space_of, observation_space_of
from agent_market.rl.env.vector import Observations, VectorTradingEnv


class TradingVecEnv(VecEnv):
    """A `VecEnv` over `VectorTradingEnv`; sb3-contrib's MaskablePPO finds its action masks.

    Parameters
    ----------
    vector : VectorTradingEnv
    """

    render_mode = None

    def __init__(self, vector: VectorTradingEnv) -> None:
        self.vector = vector
        super().__init__(
            vector.n_envs, observation_space_of(vector.n_observed), action_space_of(vector.actions)
        )
        self._nothing: dict[str, Any] = {}
        self._actions = np.zeros(vector.n_envs)
        self._returns = np.zeros(vector.n_envs)
        self._lengths = np.zeros(vector.n_envs, np.int64)

    def reset(self) -> Observations:
        """Start all episodes anew, from the seed given to `seed` if there is one."""
        self._returns[:] = 0
        self._lengths[:] = 0
        seed = self._seeds[0]
        self._reset_seeds()
        return self.vector.reset(seed).copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Observations, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Trade one candle in every environment."""
        stepped = self.vector.step(self._actions)
        done = stepped.terminated | stepped.truncated
        self._returns += stepped.rewards
        self._lengths += 1
        infos = [self._nothing] * self.num_envs  # one for all: nothing is written to it
        for env, observation in stepped.final_observations.items():
            infos[env] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": bool(stepped.truncated[env]),
                "episode": {"r": self._returns[env], "l": int(self._lengths[env]), "t": 0.0},
            }
        self._returns[done] = 0
        self._lengths[done] = 0
        return stepped.observations.copy(), stepped.rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Do nothing: no process and no file is open."""

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which actions make sense now, (n_envs, n_actions)."""
        return self.vector.action_masks()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once an environment."""
        source = self if attr_name in ("action_masks", "render_mode") else self.vector
        value = getattr(source, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all environments."""
        setattr(self.vector, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Return what a method gives each environment."""
        values = getattr(self.vector, method_name)(*args, **kwargs)
        return [values[env] for env in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return False for each: no environment is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """Return None for each: nothing is drawn."""
        return [None] * self.num_envs

    def _get_indices(self, indices: int | Iterable[int] | None) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else indices
