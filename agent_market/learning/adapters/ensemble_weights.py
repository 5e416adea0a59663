"""How much each member of an ensemble counts, learned from out-of-fold predictions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from agent_market.learning.adapters.inputs import FloatArray


def shrunk_weights(
    predictions: FloatArray, y: FloatArray, weight: FloatArray, horizon: int
) -> FloatArray:
    """Return weights that sum to 1, as far from equal ones as the evidence carries.

    The weights w, none negative, minimize the squared error of the blend plus a ridge penalty on
    their distance from 1/m. The penalty is that of a Bayesian whose prior of each weight has mean
    1/m and standard deviation 1/m: the variance of y around the plain average, over the number of
    independent rows, times m squared. Overlapping labels make `horizon` rows one. A thousand rows
    of returns hardly move the weights; a signal that is there does.

    Parameters
    ----------
    predictions : ndarray of shape (n_members, n_rows)
        Made by members that saw neither the row nor a label that overlaps its own.
    y : ndarray of shape (n_rows,)
        Labels.
    weight : ndarray of shape (n_rows,)
        Of the rows, all above 0.
    horizon : int
        Length of the label in rows.

    Returns
    -------
    ndarray of shape (n_members,)

    Notes
    -----
    No NaN. Sources: J. Bates and C. Granger (1969), "The combination of forecasts"; L. Breiman
    (1996), "Stacked regressions", for why no weight may be negative.
    """
    n_members = len(predictions)
    equal = np.full(n_members, 1 / n_members)
    share = weight / weight.sum()
    average = predictions.mean(axis=0)
    rest = y - average
    apart = predictions - average
    covariance = (apart * share) @ apart.T
    noise = float(share @ (rest - share @ rest) ** 2)
    penalty = noise * horizon * float(share @ share) * n_members**2
    # w @ (covariance + penalty) @ w - 2 w @ (target + penalty / m), as a sum of squares
    root = np.linalg.cholesky(covariance + penalty * np.eye(n_members))
    target = np.linalg.solve(root, apart @ (share * rest) + penalty * equal)
    # a row that outweighs the others holds the sum at 1
    stiff = 1e4 * np.sqrt(np.trace(root @ root.T))
    solution, _ = nnls(
        np.vstack([root.T, np.full(n_members, stiff)]), np.concatenate([target, [stiff]])
    )
    return np.asarray(solution / solution.sum())
