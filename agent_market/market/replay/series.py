"""Candles of one symbol and interval as arrays, and how intervals divide time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.feather as feather

from agent_market.errors import DataError
from agent_market.market.candles import COLUMNS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
INTERVALS: dict[str, int] = {
    "1s": 1000,
    **{f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
    "1M": 30 * DAY,
}
_MONDAY = 4 * DAY  # 1970-01-01 was a Thursday; weekly candles open on Monday
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
_AMOUNT_DECIMALS = 8  # a sum of floats shows its rounding noise beyond


def bucket_open(interval: str, time_ms: IntArray) -> IntArray:
    """Return the open time of the candle that each time falls in."""
    if interval == "1M":
        months = time_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)
    length = INTERVALS[interval]
    offset = _MONDAY if interval == "1w" else 0
    return (time_ms - offset) // length * length + offset


def opened_at(interval: str, time_ms: int) -> int:
    """Return the open time of the candle that one time falls in."""
    return int(bucket_open(interval, np.array([time_ms], np.int64))[0])


def closes_at(interval: str, open_ms: int) -> int:
    """Return when a candle closes: the open time of its successor."""
    if interval == "1M":
        return opened_at(interval, open_ms + 32 * DAY)
    return open_ms + INTERVALS[interval]


def divides_day(interval: str) -> bool:
    """Whether candles of the interval keep their boundaries when shifted by whole days."""
    return INTERVALS[interval] <= DAY


@dataclass(frozen=True)
class Series:
    """Candles, ascending.

    Parameters
    ----------
    interval : str
        Binance's name, such as `5m`.
    open_ms : ndarray of shape (n_rows,)
        Open times, served milliseconds.
    values : ndarray of shape (n_rows, 5)
        Open, high, low, close (quote currency), volume (base currency).
    """

    interval: str
    open_ms: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.open_ms)

    @property
    def length_ms(self) -> int:
        """Nominal length of a candle."""
        return INTERVALS[self.interval]

    @property
    def end_ms(self) -> int:
        """When the last candle closes."""
        return closes_at(self.interval, int(self.open_ms[-1]))

    def closed(self, now_ms: int) -> int:
        """Return how many rows have closed at `now_ms`."""
        return int(np.searchsorted(self.open_ms, opened_at(self.interval, now_ms), side="left"))

    def row_at(self, now_ms: int) -> int | None:
        """Return the row that is forming at `now_ms`, None where no candle is stored."""
        row = int(np.searchsorted(self.open_ms, now_ms, side="right")) - 1
        if row < 0 or now_ms >= closes_at(self.interval, int(self.open_ms[row])):
            return None
        return row


def load(path: Path, interval: str, shift_ms: int) -> Series:
    """Return a stored candle file as arrays, its times moved by `shift_ms`."""
    times, values = _read(path, COLUMNS[1:])
    return Series(interval, times + shift_ms, values)


def load_funding(path: Path, shift_ms: int) -> tuple[IntArray, FloatArray]:
    """Return stored funding times and rates; both of Freqtrade's layouts are read."""
    columns = feather.read_table(path, memory_map=True).column_names
    rate = "funding_rate" if "funding_rate" in columns else "open"
    times, values = _read(path, [rate])
    return times + shift_ms, values[:, 0]


def _read(path: Path, columns: list[str]) -> tuple[IntArray, FloatArray]:
    table = feather.read_table(path, memory_map=True)
    missing = [column for column in ["date", *columns] if column not in table.column_names]
    if missing:
        raise DataError(
            f"{path} lacks the columns {missing}, found {table.column_names}: it is not a "
            "Freqtrade candle file; remove it or download it again"
        )
    dates = table["date"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    values = np.column_stack([table[column].to_numpy() for column in columns])
    return dates, np.ascontiguousarray(values, np.float64)


def aggregate(series: Series, interval: str) -> Series | None:
    """Return candles of a longer interval, None where the interval is not a multiple."""
    if INTERVALS[interval] % series.length_ms or not len(series):
        return None
    buckets = bucket_open(interval, series.open_ms)
    starts = np.flatnonzero(np.r_[True, np.diff(buckets) != 0])
    return Series(interval, buckets[starts], _reduce(series.values, starts))


def merge(values: FloatArray) -> FloatArray:
    """Return several consecutive candles as one row of shape (5,)."""
    row: FloatArray = _reduce(values, np.zeros(1, np.int64))[0]
    return row


def _reduce(values: FloatArray, starts: IntArray) -> FloatArray:
    ends = np.r_[starts[1:], len(values)] - 1
    return np.column_stack(
        [
            values[starts, OPEN],
            np.maximum.reduceat(values[:, HIGH], starts),
            np.minimum.reduceat(values[:, LOW], starts),
            values[ends, CLOSE],
            np.round(np.add.reduceat(values[:, VOLUME], starts), _AMOUNT_DECIMALS),
        ]
    )
