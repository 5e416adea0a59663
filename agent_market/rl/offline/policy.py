"""Policies that learn from a log alone: behavior cloning, CQL and BCQ.

Learned by d3rlpy, kept as plain layers: a saved policy is loaded and asked without it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from agent_market.errors import ConfigError, DataError, ModelUnavailable
from agent_market.learning.adapters.contract import Part
from agent_market.learning.adapters.parameters import library
from agent_market.learning.adapters.torch_scaling import Scaling
from agent_market.rl.offline.behavior import random_targets
from agent_market.rl.offline.buffer import Booleans, TransitionBuffer
from agent_market.rl.offline.settings import OfflineSettings
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.ground import Ground, t_value
from agent_market.rl.policies.hindsight import follow, hindsight_choices
from agent_market.rl.policies.policy import Features, Policy
from agent_market.rl.policies.problem import Choices, TradingProblem, nearest_index, net_gains

if TYPE_CHECKING:
    from agent_market.rl.offline.nets import HeldNet, Layers

PASSES = 4  # logs by chance that `fit` makes of one path


class OfflinePolicy(Policy):
    """What the policies of this module share: one log in, one small net out.

    The net sees the features of a row and which position is held. The rest of the position state
    in a buffer (profit, candles held, drawdown) is left out, so that the choices of all rows follow
    from one batch; prices are exogenous, and without stops the position is all that matters.
    """

    settings_type: ClassVar[type[OfflineSettings]] = OfflineSettings
    settings: OfflineSettings
    learns_values: ClassVar[bool] = True

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        library("torch", f"policy {self.name}")
        self.valid_t = 0.0
        self._scaling: Scaling
        self._layers: dict[str, Layers]

    def fit(self, paths: Sequence[PricePath], *, cost: float, seed: int = 0) -> None:
        """Log known paths under this policy's own behavior, and learn from the log.

        Policies of values try choices by chance, imitation copies hindsight. The last rows of each
        path are held out: unless the net profit there has a t value above `least_valid_t`, the
        policy stays flat for good. Features may be NaN.
        """
        problems = [TradingProblem.of(path, self.positions, cost) for path in paths]
        ground = Ground.of(
            problems,
            window=1,
            purge=self.settings.segment_candles,
            valid_share=self.settings.valid_share,
        )
        parts = []
        for number, span in enumerate(ground.train):
            problem = ground.whole.rows(span.start, span.stop)
            parts += [_logged(problem, targets) for targets in self._tried(problem, seed + number)]
        log = _Log(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        self._learn(log, seed)
        self.valid_t = self._measure(ground)
        self.stays_flat = not self.valid_t > self.settings.least_valid_t

    def fit_buffer(self, buffer: TransitionBuffer, *, seed: int = 0) -> None:
        """Learn from a log; `evaluation.gate` says what came of it.

        Parameters
        ----------
        buffer : TransitionBuffer
            Of the policy's positions.
        seed : int
            One seed gives one policy, to the byte, on one thread.

        Raises
        ------
        ModelUnavailable
            d3rlpy is not installed.
        ConfigError
            The log's positions are others, or it knows the future and values would be learned.
        DataError
            It has too few rows, or its rewards never vary.
        """
        self._check_log(buffer)
        follows = buffer.next_row >= 0
        log = _Log(
            buffer.observation, buffer.held, buffer.action, buffer.reward, follows, buffer.done
        )
        self._learn(log, seed)
        self.stays_flat = False

    def choices(self, features: Features) -> Choices:
        """See `Policy.choices`."""
        from agent_market.rl.offline.nets import preferences

        columns = self._scaling.columns(np.ascontiguousarray(features, dtype=np.float32))
        liked = preferences(self._net, columns, self.settings.threads)
        held = np.arange(liked.shape[1])
        kept = liked[:, held, held] >= liked.max(axis=2)
        return np.where(kept, held, liked.argmax(axis=2))

    def dump(self) -> bytes:
        """See `Policy.dump`."""
        import torch

        from agent_market.rl.offline.nets import state_dict

        target = io.BytesIO()
        torch.save(state_dict(self._scaling, self._layers), target)
        return target.getvalue()

    def parse(self, payload: bytes) -> None:
        """See `Policy.parse`."""
        import torch

        from agent_market.rl.offline.nets import from_state_dict

        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        self._scaling, self._layers = from_state_dict(content)
        self.__dict__.pop("_net", None)

    @cached_property
    def _net(self) -> HeldNet:
        from agent_market.rl.offline.nets import HeldNet

        return HeldNet(self._layers, len(self.positions), self.settings.least_likeliness)

    def _check_log(self, buffer: TransitionBuffer) -> None:
        if buffer.header.positions != self.settings.positions:
            raise ConfigError(
                f"policy {self.name}: the log's positions are {buffer.header.positions}, the "
                f"policy's {self.settings.positions}. Set positions to those of the log."
            )
        if self.learns_values and buffer.header.knows_future:
            raise ConfigError(
                f"policy {self.name}: the log was made by {buffer.header.behavior!r}, which knew "
                "the future: what its choices earned says nothing of the same choices made without "
                "that knowledge. Imitate it (bc), or log another behavior."
            )

    def _learn(self, log: _Log, seed: int) -> None:
        spread = log.reward.std() if len(log.reward) else 0.0
        if len(log.reward) < self.settings.batch_size or not spread > 0:
            raise DataError(
                f"policy {self.name}: the log has {len(log.reward):,} rows, and its rewards the "
                f"standard deviation {spread:g}. {self.settings.batch_size} rows with some "
                "variation are needed at least: log more candles."
            )
        learners = _learners(self.name)
        rows = np.arange(len(log.reward))
        part = Part(log.features, np.zeros(len(rows)), None, rows)
        self._scaling = Scaling.of(part, 1, labels=False)
        held = np.eye(len(self.positions), dtype=np.float32)[log.held]
        # an action whose outcome is cut off can be imitated, and cannot be valued
        usable = log.follows | log.done | (not self.learns_values)
        logged = learners.LoggedInputs(
            np.concatenate([self._scaling.columns(log.features), held], axis=1),
            log.action,
            (log.reward / spread).astype(np.float32),
            np.where(log.follows, rows + 1, -1),
            np.flatnonzero(usable),
        )
        self._layers = learners.train(self.name, self.settings, logged, len(self.positions), seed)
        self.n_features = log.features.shape[1]
        self.__dict__.pop("_net", None)

    def _tried(self, problem: TradingProblem, seed: int) -> list[Choices]:
        if not self.learns_values:
            flat = nearest_index(self.positions, 0.0)
            return [follow(hindsight_choices(problem), flat)]
        n_positions = len(self.positions)
        seeds = np.random.SeedSequence(seed).generate_state(PASSES)
        return [random_targets(len(problem), n_positions, seed=int(each)) for each in seeds]

    def _measure(self, ground: Ground) -> float:
        """Return the t value of the net profit on the rows held out, each path from flat."""
        earned = ground.earned_by(self.choices, ground.valid)
        return t_value(earned, self.settings.segment_candles)


class _Log(NamedTuple):
    """Rows to learn from; `follows` where the next row is what came of it."""

    features: Features
    held: Choices
    action: Choices
    reward: Floats
    follows: Booleans
    done: Booleans


def _logged(problem: TradingProblem, targets: Choices) -> _Log:
    """Return the log of following targets over a problem, from flat."""
    flat = nearest_index(problem.positions, 0.0)
    follows = np.ones(len(problem), dtype=bool)
    follows[-1:] = False
    return _Log(
        np.asarray(problem.features, dtype=np.float32),
        np.concatenate([[flat], targets[:-1]]),
        targets,
        net_gains(problem, targets, flat),
        follows,
        np.zeros(len(problem), dtype=bool),
    )


class BCPolicy(OfflinePolicy):
    """Does what the log did most often where it saw and held the same (behavior cloning)."""

    name = "bc"
    learns_values = False


class CQLPolicy(OfflinePolicy):
    """Takes the highest value, learned so that what the log never tried is not overrated.

    Kumar et al., "Conservative Q-Learning for Offline Reinforcement Learning" (2020, 2006.04779),
    in its discrete form over double DQN.
    """

    name = "cql"


class BCQPolicy(OfflinePolicy):
    """Takes the highest value among what the log did often enough where it saw the same.

    Fujimoto et al., "Benchmarking Batch Deep Reinforcement Learning Algorithms" (2019, 1910.01708).
    """

    name = "bcq"


def _learners(name: str) -> Any:
    try:
        from agent_market.rl.offline import learners
    except (ImportError, OSError) as error:
        raise ModelUnavailable(
            f"policy {name} learns by d3rlpy, which cannot be imported ({error}). Run "
            "`pip install -r requirements-rl.txt`. Policies that were saved need no d3rlpy."
        ) from error
    return learners
