"""Side data of one instrument as arrays, as far as the directory has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from agent_market.errors import DataError
from agent_market.market.replay.series import FloatArray, IntArray
from agent_market.market.sidedata import read_side, side_path


@dataclass(frozen=True)
class Trades:
    """Trades, ascending by time and id.

    Parameters
    ----------
    time_ms, id : ndarray of shape (n_trades,)
        Served milliseconds; ids ascend.
    price, amount : ndarray of shape (n_trades,)
        Quote currency; base currency.
    is_buyer_maker : ndarray of shape (n_trades,)
        True where the taker sold.
    """

    time_ms: IntArray
    id: IntArray
    price: FloatArray
    amount: FloatArray
    is_buyer_maker: np.ndarray

    def __len__(self) -> int:
        return len(self.id)

    def part(self, rows: slice | np.ndarray) -> Trades:
        """Return some of the trades."""
        return Trades(
            self.time_ms[rows],
            self.id[rows],
            self.price[rows],
            self.amount[rows],
            self.is_buyer_maker[rows],
        )


@dataclass(frozen=True)
class StoredBooks:
    """Stored order books, ascending; each cell of the level columns is an array."""

    time_ms: IntArray
    frame: pd.DataFrame

    def levels(self, row: int, side: str) -> list[tuple[float, float]]:
        """Return price and amount of each level of `bid` or `ask`, best first."""
        record = self.frame.iloc[row]
        if f"{side}_prices" in self.frame:
            return list(zip(record[f"{side}_prices"], record[f"{side}_amounts"], strict=True))
        return [(float(record[f"{side}_price"]), float(record[f"{side}_amount"]))]


def stored_trades(datadir: Path, pair: str, shift_ms: int) -> Trades | None:
    """Return the stored trades of a pair, None where there are none."""
    return _as_trades(datadir, "trades", pair, shift_ms)


def stored_books(datadir: Path, pair: str, shift_ms: int) -> StoredBooks | None:
    """Return the stored order books of a pair, None where there are none."""
    frame = _rows(datadir, "book", pair)
    return None if frame is None else StoredBooks(_times(frame, shift_ms), frame)


def stored_open_interest(
    datadir: Path, pair: str, shift_ms: int
) -> tuple[IntArray, FloatArray] | None:
    """Return times and open interest (base currency), None where there is none."""
    frame = _rows(datadir, "open_interest", pair)
    if frame is None:
        return None
    return _times(frame, shift_ms), frame["open_interest"].to_numpy(float)


def stored_liquidations(datadir: Path, pair: str, shift_ms: int) -> Trades | None:
    """Return forced orders as trades: `is_buyer_maker` means that a long was sold."""
    return _as_trades(datadir, "liquidations", pair, shift_ms)


def _as_trades(datadir: Path, kind: str, pair: str, shift_ms: int) -> Trades | None:
    frame = _rows(datadir, kind, pair)
    if frame is None:
        return None
    return Trades(
        _times(frame, shift_ms),
        np.arange(len(frame)),
        frame["price"].to_numpy(float),
        frame["amount"].to_numpy(float),
        (frame["side"] == "sell").to_numpy(),
    )


def _rows(datadir: Path, kind: str, pair: str) -> pd.DataFrame | None:
    if not side_path(datadir, kind, pair).is_file():
        return None
    frame = read_side(datadir, kind, pair)
    if "event_time" not in frame:
        raise DataError(
            f"{side_path(datadir, kind, pair)} lacks the column event_time, found "
            f"{list(frame.columns)}: make the side data again"
        )
    if frame.empty:
        return None
    return frame.sort_values("event_time", kind="stable").reset_index(drop=True)


def _times(frame: pd.DataFrame, shift_ms: int) -> IntArray:
    times: IntArray = frame["event_time"].dt.as_unit("ms").astype("int64").to_numpy()
    return times + shift_ms
