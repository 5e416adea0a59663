"""Policies of stable-baselines3 (PPO, A2C, SAC) and MaskablePPO of sb3-contrib.

The libraries are imported when a policy is made. The agent sees standardized features and the
position held, and nothing else of its account, so that choices of all rows can be computed at once
like those of every other policy.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import Part
from agent_market.learning.adapters.parameters import library
from agent_market.learning.adapters.torch_scaling import Scaling
from agent_market.rl.paths import PricePath
from agent_market.rl.policies.ground import Ground, rows_of, t_value
from agent_market.rl.policies.looks import Looks, earned_unchosen, judge_halves
from agent_market.rl.policies.policy import Features, Policy, PolicySettings
from agent_market.rl.policies.problem import Choices, TradingProblem
from agent_market.rl.rules import TradingRules

BLOCK = 512  # rows chosen for at a time


class Sb3Settings(PolicySettings):
    """Settings of the policies that stable-baselines3 trains.

    total_steps : environment steps of the training, all environments together.
    n_envs : accounts that trade at a time.
    episode_candles : rows of an episode, which starts at a random row.
    reward : a name in `rl.rewards.REWARDS`.
    evaluations : how often the policy is tried on the validation rows; the best one is kept.
    valid_share, least_valid_t : as of `Recipe`.
    algorithm : arguments of the algorithm's class, such as `learning_rate`, over our defaults.
    threads : of torch.
    """

    total_steps: int = Field(default=300_000, ge=1)
    n_envs: int = Field(default=64, ge=1)
    episode_candles: int = Field(default=128, ge=2)
    reward: str = "net_profit"
    evaluations: int = Field(default=10, ge=1)
    valid_share: float = Field(default=0.2, gt=0, lt=1)
    least_valid_t: float = 1.65
    algorithm: dict[str, Any] = Field(default_factory=dict)
    threads: int = Field(default=1, ge=1)


class Sb3Policy(Policy):
    """What the policies of stable-baselines3 share.

    After `fit`, `judgments` holds the net profit of the validation rows after each part of the
    training, and `valid_t` the t value on each half of them of the part chosen by the other.
    """

    settings_type: ClassVar[type[Sb3Settings]] = Sb3Settings
    settings: Sb3Settings
    package = "stable_baselines3"
    class_name: str
    defaults: ClassVar[Mapping[str, Any]]
    is_continuous: ClassVar[bool] = False

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        library(self.package, f"policy {self.name}")
        self.judgments: list[float] = []
        self.valid_t = 0.0
        self._scaling: Scaling
        self._agent: Any = None

    @property
    def has_masks(self) -> bool:
        """Whether the actions are FreqAI's five, of which some make no sense at a time."""
        return False

    def fit(self, paths: Sequence[PricePath], *, cost: float, seed: int = 0) -> None:
        """See `Policy.fit`."""
        from agent_market.learning.adapters.torch_training import torch_threads

        settings = self.settings
        ground = Ground.of(
            [TradingProblem.of(path, self.positions, cost) for path in paths],
            window=settings.window_candles,
            purge=settings.episode_candles + settings.window_candles,
            valid_share=settings.valid_share,
        )
        rows = rows_of(ground.train)
        features = np.ascontiguousarray(ground.whole.features, dtype=np.float32)
        part = Part(features, np.zeros(len(rows)), None, rows)
        self._scaling = Scaling.of(part, settings.window_candles, labels=False)
        self.n_features, self.stays_flat = features.shape[1], False
        with torch_threads(settings.threads):
            envs = [
                self._environment(path, len(span) + settings.window_candles - 1, cost, ground.unit)
                for path, span in zip(paths, ground.train, strict=True)
            ]
            looks = self._learn(envs, ground, seed)
            self.judgments = looks.judgments
            earned = earned_unchosen(
                ground, lambda kind: self._agent.load_state_dict(looks.values(kind)), self.choices
            )
        self.valid_t = t_value(earned, settings.episode_candles)
        self.stays_flat = not self.valid_t > settings.least_valid_t

    def choices(self, features: Features) -> Choices:
        """See `Policy.choices`."""
        from agent_market.learning.adapters.torch_training import torch_threads

        window, n_positions = self.settings.window_candles, len(self.positions)
        choices = np.tile(np.arange(n_positions), (len(features), 1))
        columns = self._scaling.columns(np.ascontiguousarray(features, dtype=np.float32))
        ends = np.arange(window - 1, len(features))
        with torch_threads(self.settings.threads):
            for first in range(0, len(ends), BLOCK):
                rows = ends[first : first + BLOCK]
                filled = np.concatenate([rows, np.repeat(rows[-1:], BLOCK - len(rows))])
                choices[rows] = self._choose(_windows(columns, filled, window))[: len(rows)]
        return choices

    def dump(self) -> bytes:
        """See `Policy.dump`."""
        import torch

        scaling = {name: torch.from_numpy(v) for name, v in asdict(self._scaling).items()}
        target = io.BytesIO()
        torch.save({"scaling": scaling, "agent": dict(self._agent.state_dict())}, target)
        return target.getvalue()

    def parse(self, payload: bytes) -> None:
        """See `Policy.parse`."""
        import torch

        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        saved = content["scaling"]
        self._scaling = Scaling(
            **{field.name: saved[field.name].numpy() for field in fields(Scaling)}
        )
        blank = {"buffer_size": 1} if self.is_continuous else {}
        self._agent = self._algorithm(self._blank_environment(), seed=0, **blank).policy
        self._agent.load_state_dict(content["agent"])
        self._agent.set_training_mode(False)

    def _environment(self, path: PricePath, n_rows: int, cost: float, unit: float) -> Any:
        """Return the environment of a path's training rows, as the agent sees it."""
        from agent_market.rl.policies.sb3_environment import position_only

        settings, leverage = self.settings, self._leverage()
        return position_only(
            _first_rows(path, n_rows, self._scaling),
            targets=None if self.has_masks else tuple(self.positions / leverage),
            is_continuous=self.is_continuous,
            rules=TradingRules(fee=cost, leverage=leverage, can_short=self.positions[0] < 0),
            n_envs=settings.n_envs,
            window=settings.window_candles,
            episode_candles=settings.episode_candles,
            reward=settings.reward,
            unit=unit,
        )

    def _learn(self, envs: Sequence[Any], ground: Ground, seed: int) -> Looks:
        settings, looks = self.settings, Looks()
        algorithm = self._algorithm(envs[0], seed)
        self._agent = algorithm.policy
        part = settings.total_steps // (settings.evaluations * len(envs))
        for env in envs:
            env.seed(seed)
        for _ in range(settings.evaluations):
            for env in envs:
                algorithm.set_env(env)
                algorithm.learn(part, reset_num_timesteps=False, progress_bar=False)
            self._agent.set_training_mode(False)
            judgments = judge_halves(
                ground, lambda span: float(ground.earned_by(self.choices, [span]).sum())
            )
            looks.add(*judgments, self._agent.state_dict())
        return looks

    def _algorithm(self, env: Any, seed: int, **forced: Any) -> Any:
        """Return the algorithm on an environment."""
        made = getattr(library(self.package, f"policy {self.name}"), self.class_name)
        options = {**self.defaults, **self.settings.algorithm, **forced}
        try:
            return made("MlpPolicy", env, seed=seed, device="cpu", **options)
        except TypeError as error:
            raise ConfigError(
                f"policy {self.name}: {self.class_name} refused its arguments ({error}). Correct "
                f"`algorithm`, now {self.settings.algorithm}."
            ) from error

    def _leverage(self) -> float:
        return max(1.0, float(np.abs(self.positions).max()))

    def _choose(self, windows: Features) -> Choices:
        """Return choices of (n, window * n_columns), (n, n_positions)."""
        n_positions = len(self.positions)
        held = np.tile(self.positions / self._leverage(), len(windows)).astype(np.float32)
        seen = np.column_stack([np.repeat(windows, n_positions, axis=0), held])
        return self._asked(seen).reshape(len(windows), n_positions)

    def _asked(self, seen: Features) -> Choices:
        """Return the index of the position that each observation's action asks for."""
        actions, _ = self._agent.predict(seen, deterministic=True)
        return np.asarray(actions)

    def _blank_environment(self) -> Any:
        """Return an environment of the right spaces for a policy that is read, not trained."""
        n_rows = self.settings.episode_candles + self.settings.window_candles + 2
        prices = np.ones(n_rows)
        features = np.zeros((n_rows, self.n_features), dtype=np.float32)
        blank = PricePath(features, prices, prices, prices, prices, np.zeros(n_rows))
        return self._environment(blank, n_rows, cost=0.0, unit=1.0)


