"""Many accounts on one price path, a candle a step."""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError, DataError
from agent_market.rl.accounting import (
    ACCOUNT,
    STATE_NAMES,
    TRADE,
    candles_of,
    start_accounts,
    step_accounts,
)
from agent_market.rl.env.actions import Actions, target_actions
from agent_market.rl.paths import PricePath
from agent_market.rl.rewards import N_MEMORY, STEP, Reward, compiled_reward
from agent_market.rl.rules import TradingRules

Observations = npt.NDArray[np.float32]


class Stepped(NamedTuple):
    """What a step of all environments gives; the next step writes over the arrays.

    Parameters
    ----------
    observations : array, float32, (n_envs, n_observed)
        After the reset, where an episode has ended.
    rewards : array, float64, (n_envs,)
    terminated : array, bool, (n_envs,)
        The path has ended and the position is closed, or the balance is lost.
    truncated : array, bool, (n_envs,)
        The segment has ended; the position is left open.
    final_observations : dict from int to array, float32, (n_observed,)
        The last observation of an episode that has ended, by environment.
    """

    observations: Observations
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: dict[int, Observations]


class VectorTradingEnv:
    """N accounts, each at its own row of one path; an episode that ends starts again by itself.

    An observation is the feature rows of the window, oldest first, followed by `STATE_NAMES`. An
    action on row t is filled at the open of candle t + 1; its reward counts up to the open of
    candle t + 2.

    Parameters
    ----------
    path : PricePath
        Without NaN in its features and funding.
    rules : TradingRules
    n_envs : int
    actions : Actions, optional
        Short, flat and long by default.
    reward : str or function
        See `agent_market.rl.rewards`.
    window : int
        Feature rows in an observation.
    episode_rows : int, optional
        Steps of an episode, which then starts at a random row. Without it an episode is the path.
    seed : int
        Of the starts.

    Attributes
    ----------
    observations : array, float32, (n_envs, n_observed)
        The last ones given; the next step writes over them.
    accounts : array of ACCOUNT, (n_envs,)
        The state behind the observations.
    steps : array of STEP, (n_envs,)
        What the last step did.

    Raises
    ------
    ConfigError, DataError
        If the path holds values that are not finite, or is too short.
    """

    def __init__(
        self,
        path: PricePath,
        rules: TradingRules,
        n_envs: int,
        actions: Actions | None = None,
        reward: str | Reward = "net_profit",
        window: int = 1,
        episode_rows: int | None = None,
        seed: int = 0,
    ) -> None:
        self.path, self.rules, self.n_envs = path, rules, n_envs
        self.actions = target_actions() if actions is None else actions
        self.window, self.episode_rows = window, episode_rows
        _check(path, rules, self.actions, window, episode_rows)
        self.n_observed = window * path.features.shape[1] + len(STATE_NAMES)
        self.accounts = np.zeros(n_envs, ACCOUNT)
        self.steps = np.zeros(n_envs, STEP)
        self._reward = compiled_reward(reward)
        self._features = np.ascontiguousarray(path.features, np.float32)
        self._candles = candles_of(path)
        self._values, self._roi = rules.values(), rules.roi()
        self._log = np.zeros(2, TRADE)
        self._memory = np.zeros((n_envs, N_MEMORY))
        self.observations = np.zeros((n_envs, self.n_observed), np.float32)
        self._rewards = np.zeros(n_envs)
        self._ended = np.zeros((2, n_envs), np.bool_)
        self._rng = np.random.default_rng(seed)
        self.reset()

    @property
    def sides(self) -> npt.NDArray[np.int64]:
        """1 long, -1 short, 0 flat, by environment."""
        return self.accounts["side"]

    def reset(self, seed: int | None = None) -> Observations:
        """Start all environments anew.

        Parameters
        ----------
        seed : int, optional
            Of the starts from now on.

        Returns
        -------
        array, float32, (n_envs, n_observed)
            Overwritten by the next step.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        everyone = np.arange(self.n_envs)
        self.start(everyone, self.draw_starts(self.n_envs))
        return self.observations

    def draw_starts(self, n_starts: int) -> npt.NDArray[np.int64]:
        """Draw rows at which an episode may start."""
        first = self.window - 1
        if self.episode_rows is None:
            return np.full(n_starts, first)
        return self._rng.integers(first, len(self.path) - self.episode_rows, n_starts)

    def start(self, envs: npt.NDArray[np.intp], rows: npt.NDArray[np.int64]) -> None:
        """Start episodes of some environments at given rows."""
        last = len(self.path) - 1
        ends = np.full(len(rows), last)
        if self.episode_rows is not None:
            ends = np.minimum(rows + self.episode_rows, last)
        self._memory[envs] = 0
        start_accounts(
            self.accounts,
            envs,
            rows,
            ends,
            self.rules.start_balance,
            self._candles,
            self._values,
            self._features,
            self.observations,
        )

    def step(self, actions: npt.ArrayLike) -> Stepped:
        """Trade one candle in every environment.

        Parameters
        ----------
        actions : array, (n_envs,)
            Numbers of actions, or targets from -1 to 1 where the actions are continuous.

        Raises
        ------
        ConfigError
            If an action does not exist.
        """
        chosen = self.actions.indices(actions)
        terminated, truncated = self._ended
        step_accounts(
            self.accounts,
            self.actions.flags[chosen],
            self.actions.sizes[chosen],
            self._candles,
            self._roi,
            self._values,
            self._features,
            self._log,
            self.steps,
            terminated,
            truncated,
            self.observations,
        )
        _pay(self._reward, self.steps, self._memory, self._rewards)
        ended = np.flatnonzero(terminated | truncated)
        final = {int(env): self.observations[env].copy() for env in ended}
        if ended.size:
            self.start(ended, self.draw_starts(len(ended)))
        return Stepped(self.observations, self._rewards, terminated, truncated, final)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which actions make sense now, (n_envs, n_actions)."""
        return self.actions.masks(self.sides, self.rules.can_short)


def _check(
    path: PricePath, rules: TradingRules, actions: Actions, window: int, rows: int | None
) -> None:
    for name in ("features", "funding_rate"):
        values = getattr(path, name)
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            place = tuple(int(each) for each in bad[0])
            raise DataError(
                f"environment: {name} holds {values[place]} at {place}. Cut the rows before the "
                "features begin, and fill what is missing after."
            )
    if not rules.can_short and (actions.targets < 0).any():
        raise ConfigError(
            f"environment: the targets {tuple(actions.targets)} go short, but the rules say "
            "can_short false. Give targets of 0 and above."
        )
    needed = window + (2 if rows is None else rows)
    if window < 1 or (rows is not None and rows < 1) or len(path) < needed:
        raise DataError(
            f"environment: a window of {window} rows and an episode of {rows or 'all'} rows need "
            f"{needed} rows, the path has {len(path)}. Give a longer path or a shorter episode."
        )


@numba.njit
def _pay(
    reward: Any, steps: np.ndarray, memory: npt.NDArray[np.float64], out: npt.NDArray[np.float64]
) -> None:
    for env in range(len(steps)):
        out[env] = reward(steps[env], memory[env])
