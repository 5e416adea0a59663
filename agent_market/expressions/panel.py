"""The candles of several pairs as arrays of shape (n_pairs, n_rows), time contiguous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.expressions.kernels_numbers import FloatArray
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import join_as_of

CANDLE_SERIES = ("open", "high", "low", "close", "volume")
_WEEK = 604_800
_FIRST_MONDAY = 345_600  # 1970-01-05, seconds since 1970


@dataclass(frozen=True, slots=True)
class Panel:
    """Series of the same candles of several pairs.

    Parameters
    ----------
    pairs : sequence of str
    timeframe : str
        Of the rows.
    first_candle : int
        Number of row 0 as `candle_number` counts.
    series : mapping of str to ndarray of shape (n_pairs, n_rows)
        open, high, low, close, volume, and funding where there is one.
    features : mapping of str to ndarray of shape (n_pairs, n_rows)
        By the name of their column.

    Raises
    ------
    DataError
        Arrays differ in shape or type, or are neither float32 nor float64.

    Notes
    -----
    Information time: row t is known when its candle closes. A candle that a pair lacks is NaN, and
    so is what is infinite. The arrays are the panel's own and read-only.
    """

    pairs: Sequence[str]
    timeframe: str
    first_candle: int
    series: Mapping[str, FloatArray]
    features: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("series", "features"):
            arrays = {key: _own(key, values) for key, values in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(arrays))
        found = {(v.shape, v.dtype) for v in (*self.series.values(), *self.features.values())}
        if len(found) != 1 or next(iter(found))[0][0] != len(self.pairs):
            raise DataError(
                f"a panel of {len(self.pairs)} pairs has arrays of {sorted(map(str, found))}. "
                "Give arrays of one type and of one shape (n_pairs, n_rows)."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_pairs, n_rows)."""
        n_pairs, n_rows = next(iter(self.series.values())).shape
        return n_pairs, n_rows

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Of every array, and of what is computed from them."""
        return next(iter(self.series.values())).dtype

    def rows(self, start: int, stop: int) -> Panel:
        """Return the panel of rows start to stop - 1, as if no others were known."""

        def cut(arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
            return {name: values[:, start:stop] for name, values in arrays.items()}

        first = self.first_candle + start
        return Panel(self.pairs, self.timeframe, first, cut(self.series), cut(self.features))


def _own(name: str, values: FloatArray) -> FloatArray:
    if values.ndim != 2 or values.dtype not in (np.float32, np.float64):
        raise DataError(
            f"panel series {name!r} is {values.dtype} of {values.ndim} dimensions. Give float32 or "
            "float64 of shape (n_pairs, n_rows)."
        )
    result = np.array(values, order="C")
    result[~np.isfinite(result)] = np.nan
    result.flags.writeable = False
    return result


def candle_number(date: pd.Timestamp, timeframe: str) -> int:
    """Return which candle of a timeframe opens at `date`, or holds it.

    Counted from 1970 in UTC, weeks from Monday, so that longer candles fall where an exchange has
    them, wherever a panel begins.
    """
    seconds = timeframe_seconds(timeframe)
    return int(date.timestamp() - origin_of(seconds)) // seconds


def origin_of(seconds: int) -> int:
    """Return when candle 0 of a timeframe of so many seconds opens, in seconds since 1970."""
    return _FIRST_MONDAY if seconds % _WEEK == 0 else 0


def panel_of_candles(
    candles: Mapping[str, pd.DataFrame],
    timeframe: str,
    *,
    funding: Mapping[str, pd.DataFrame] | None = None,
    features: Sequence[str] = (),
    dtype: npt.DTypeLike = np.float64,
) -> Panel:
    """Return the panel of candle frames, rows from the earliest candle to the latest.

    Parameters
    ----------
    candles : mapping of pair to DataFrame
        Has `date` (open time, UTC), open, high, low, close, volume, and the columns `features`.
        Frames may begin and end apart, and lack candles.
    timeframe : str
        Of the frames.
    funding : mapping of pair to DataFrame, optional
        Freqtrade's funding files: `date`, when the rate was settled and so known, and `open`, the
        rate. A pair that is not named has none.
    features : sequence of str
        Columns of the frames that expressions may name.
    dtype : float64 or float32
        Of the panel.

    Raises
    ------
    DataError
        There is no candle, a candle stands twice, or opens at a time that is none of `timeframe`.

    Notes
    -----
    Information time: row t takes the newest funding with `date` <= its candle's close.
    """
    if not candles or all(frame.empty for frame in candles.values()):
        raise DataError("a panel needs candles, found none. Load candles of at least one pair.")
    places = {pair: _numbers(pair, frame["date"], timeframe) for pair, frame in candles.items()}
    first = min(int(numbers[0]) for numbers in places.values() if numbers.size)
    last = max(int(numbers[-1]) for numbers in places.values() if numbers.size)

    def spread(name: str, frames: Mapping[str, pd.DataFrame]) -> FloatArray:
        values = np.full((len(candles), last - first + 1), np.nan, dtype)
        for row, (pair, frame) in enumerate(frames.items()):
            values[row, places[pair] - first] = frame[name].to_numpy(np.float64)
        return values

    series = {name: spread(name, candles) for name in CANDLE_SERIES}
    if funding is not None:
        joined = {
            pair: _with_funding(frame, funding.get(pair), timeframe)
            for pair, frame in candles.items()
        }
        series["funding"] = spread("funding", joined)
    return Panel(
        tuple(candles), timeframe, first, series, {name: spread(name, candles) for name in features}
    )


def _numbers(pair: str, dates: pd.Series, timeframe: str) -> npt.NDArray[np.int64]:
    seconds = timeframe_seconds(timeframe)
    opened = dates.dt.as_unit("s").astype(np.int64).to_numpy() - origin_of(seconds)
    numbers: npt.NDArray[np.int64] = opened // seconds
    wrong = np.flatnonzero((opened % seconds != 0) | (np.diff(numbers, prepend=-1) <= 0))
    if wrong.size:
        raise DataError(
            f"candle {wrong[0]} of {pair} opens at {dates.iloc[wrong[0]]}, which no {timeframe} "
            "candle does, or not after the one before it. Load ascending candles of one timeframe."
        )
    return numbers


def _with_funding(
    candles: pd.DataFrame, funding: pd.DataFrame | None, timeframe: str
) -> pd.DataFrame:
    if funding is None:
        return candles[["date"]].assign(funding=np.nan)
    settled = {"event_time": funding["date"], "available_at": funding["date"]}
    side = pd.DataFrame({**settled, "funding": funding["open"]})
    return join_as_of(candles[["date"]], side, timeframe)
