"""One protocol for every policy: fit, positions of many rows, the position of one, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from agent_market.errors import ConfigError, DataError
from agent_market.learning.adapters.parameters import nearest
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.policies.policy_file import PolicyHeader, read_policy, write_policy
from agent_market.rl.policies.problem import Choices, check_positions, nearest_index
from agent_market.settings import Section

Features = npt.NDArray[np.float32]


class PolicySettings(Section):
    """What every policy has.

    positions : what may be held, as multiples of capital; ascending, 0 among them.
    window_candles : rows that a choice is made from, the newest last.
    """

    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    window_candles: int = Field(default=1, ge=1)


class Policy(ABC):
    """Says which position to take next, given features and the position held.

    A policy knows two things of a row: its features (of the last `window_candles` rows) and the
    position that is held. Choices of all rows are computed at once for every position that may be
    held, and then followed row by row, so that a backtest is one batch.

    Parameters
    ----------
    params : mapping, optional
        Settings by name; see the class's `settings_type`.

    Raises
    ------
    ConfigError
        A setting is unknown or out of bounds.
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[PolicySettings]] = PolicySettings

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.settings = read_settings(self.settings_type, params or {}, self.name)
        self.positions = np.array(self.settings.positions)
        check_positions(self.positions)
        self.n_features = 0
        self.stays_flat = False

    @abstractmethod
    def fit(self, paths: Sequence[PricePath], *, cost: float, seed: int = 0) -> None:
        """Learn from paths, such as one a pair; all from one span of time, oldest rows first.

        Parameters
        ----------
        paths : sequence of PricePath
        cost : float
            Fee and slippage of one side, as a share of the value traded.
        seed : int
            One seed gives one policy, to the byte.
        """

    @abstractmethod
    def choices(self, features: Features) -> Choices:
        """Return what is chosen on each row for each position held, (n_rows, n_positions).

        Rows before the first whole window keep what is held. Information time: row t uses rows
        t - window_candles + 1 .. t.
        """

    @abstractmethod
    def dump(self) -> bytes:
        """Return what was learned, as tensors and plain values, never pickled objects."""

    @abstractmethod
    def parse(self, payload: bytes) -> None:
        """Take over what `dump` returned."""

    def positions_of(self, features: Features, start_position: float = 0.0) -> Floats:
        """Return the position of each row, as multiples of capital.

        Parameters
        ----------
        features : array, float32, (n_rows, n_features)
            NaN counts as the mean of the training rows.
        start_position : float
            Held before the first row; the nearest of `positions` is taken.

        Returns
        -------
        array, float64, (n_rows,)
            Decided at the close of its row.
        """
        self._check(features)
        if self.stays_flat:
            return np.zeros(len(features))
        start = nearest_index(self.positions, start_position)
        return np.asarray(self.positions[follow(self.choices(features), start)])

    def act(self, rows: Features, position: float) -> float:
        """Return the position to take after the newest row, as `positions_of` would.

        Parameters
        ----------
        rows : array, float32, (window_candles, n_features) or, for a window of 1, (n_features,)
            The newest last.
        position : float
            Held now.
        """
        window = np.atleast_2d(rows)[-self.settings.window_candles :]
        return float(self.positions_of(window, position)[-1])

    def save(self, path: Path) -> None:
        """Write the policy as one file, atomically; equal policies give equal bytes."""
        self._require_fit()
        header = PolicyHeader(
            policy=self.name,
            settings=self.settings.model_dump(mode="json"),
            n_features=self.n_features,
            stays_flat=self.stays_flat,
        )
        write_policy(path, header, self.dump())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the policy that `save` wrote.

        Raises
        ------
        ModelUnavailable
            There is no such file.
        StateCorrupt
            The file was cut or damaged.
        ConfigError
            Another kind of policy wrote it.
        """
        header, payload = read_policy(path)
        if header.policy != cls.name:
            raise ConfigError(
                f"{path} holds a policy {header.policy!r}, not {cls.name!r}. Load it with "
                "load_policy, which takes the name from the file."
            )
        policy = cls(header.settings)
        policy.n_features, policy.stays_flat = header.n_features, header.stays_flat
        policy.parse(payload)
        return policy

    def _check(self, features: Features) -> None:
        self._require_fit()
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise DataError(
                f"policy {self.name}: the features have the shape {features.shape}, it was trained "
                f"on {self.n_features} features. Pass (n_rows, {self.n_features})."
            )

    def _require_fit(self) -> None:
        if not self.n_features:
            raise ConfigError(f"policy {self.name} has not learned anything yet. Call fit first.")


def read_settings(
    model: type[PolicySettings], params: Mapping[str, Any], name: str
) -> PolicySettings:
    """Return checked settings.

    Raises
    ------
    ConfigError
        A name is unknown (the message says the nearest) or a value is out of bounds.
    """
    for key in params:
        if key not in model.model_fields:
            raise ConfigError(
                f"policy {name}: there is no setting {key!r}. Did you mean "
                f"{nearest(key, model.model_fields)!r}?"
            )
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"policy {name}: {'.'.join(map(str, first['loc']))} is {first['input']!r}: "
            f"{first['msg']}. Correct it."
        ) from error
