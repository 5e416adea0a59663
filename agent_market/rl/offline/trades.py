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
    for trade in ordered.itertuples():
        entered = _candle(dates, trade.open_date)
        if entered < 1:
            raise DataError(
                f"trades: one was opened at {trade.open_date}, the second candle opens at "
                f"{dates[1]}. Give candles that begin earlier, or later trades."
            )
        side = 0 if trade.is_short else len(positions) - 1
        if side == flat:
            raise DataError(
                f"trades: one of {trade.open_date} is {'short' if trade.is_short else 'long'}, the "
                f"positions are {positions.tolist()}. Add that side."
            )
        targets[entered - 1 : _last_row(dates, trade)] = side
    return targets


def _last_row(dates: npt.NDArray[np.datetime64], trade: object) -> int:
    """Return the row from which on the trade was no longer wanted."""
    closed = getattr(trade, "close_date", None)
    if closed is None or pd.isna(closed):
        return len(dates)
    left = _candle(dates, closed)
    return left if getattr(trade, "exit_reason", "") in UNASKED else left - 1


def _candle(dates: npt.NDArray[np.datetime64], moment: pd.Timestamp) -> int:
    """Return the candle in which something happened."""
    utc = moment.tz_convert("UTC").tz_localize(None).to_datetime64()
    return int(np.searchsorted(dates, utc, side="right")) - 1
