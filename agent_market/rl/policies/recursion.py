"""The expected profit of a stochastic policy over known paths, and its exact gradient.

Prices do not react to our trades, so the distribution d of positions follows from the policy alone:

    d_{t+1}(q) = sum_p d_t(p) pi_t(q | p)
    J = sum_t sum_{p,q} d_t(p) pi_t(q | p) (g_t(q) - c(p, q))

No sampling and no critic. With V_t(p) = sum_q pi_t(q | p) A_t(p, q) and
A_t(p, q) = g_t(q) - c(p, q) + V_{t+1}(q), the gradient by a probability is d_t(p) A_t(p, q), and by
its logit d_t(p) pi_t(q | p) (A_t(p, q) - V_t(p)). An entropy bonus of `entropy` for every choice
adds -entropy log pi_t(q | p) to A. Compare Sinclair et al., "Hindsight Learning for MDPs with
Exogenous Inputs" (2022, 2207.06272), and Moody and Saffell, "Learning to Trade via Direct
Reinforcement" (2001).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from agent_market.rl.paths import Floats

Float32 = npt.NDArray[np.float32]


@njit(cache=True, nogil=True)
def expected_profit(
    scores: Float32,
    switching: Floats,
    gains: Floats,
    costs: Floats,
    entropy: float,
) -> tuple[float, float, Float32, Floats]:
    """Return the mean expected profit of segments, and its gradient.

    Parameters
    ----------
    scores : array, float32, (n_segments, n_rows, n_positions)
        What the policy thinks of each next position; the logits are these plus `switching`.
    switching : array, float64, (n_positions, n_positions)
        [previous, next].
    gains : array, float64, (n_segments, n_rows, n_positions)
    costs : array, float64, (n_positions, n_positions)
    entropy : float
        Bonus a row for each nat of the policy's entropy, in the unit of the gains.

    Returns
    -------
    profit, bonus : float
        A row, mean over the segments: expected net gain, and the entropy bonus.
    by_scores : array, float32, as `scores`
        Gradient of profit plus bonus.
    by_switching : array, float64, as `switching`

    Notes
    -----
    Every segment begins with all positions equally likely and ends with positions worth nothing.
    """
    n_segments, n_rows, n_positions = scores.shape
    by_scores = np.empty_like(scores)
    by_switching = np.zeros((n_positions, n_positions))
    chances = np.empty((n_rows, n_positions, n_positions))
    logs = np.empty((n_rows, n_positions, n_positions))
    held = np.empty((n_rows, n_positions))
    value, before = np.empty(n_positions), np.empty(n_positions)
    profit = bonus = 0.0
    for s in range(n_segments):
        _spread(scores[s], switching, chances, logs, held)
        value[:] = 0.0
        for t in range(n_rows - 1, -1, -1):
            by_scores[s, t, :] = 0.0
            for p in range(n_positions):
                before[p] = 0.0
                for q in range(n_positions):
                    gained = gains[s, t, q] - costs[p, q]
                    surprise = -entropy * logs[t, p, q]
                    before[p] += chances[t, p, q] * (gained + surprise + value[q])
                    weight = held[t, p] * chances[t, p, q]
                    profit += weight * gained
                    bonus += weight * surprise
                for q in range(n_positions):
                    gained = gains[s, t, q] - costs[p, q] - entropy * logs[t, p, q] + value[q]
                    slope = held[t, p] * chances[t, p, q] * (gained - before[p])
                    by_scores[s, t, q] += slope
                    by_switching[p, q] += slope
            value, before = before, value
    count = n_segments * n_rows
    by_scores /= np.float32(count)
    return profit / count, bonus / count, by_scores, by_switching / count


@njit(cache=True, nogil=True)
def _spread(
    scores: Float32, switching: Floats, chances: Floats, logs: Floats, held: Floats
) -> None:
    """Fill in the chances of each choice, their logarithms, and what is held before each row."""
    n_rows, n_positions = scores.shape
    held[0] = 1.0 / n_positions
    for t in range(n_rows):
        for p in range(n_positions):
            highest = -np.inf
            for q in range(n_positions):
                highest = max(highest, scores[t, q] + switching[p, q])
            total = 0.0
            for q in range(n_positions):
                logs[t, p, q] = scores[t, q] + switching[p, q] - highest
                chances[t, p, q] = np.exp(logs[t, p, q])
                total += chances[t, p, q]
            for q in range(n_positions):
                chances[t, p, q] /= total
                logs[t, p, q] -= np.log(total)
        if t + 1 < n_rows:
            held[t + 1] = 0.0
            for p in range(n_positions):
                for q in range(n_positions):
                    held[t + 1, q] += held[t, p] * chances[t, p, q]