class PPOSettings(Sb3Settings):
    """Settings of PPO.

    actions : `targets` asks for a position; `five` are FreqAI's (neutral, enter and exit long,
        enter and exit short), of which those that make no sense are masked.
    """

    actions: Literal["targets", "five"] = "targets"


class PPOPolicy(Sb3Policy):
    """Proximal policy optimization: Schulman et al. (2017), 1707.06347.

    With FreqAI's five actions it is MaskablePPO: Huang and Ontanon (2020), 2006.14171.
    """

    name = "ppo"
    class_name = "PPO"
    settings_type: ClassVar[type[PPOSettings]] = PPOSettings
    settings: PPOSettings
    defaults: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 1e-3,
        "n_steps": 128,
        "batch_size": 1024,
        "n_epochs": 5,
        "gamma": 0.97,
        "gae_lambda": 0.9,
        "ent_coef": 0.01,
        "policy_kwargs": {"net_arch": [64, 64]},
    }

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        if self.has_masks:
            self.package, self.class_name = "sb3_contrib", "MaskablePPO"
            library(self.package, f"policy {self.name}")
            if self.settings.positions not in ((-1.0, 0.0, 1.0), (0.0, 1.0)):
                raise ConfigError(
                    f"policy ppo: five actions know the positions -1, 0 and 1, found "
                    f"{self.settings.positions}. Take these, or actions 'targets'."
                )

    @property
    def has_masks(self) -> bool:
        """See `Sb3Policy.has_masks`."""
        return self.settings.actions == "five"

    def _asked(self, seen: Features) -> Choices:
        if not self.has_masks:
            return super()._asked(seen)
        flat = int(np.flatnonzero(self.positions == 0)[0])
        held = np.rint(seen[:, -1]).astype(np.int64)
        can_short = flat > 0
        masks = np.stack(
            [held == held, held == 0, held > 0, (held == 0) & can_short, held < 0], axis=1
        )
        actions, _ = self._agent.predict(seen, deterministic=True, action_masks=masks)
        after = np.select([actions == 1, actions == 3, actions == 0], [1, -1, held], 0)
        return np.asarray(after + flat)


