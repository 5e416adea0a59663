"""What the numbers that an agent gives mean: signals and the size of a position."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError
from agent_market.rl.accounting import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT

FIVE_ACTIONS = ("neutral", "long_enter", "long_exit", "short_enter", "short_exit")
"""FreqAI's `Base5ActionRLEnv`, in its order."""


@dataclass(frozen=True)
class Actions:
    """A table of actions.

    Parameters
    ----------
    names : tuple of str
    flags : array, int64, (n_actions,)
        Signals of the host: `ENTER_LONG`, `EXIT_LONG`, `ENTER_SHORT`, `EXIT_SHORT`.
    sizes : array, float64, (n_actions,)
        Share of the balance that an entry stakes.
    targets : array, float64, (n_actions,)
        Position that the action asks for, ascending; empty where an action asks for none.
    is_continuous : bool
        The agent gives a number from -1 to 1, and the nearest target is taken.
    """

    names: tuple[str, ...]
    flags: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    is_continuous: bool = False

    def __len__(self) -> int:
        """Return the number of actions."""
        return len(self.names)

    def indices(self, actions: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Return rows of the table for what agents gave.

        Raises
        ------
        ConfigError
            If an action is not one of the table.
        """
        given = np.asarray(actions)
        if self.is_continuous:
            middles = (self.targets[1:] + self.targets[:-1]) / 2
            return np.searchsorted(middles, given.reshape(len(given)))
        if given.size and not (given.min() >= 0 and given.max() < len(self)):
            raise ConfigError(
                f"environment: an action is outside 0 to {len(self) - 1}: {given.min()} to "
                f"{given.max()}."
            )
        return given.astype(np.intp, copy=False)

    def masks(self, sides: npt.NDArray[np.int64], can_short: bool) -> npt.NDArray[np.bool_]:
        """Return which actions do something, or nothing on purpose.

        Parameters
        ----------
        sides : array, int64, (n_envs,)
            1 long, -1 short, 0 flat.
        can_short : bool

        Returns
        -------
        array, bool, (n_envs, n_actions)
        """
        masks = np.ones((len(sides), len(self)), np.bool_)
        if self.targets.size:
            return masks
        masks[:, 1] = sides == 0
        masks[:, 2] = sides > 0
        masks[:, 3] = (sides == 0) & can_short
        masks[:, 4] = sides < 0
        return masks


def target_actions(
    targets: Sequence[float] = (-1.0, 0.0, 1.0), is_continuous: bool = False
) -> Actions:
    """Return actions that ask for a position, as a share of the balance times the leverage.

    Parameters
    ----------
    targets : sequence of float
        Ascending, from -1 to 1, 0 among them.
    is_continuous : bool
        See `Actions`.

    Notes
    -----
    A target is kept up: after a stop-loss the next row that still asks for it enters again.

    Raises
    ------
    ConfigError
        If the targets are not as said.
    """
    values = np.asarray(targets, np.float64)
    is_right = values.size > 1 and (np.diff(values) > 0).all() and abs(values).max() <= 1
    if not is_right or 0 not in values:
        raise ConfigError(
            f"environment: the targets are {tuple(targets)}, they must ascend from -1 to 1 and "
            "hold 0."
        )
    flags = np.select(
        [values > 0, values < 0],
        [ENTER_LONG | EXIT_SHORT, ENTER_SHORT | EXIT_LONG],
        EXIT_LONG | EXIT_SHORT,
    )
    names = tuple(f"{value:+g}" for value in values)
    return Actions(names, flags, abs(values), values, is_continuous)


def five_actions() -> Actions:
    """Return FreqAI's five actions; those that do not fit the position do nothing."""
    flags = np.array([0, ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT])
    return Actions(FIVE_ACTIONS, flags, np.ones(5), np.zeros(0))
