"""What may choose the actions of a log: chance, a rule, hindsight, or positions from elsewhere.

Prices do not react to our trades, so what a behavior asks for on every row is known beforehand: an
array of targets, (n_rows,), indices into the positions. The environment says what comes of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.hindsight import follow, hindsight_choices
from agent_market.rl.policies.problem import UNKNOWN_ROWS, TradingProblem, nearest_index

Targets = npt.NDArray[np.int64]


def random_targets(n_rows: int, n_positions: int, *, seed: int) -> Targets:
    """Return targets that are equally likely on every row, whatever is held.

    Every choice is tried from every position, which is what learning values from a log needs. Such
    a log loses money: it trades all the time.
    """
    return np.random.default_rng(seed).integers(0, n_positions, n_rows)


def trend_targets(path: PricePath, positions: Floats, *, fast: int = 12, slow: int = 48) -> Targets:
    """Return the highest position where the short mean of closes is above the long one.

    Parameters
    ----------
    path : PricePath
    positions : array, float64, (n_positions,)
    fast, slow : int
        Candles of the means. Flat until the long one is known.

    Notes
    -----
    Information time: row t uses closes of rows <= t.
    """
    sums = np.concatenate([[0.0], np.cumsum(path.close)])
    difference = np.zeros(len(path))
    rows = np.arange(slow, len(path) + 1)
    short, long = ((sums[rows] - sums[rows - candles]) / candles for candles in (fast, slow))
    difference[slow - 1 :] = short - long
    flat = nearest_index(positions, 0.0)
    return np.select(
        [difference > 0, difference < 0], [len(positions) - 1, 0], default=flat
    ).astype(np.int64)


def hindsight_targets(path: PricePath, positions: Floats, cost: float) -> Targets:
    """Return the targets that earn the most on the path; they know the future.

    The last two rows, whose outcome is not known, ask for a flat position.
    """
    flat = nearest_index(positions, 0.0)
    problem = TradingProblem.of(path, positions, cost)
    known = follow(hindsight_choices(problem), flat)
    return np.concatenate([known, np.full(UNKNOWN_ROWS, flat)])


def position_targets(held: Floats, positions: Floats) -> Targets:
    """Return the targets nearest to positions wanted, such as a policy's or those of trades."""
    return np.asarray(np.abs(held[:, None] - positions[None, :]).argmin(axis=1), dtype=np.int64)


def explored(targets: Targets, n_positions: int, *, share: float, seed: int) -> Targets:
    """Return targets of which a share was drawn by chance.

    A rule that always does one thing where it sees one thing says nothing of the others.
    """
    draw = np.random.default_rng(seed)
    tried = draw.random(len(targets)) < share
    return np.where(tried, draw.integers(0, n_positions, len(targets)), targets)