class A2CPolicy(Sb3Policy):
    """Advantage actor-critic: Mnih et al. (2016), 1602.01783."""

    name = "a2c"
    class_name = "A2C"
    defaults: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 1e-3,
        "n_steps": 16,
        "gamma": 0.97,
        "gae_lambda": 0.9,
        "ent_coef": 0.01,
        "policy_kwargs": {"net_arch": [64, 64]},
    }


class SACSettings(Sb3Settings):
    """Settings of SAC.

    positions : the agent's number from -1 to 1, times the largest of them, is taken to the nearest.
    """

    total_steps: int = Field(default=40_000, ge=1)
    n_envs: int = Field(default=16, ge=1)


class SACPolicy(Sb3Policy):
    """Soft actor-critic with a target position from -1 to 1: Haarnoja et al. (2018), 1812.05905."""

    name = "sac"
    class_name = "SAC"
    is_continuous = True
    settings_type: ClassVar[type[SACSettings]] = SACSettings
    defaults: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 2e-3,
        # from 1, where it starts otherwise, it falls slowly, and chance rules the training
        "ent_coef": "auto_0.05",
        "batch_size": 512,
        "buffer_size": 200_000,
        "learning_starts": 2_000,
        "train_freq": 8,
        "gradient_steps": 8,
        "gamma": 0.9,
        "policy_kwargs": {"net_arch": [64, 64]},
    }

    def _asked(self, seen: Features) -> Choices:
        actions, _ = self._agent.predict(seen, deterministic=True)
        targets = self.positions / self._leverage()
        return np.asarray(np.abs(actions.reshape(-1, 1) - targets).argmin(axis=1))


def _first_rows(path: PricePath, n_rows: int, scaling: Scaling) -> PricePath:
    """Return the first rows with features as the agent sees them."""
    part = slice(0, n_rows)
    cut = {
        name: getattr(path, name)[part] for name in ("open", "high", "low", "close", "funding_rate")
    }
    features = np.ascontiguousarray(path.features[part], dtype=np.float32)
    return PricePath(features=scaling.columns(features), **cut)


def _windows(columns: Features, ends: Any, window: int) -> Features:
    """Return the rows that end at some rows, the oldest first, (n, window * n_columns)."""
    rows = ends[:, None] + np.arange(1 - window, 1)
    return np.asarray(columns[rows].reshape(len(ends), -1))
