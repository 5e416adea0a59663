"""A hidden Markov chain of four market states, filtered forward and never smoothed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
RANGE, RISE, FALL, SHOCK = range(4)
N_STATES = 4
DRIFT, SHOCK_SCALE = 0.3, 4.0
"""Mean of a rising candle and spread of a shocked one, in standard deviations."""


def filtered_states(standardized: FloatArray, window: int, stay: float) -> FloatArray:
    """Return the probability of each state after each row, given this row and those before it.

    Emissions are normal in the standardized return: mean 0 and spread 1 in a range, mean plus or
    minus `DRIFT` in a rise or fall, spread `SHOCK_SCALE` in a shock. The chain stays with
    probability `stay` and else goes to any other state alike; it starts from even odds `window`
    rows back. The forward recursion of Rabiner (1989).

    Parameters
    ----------
    standardized : ndarray of shape (n_rows,)
        Return over the volatility before it.
    window : int
        Rows that are filtered afresh for each row.
    stay : float
        Above 1/4.

    Returns
    -------
    ndarray of shape (n_rows, 4)
        In the order `RANGE, RISE, FALL, SHOCK`; rows sum to 1.

    Notes
    -----
    Information time: row t uses rows t-window+1..t. NaN until they exist or where one is no finite
    number. Each row is computed from its own window, so that it does not depend on where the
    history starts.
    """
    return np.asarray(_filter(standardized, window, stay))


@njit(cache=True)
def _filter(standardized: FloatArray, window: int, stay: float) -> FloatArray:
    result = np.full((standardized.size, N_STATES), np.nan)
    leave = (1 - stay) / (N_STATES - 1)
    means = np.array([0.0, DRIFT, -DRIFT, 0.0])
    scales = np.array([1.0, 1.0, 1.0, SHOCK_SCALE])
    for end in range(window, standardized.size + 1):
        odds = np.full(N_STATES, 1.0 / N_STATES)
        for row in range(end - window, end):
            # a huge move would leave nothing of any density
            value = min(max(standardized[row], -30.0), 30.0)
            total = 0.0
            for state in range(N_STATES):
                before = leave + (stay - leave) * odds[state]
                distance = (value - means[state]) / scales[state]
                odds[state] = before * np.exp(-0.5 * distance * distance) / scales[state]
                total += odds[state]
            for state in range(N_STATES):
                odds[state] /= total
        for state in range(N_STATES):
            result[end - 1, state] = odds[state]
    return result
