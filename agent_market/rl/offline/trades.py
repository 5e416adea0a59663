"""The targets that real trades followed from, candle by candle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.rl.offline.behavior import Targets
from agent_market.rl.paths import Floats
from agent_market.rl.policies.problem import nearest_index

UNASKED = frozenset(
    {
        "stop_loss",
        "stoploss_on_exchange",
        "trailing_stop_loss",
        "roi",
        "liquidation",
        "force_exit",
        "emergency_exit",
    }
)
"""Exits that no row asked for; any other reason is a signal, filled at the next open."""


def trade_targets(
    trades: pd.DataFrame, dates: npt.NDArray[np.datetime64], positions: Floats
) -> Targets:
    """Return what was asked for on each row, so that the trades came of it.

    Parameters
    ----------
    trades : DataFrame
        Freqtrade's trades of one pair: `open_date`, `close_date` (UTC; NaT while open), `is_short`,
        `exit_reason`.
    dates : array, datetime64[ms], (n_rows,)
        When candles open, ascending and without gaps.
    positions : array, float64, (n_positions,)
        A long trade asks for the highest, a short one for the lowest.

    Returns
    -------
    array, int64, (n_rows,)
        A trade that was filled in candle t + 1 was asked for on row t. An exit of `UNASKED`, such
        as a stop-loss, was asked for by no row: the row before it still wants to hold, and its own
        row does not. Under rules that hold the same stop-loss and ROI, the environment leaves there
        by itself.

    Raises
    ------
    DataError
        A trade asks for a side that no position has, or was opened before the second candle.
    """
    flat = nearest_index(positions, 0.0)
    targets = np.full(len(dates), flat)
    ordered = trades.sort_values("open_date")
    entered, left = (_candles(dates, ordered[name]) for name in ("open_date", "close_date"))
    unasked = ordered["exit_reason"].isin(UNASKED).to_numpy()
    # one that is still open was wanted up to the last row
    ends = np.where(ordered["close_date"].isna(), len(dates), np.where(unasked, left, left - 1))
    sides = np.where(ordered["is_short"].to_numpy(bool), 0, len(positions) - 1)
    for row, end, side in zip(entered - 1, ends, sides, strict=True):
        if row < 0:
            raise DataError(
                f"trades: one was opened at {ordered['open_date'].iloc[0]}, the second candle "
                f"opens at {dates[1]}. Give candles that begin earlier, or later trades."
            )
        if side == flat:
            raise DataError(
                f"trades: one is {'long' if side else 'short'}, the positions are "
                f"{positions.tolist()}. Add that side."
            )
        targets[row:end] = side
    return targets


def _candles(dates: npt.NDArray[np.datetime64], moments: pd.Series) -> npt.NDArray[np.int64]:
    """Return the candles in which things happened, by row."""
    utc = pd.DatetimeIndex(pd.to_datetime(moments, utc=True)).tz_localize(None)
    return np.searchsorted(dates, utc.to_numpy(), side="right").astype(np.int64) - 1
