"""The best that could have been earned on a known path: dynamic programming over positions.

An upper bound for every policy, and a teacher for imitation. It sees the future, so nothing of it
may reach a feature.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from agent_market.rl.paths import Floats
from agent_market.rl.policies.problem import Choices, TradingProblem, net_gains


@njit(cache=True, nogil=True)
def values_to_go(gains: Floats, costs: Floats) -> Floats:
    """Return the most that can still be earned from each row and position.

    Parameters
    ----------
    gains : array, float64, (n_rows, n_positions)
        Of the position chosen on a row.
    costs : array, float64, (n_positions, n_positions)
        [previous, next].

    Returns
    -------
    array, float64, (n_rows + 1, n_positions)
        [t, p]: before the choice of row t, when p is held; the last row is 0.

    Notes
    -----
    Information time: row t uses all rows from t on. Bellman (1957), with the position alone as
    the state, for prices are exogenous.
    """
    n_rows, n_positions = gains.shape
    values = np.zeros((n_rows + 1, n_positions))
    for t in range(n_rows - 1, -1, -1):
        for p in range(n_positions):
            best = -np.inf
            for q in range(n_positions):
                best = max(best, gains[t, q] - costs[p, q] + values[t + 1, q])
            values[t, p] = best
    return values


@njit(cache=True, nogil=True)
def optimal_choices(gains: Floats, costs: Floats, values: Floats) -> Choices:
    """Return the best next position of each row and position held, (n_rows, n_positions).

    Where several are best, the one held is kept if it is among them, else the first is taken.
    """
    n_rows, n_positions = gains.shape
    choices = np.empty((n_rows, n_positions), dtype=np.int64)
    for t in range(n_rows):
        for p in range(n_positions):
            chosen, best = p, gains[t, p] - costs[p, p] + values[t + 1, p]
            for q in range(n_positions):
                value = gains[t, q] - costs[p, q] + values[t + 1, q]
                if value > best:
                    chosen, best = q, value
            choices[t, p] = chosen
    return choices


@njit(cache=True, nogil=True)
def follow(choices: Choices, start: int) -> Choices:
    """Return the positions that a table of choices leads through, (n_rows,), as indices.

    Parameters
    ----------
    choices : array, int64, (n_rows, n_positions)
        [t, p]: what is chosen on row t when p is held.
    start : int
        Held before the first row.
    """
    held = start
    path = np.empty(len(choices), dtype=np.int64)
    for t in range(len(choices)):
        held = choices[t, held]
        path[t] = held
    return path


def hindsight_choices(problem: TradingProblem) -> Choices:
    """Return the best next position of each row and position held, (n_rows, n_positions)."""
    values = values_to_go(problem.gains, problem.costs)
    return np.asarray(optimal_choices(problem.gains, problem.costs, values))


def regrets(problem: TradingProblem) -> Floats:
    """Return what each choice loses against the best one, all later choices being the best.

    Returns
    -------
    array, float64, (n_rows, n_positions, n_positions)
        [t, held, chosen], as a share of capital; not negative.
    """
    values = values_to_go(problem.gains, problem.costs)
    after = problem.gains + values[1:]
    return np.asarray(values[:-1, :, None] - (after[:, None, :] - problem.costs))


def optimum(problem: TradingProblem, drift: Floats | None = None, *, start: int) -> float:
    """Return the net profit of the best choices, as a share of capital.

    Parameters
    ----------
    problem : TradingProblem
    drift : array, float64, (n_rows, n_positions), optional
        Expected gains by which the choices are made in place of those that came true: the profit
        of one who knows all expected gains, earlier and later, and no noise.
    start : int
        The position before the first row, as an index.

    Returns
    -------
    float
        Of the gains that came true; the last position is not closed.
    """
    basis = problem.gains if drift is None else drift
    values = values_to_go(basis, problem.costs)
    chosen = follow(optimal_choices(basis, problem.costs, values), start)
    return float(net_gains(problem, chosen, start).sum())
