"""Policies as model adapters: what trains, stores and hands over models does so with policies."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.inputs import Features, FloatArray
from agent_market.learning.adapters.model_file import add_member
from agent_market.rl.offline.policy import CQLPolicy
from agent_market.rl.paths import PricePath
from agent_market.rl.policies.exact import ExactPolicy
from agent_market.rl.policies.imitation import ImitationPolicy
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.sb3 import PPOPolicy

COST_BPS = 6.0
_STATE, _VALUES = "state.json", "values"
_PROBED_ROWS = 2000


@dataclass(frozen=True)
class _Model:
    policy: Policy
    importance: FloatArray


class PolicyAdapter(ModelAdapter):
    """A policy that is fitted to the return of the candle on which its choice is held.

    The label of row t is what a long position earns from the open of candle t + 1 to that of t + 2
    (`learning.labels.HoldingReturn`). Rows without a usable label earn nothing. A policy keeps a
    validation part of its own (`valid_share`), so the rows of FreqAI's test split are trained on.

    Parameters
    ----------
    params : mapping, optional
        `cost_bps`, fee and slippage of one side in basis points (6 by default), and the settings of
        the policy.
    """

    task = "policy"
    suffix = "policy"
    policy_type: ClassVar[type[Policy]]

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        settings = dict(self.params)
        cost = settings.pop("cost_bps", COST_BPS)
        if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < 10_000:
            raise ConfigError(f"{self.name}: cost_bps is {cost!r}. Give basis points, such as 6.")
        self._cost, self._settings = float(cost) / 10_000, settings
        policy = self.policy_type(settings)
        self.positions = tuple(float(position) for position in policy.positions)
        # two rows at least, so that the rows to fit on are consecutive candles
        self.window = max(2, policy.settings.window_candles)

    @classmethod
    def section(cls) -> str:
        """Return `<name>_policy`."""
        return f"{cls.policy_type.name}_policy"

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> _Model:
        """Return the fitted policy."""
        policy = self.policy_type(self._settings)
        policy.fit([self._path(train, valid)], cost=self._cost, seed=seed)
        return _Model(policy, _importance(policy, train.X[-_PROBED_ROWS:]))

    def predict_model(self, model: _Model, X: Features) -> FloatArray:
        """Return the next position by the one held, (n_rows - window + 1, n_positions)."""
        n_rows = len(X) - self.window + 1
        if model.policy.stays_flat:
            return np.zeros((n_rows, len(self.positions)))
        chosen = model.policy.choices(X)[self.window - 1 :]
        return np.asarray(model.policy.positions[chosen])

    def importance(self, model: _Model, n_features: int) -> FloatArray:
        """Return the share of choices that change where a feature is not known."""
        return model.importance

    def dump(self, model: _Model) -> bytes:
        """Return a zip archive of the policy's values and plain JSON."""
        state = {
            "n_features": model.policy.n_features,
            "stays_flat": model.policy.stays_flat,
            "importance": model.importance.tolist(),
        }
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            add_member(archive, _STATE, json.dumps(state).encode())
            add_member(archive, _VALUES, model.policy.dump())
        return target.getvalue()

    def parse(self, payload: bytes) -> _Model:
        """Return the policy that `dump` wrote."""
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            state = json.loads(archive.read(_STATE))
            policy = self.policy_type(self._settings)
            policy.n_features, policy.stays_flat = state["n_features"], state["stays_flat"]
            policy.parse(archive.read(_VALUES))
        return _Model(policy, np.array(state["importance"]))

    def _path(self, train: Part, valid: Part | None) -> PricePath:
        """Return prices on which a long position earns the labels."""
        tables, earned = [], []
        for part in (train, valid):
            if part is None or part.targets is None:
                continue
            gains = np.zeros(len(part.X))
            gains[part.targets] = part.y
            # of the validation part, leave out the rows that are there as context alone
            first = 0 if part is train else self.window - 1
            tables.append(part.X[first:])
            earned.append(gains[first:])
        # the gain of row t is the change from the open of t + 1 to that of t + 2
        opened = np.concatenate([[1.0, 1.0], np.cumprod(1 + np.concatenate(earned))])
        features = np.concatenate([*tables, tables[-1][-1:], tables[-1][-1:]])
        return PricePath(features, opened, opened, opened, opened, np.zeros(len(opened)))


class ExactAdapter(PolicyAdapter):
    """The exact policy."""

    name = "agent_market.rl.adapters:ExactAdapter"
    policy_type = ExactPolicy


class PPOAdapter(PolicyAdapter):
    """Proximal policy optimization on the trading environment."""

    name = "agent_market.rl.adapters:PPOAdapter"
    policy_type = PPOPolicy


class CQLAdapter(PolicyAdapter):
    """Conservative Q-learning from a log of the training rows."""

    name = "agent_market.rl.adapters:CQLAdapter"
    policy_type = CQLPolicy


class ImitationAdapter(PolicyAdapter):
    """Behavior cloning of the best positions in hindsight."""

    name = "agent_market.rl.adapters:ImitationAdapter"
    policy_type = ImitationPolicy


POLICY_ADAPTERS: tuple[type[PolicyAdapter], ...] = (
    ExactAdapter,
    PPOAdapter,
    CQLAdapter,
    ImitationAdapter,
)


def _importance(policy: Policy, X: Features) -> FloatArray:
    """Return for each feature the share of choices that change if it is NaN throughout."""
    if policy.stays_flat:
        return np.zeros(X.shape[1])
    known = policy.choices(X)
    changed = np.empty(X.shape[1])
    for column in range(X.shape[1]):
        without = X.copy()
        without[:, column] = np.nan
        changed[column] = (policy.choices(without) != known).mean()
    return changed
