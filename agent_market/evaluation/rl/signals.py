"""What a policy's predictions tell the host to do, as `strategies/RLTrader.py` reads them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.learning.window_model import policy_column
from agent_market.rl.accounting import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from agent_market.rl.env import target_actions
from agent_market.rl.paths import Floats
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.policies.problem import nearest_index

Flags = npt.NDArray[np.int64]

POSITIONS = np.array([-1.0, 0.0, 1.0])


def policy_signals(frame: pd.DataFrame, label: str, trusted: npt.NDArray[np.bool_]) -> Flags:
    """Return the signals of each row, whatever is held: the account says which of them count.

    A position that would be closed at once is not entered: the host reads an entry beside its own
    exit as neither.

    Parameters
    ----------
    frame : DataFrame
        With a column of the next position for each of -1, 0 and 1 held (`policy_column`).
    label : str
        Which those columns are named after.
    trusted : array, bool, (n_rows,)
        Where it is False everything is closed.

    Returns
    -------
    array, int64, (n_rows,)
        Flags of `agent_market.rl.accounting`.

    Notes
    -----
    Information time: row t uses the predictions of row t.
    """
    short, flat, long = _columns(frame, label)
    keeps_short, keeps_long = trusted & (short < 0), trusted & (long > 0)
    return np.asarray(
        np.where(keeps_long & (flat > 0), ENTER_LONG, 0)
        | np.where(keeps_short & (flat < 0), ENTER_SHORT, 0)
        | np.where(keeps_long, 0, EXIT_LONG)
        | np.where(keeps_short, 0, EXIT_SHORT),
        dtype=np.int64,
    )


def held_positions(
    frame: pd.DataFrame, label: str, trusted: npt.NDArray[np.bool_], start: float = 0.0
) -> Floats:
    """Return the position of each row, (n_rows,), by the scan that policies use themselves.

    That of the account where nothing but the policy closes a trade: what is held is kept or closed
    by its own column, and what is entered, also in a turn, is said by the column of no position.

    Parameters
    ----------
    frame, label, trusted
        As of `policy_signals`.
    start : float
        Held before the first row.
    """
    short, flat, long = _columns(frame, label)
    keeps_short, keeps_long = trusted & (short < 0), trusted & (long > 0)
    opened = np.where(keeps_long & (flat > 0), 1.0, np.where(keeps_short & (flat < 0), -1.0, 0.0))
    after_short = np.where(keeps_short, -1.0, np.maximum(opened, 0.0))
    after_long = np.where(keeps_long, 1.0, np.minimum(opened, 0.0))
    choices = np.searchsorted(POSITIONS, np.stack([after_short, opened, after_long], axis=1))
    return np.asarray(POSITIONS[follow(choices, nearest_index(POSITIONS, start))])


def target_signals(targets: Floats) -> Flags:
    """Return the signals that ask for positions of -1, 0 and 1, (n_rows,)."""
    actions = target_actions(tuple(POSITIONS))
    return np.asarray(actions.flags[np.searchsorted(POSITIONS, targets)])


def _columns(frame: pd.DataFrame, label: str) -> list[Floats]:
    return [
        frame[policy_column(label, held)].to_numpy(np.float64)
        if policy_column(label, held) in frame
        else np.zeros(len(frame))
        for held in POSITIONS
    ]
