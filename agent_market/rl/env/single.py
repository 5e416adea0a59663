"""One account on a price path: the Gymnasium form of the environment."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from agent_market.rl.env.actions import Actions
from agent_market.rl.env.vector import VectorTradingEnv
from agent_market.rl.paths import PricePath
from agent_market.rl.rewards import Reward
from agent_market.rl.rules import TradingRules

Observation = npt.NDArray[np.float32]


def action_space_of(actions: Actions) -> spaces.Space[Any]:
    """Return the Gymnasium space of a table of actions."""
    if actions.is_continuous:
        return spaces.Box(-1.0, 1.0, (1,), np.float32)
    return spaces.Discrete(len(actions))


def observation_space_of(n_observed: int) -> spaces.Box:
    """Return the Gymnasium space of observations: features have no bounds."""
    return spaces.Box(-np.inf, np.inf, (n_observed,), np.float32)


class TradingEnv(gymnasium.Env[Observation, Any]):
    """`VectorTradingEnv` with one account that waits for `reset` at the end of an episode.

    Parameters are those of `VectorTradingEnv`. `reset(options={"row": t})` starts at a given row.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        path: PricePath,
        rules: TradingRules,
        actions: Actions | None = None,
        reward: str | Reward = "net_profit",
        window: int = 1,
        episode_rows: int | None = None,
    ) -> None:
        self.vector = VectorTradingEnv(path, rules, 1, actions, reward, window, episode_rows)
        self.action_space = action_space_of(self.vector.actions)
        self.observation_space = observation_space_of(self.vector.n_observed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        observations = self.vector.reset(seed)
        if options and "row" in options:
            self.vector.start(np.array([0]), np.array([options["row"]]))
        return observations[0].copy(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade one candle."""
        stepped = self.vector.step(np.atleast_1d(action))
        terminated, truncated = bool(stepped.terminated[0]), bool(stepped.truncated[0])
        observation = stepped.final_observations.get(0, stepped.observations[0]).copy()
        return observation, float(stepped.rewards[0]), terminated, truncated, self._info()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which actions make sense now, (n_actions,)."""
        return self.vector.action_masks()[0]  # type: ignore[no-any-return]

    def _info(self) -> dict[str, Any]:
        step = self.vector.steps[0]
        return {
            "position": float(step["position"]),
            "profit": float(step["profit"]),
            "n_closed": int(step["n_closed"]),
        }
