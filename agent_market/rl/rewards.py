"""Rewards: what an environment pays for a step.

A reward is a plain function of what the step did and of a small memory of the episode::

    def profit_of_closed_trades(step, memory):
        return step.profit if step.n_closed else 0.0

It is compiled by numba, so it uses numbers and numpy only. `step` is a record of `STEP`; `memory`
is an array of 4 numbers, zeros at the start of an episode, that the function may change. Give the
function, or the name of one in `REWARDS`, to an environment.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError

Reward = Callable[[Any, npt.NDArray[np.float64]], float]

STEP = np.dtype(
    [
        ("profit", np.float64),  # change of the balance, as a share of it, open to open
        ("drawdown", np.float64),  # loss since the episode's best balance, as a share
        ("position", np.float64),  # after the step, -1 to 1
        ("candles_held", np.int64),
        ("n_closed", np.int64),  # trades that the step closed
        ("losing_streak", np.int64),  # closed trades lost in a row, up to now
    ]
)
"""What a reward knows of a step."""

N_MEMORY = 4


@functools.cache
def _compiled(reward: Reward) -> Reward:
    """Compile a function once, however many environments use it."""
    if isinstance(reward, numba.core.registry.CPUDispatcher):
        return reward  # type: ignore[no-any-return]
    return numba.njit(reward)  # type: ignore[no-any-return]


def net_profit(step: Any, memory: npt.NDArray[np.float64]) -> float:
    """Return the change of the balance after costs and funding, as a share of it."""
    return step.profit  # type: ignore[no-any-return]


def differential_sharpe(step: Any, memory: npt.NDArray[np.float64], rate: float = 0.01) -> float:
    """Return how much the step moves a running Sharpe ratio.

    Parameters
    ----------
    step : record of STEP
    memory : array, float64, (4,)
        The running first and second moment of the profit are kept in the first two places.
    rate : float
        Weight of a new profit in the moments.

    Notes
    -----
    Moody and Saffell, "Learning to trade via direct reinforcement", 2001, equation 15. 0 until the
    running variance is positive.
    """
    mean, square = memory[0], memory[1]
    to_mean, to_square = step.profit - mean, step.profit**2 - square
    memory[0] = mean + rate * to_mean
    memory[1] = square + rate * to_square
    variance = square - mean * mean
    if variance <= 1e-12:
        return 0.0
    return (square * to_mean - 0.5 * mean * to_square) / variance**1.5  # type: ignore[no-any-return]


_differential_sharpe = numba.njit(differential_sharpe)


def risk_adjusted_reward(
    drawdown: float = 0.5, losing_streak: float = 0.0005, sharpe: float = 0.0002
) -> Reward:
    """Return a reward that charges risk.

    Parameters
    ----------
    drawdown : float
        Charged times the growth of the drawdown.
    losing_streak : float
        Charged for every losing trade that follows one.
    sharpe : float
        Paid times the differential Sharpe ratio.
    """

    def risk_adjusted(step: Any, memory: npt.NDArray[np.float64]) -> float:
        reward = step.profit + sharpe * _differential_sharpe(step, memory)
        reward -= drawdown * max(step.drawdown - memory[2], 0.0)
        memory[2] = step.drawdown
        if step.n_closed > 0 and step.losing_streak > 1:
            reward -= losing_streak
        return reward  # type: ignore[no-any-return]

    return risk_adjusted


def compound_reward(fast: Reward = net_profit, sharpe: float = 0.0005) -> Reward:
    """Return a fast reward plus a multiple of the differential Sharpe ratio.

    Parameters
    ----------
    fast : function
        A reward that leaves the first two places of the memory alone.
    sharpe : float
        The multiple, lambda.
    """
    compiled = _compiled(fast)

    def compound(step: Any, memory: npt.NDArray[np.float64]) -> float:
        slow = _differential_sharpe(step, memory)
        return compiled(step, memory) + sharpe * slow  # type: ignore[no-any-return]

    return compound


REWARDS: dict[str, Reward] = {
    "net_profit": net_profit,
    "differential_sharpe": differential_sharpe,
    "risk_adjusted": risk_adjusted_reward(),
    "compound": compound_reward(),
}
"""By the name that an environment and a configuration may give."""


def compiled_reward(reward: str | Reward) -> Reward:
    """Return a reward as numba compiles it.

    Parameters
    ----------
    reward : str or function
        A key of `REWARDS`, or a function of a step and a memory.

    Raises
    ------
    ConfigError
        If the name is not one of `REWARDS`.
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise ConfigError(
                f"the reward {reward!r} does not exist. Give one of {', '.join(REWARDS)}, or a "
                "function."
            )
        reward = REWARDS[reward]
    return _compiled(reward)
