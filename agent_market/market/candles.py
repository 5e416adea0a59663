"""Candles in Freqtrade's own feather layout: names, reading, writing, aggregating."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from agent_market.errors import DataError
from agent_market.store import write_with

CandleKind = Literal["spot", "futures", "mark", "funding_rate"]
COLUMNS = ["date", "open", "high", "low", "close", "volume"]
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNSAFE = re.compile(r"[/ .@$+:]")
_AGGREGATION = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


class CandleFile(NamedTuple):
    """One candle file of a data directory; `pair` is its file-name form (`BTC_USDT_USDT`)."""

    pair: str
    timeframe: str
    kind: CandleKind
    path: Path


def timeframe_seconds(timeframe: str) -> int:
    """Return the length of a timeframe such as `5m` or `1h` in seconds."""
    match = re.fullmatch(r"(\d+)([mhdw])", timeframe)
    if not match:
        raise DataError(f"timeframe {timeframe!r} is not of the form 5m, 1h, 1d or 1w")
    return int(match[1]) * _SECONDS[match[2]]


def pair_file_name(pair: str) -> str:
    """Return a pair as it stands in file names: `BTC/USDT:USDT` -> `BTC_USDT_USDT`."""
    return _UNSAFE.sub("_", pair)


def candle_path(datadir: Path, pair: str, timeframe: str, kind: CandleKind) -> Path:
    """Return where Freqtrade keeps the candles of one pair, timeframe and kind."""
    name = f"{pair_file_name(pair)}-{timeframe}"
    if kind == "spot":
        return datadir / f"{name}.feather"
    return datadir / "futures" / f"{name}-{kind}.feather"


def list_candles(datadir: Path) -> Iterator[CandleFile]:
    """Yield every candle file of a Freqtrade data directory, sorted by path."""
    for path in sorted([*datadir.glob("*.feather"), *datadir.glob("futures/*.feather")]):
        match = re.fullmatch(r"(\w+)-(\d+[mhdw])(?:-(futures|mark|funding_rate))?", path.stem)
        if match:
            kind: CandleKind = match[3] or "spot"  # type: ignore[assignment]
            yield CandleFile(match[1], match[2], kind, path)


def read_candles(datadir: Path, pair: str, timeframe: str, kind: CandleKind) -> pd.DataFrame:
    """Return the stored candles: `date` (open time, UTC), open, high, low, close, volume.

    A funding rate is in `open`, as Freqtrade hands it to strategies, in whichever of Freqtrade's
    layouts it is stored.

    Raises
    ------
    DataError
        The file is missing or lacks a column.
    """
    path = candle_path(datadir, pair, timeframe, kind)
    if not path.is_file():
        raise DataError(f"no {kind} candles of {pair} at {timeframe}: {path} does not exist")
    frame = pd.read_feather(path)
    if kind == "funding_rate" and "funding_rate" in frame:
        frame = frame.rename(columns={"funding_rate": "open"})
        frame = frame.assign(high=0.0, low=0.0, close=0.0, volume=0.0)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}; found {list(frame.columns)}")
    return frame[COLUMNS]


def write_candles(
    datadir: Path, pair: str, timeframe: str, kind: CandleKind, frame: pd.DataFrame
) -> Path:
    """Write candles atomically so that Freqtrade's data handler reads them; return the path."""
    path = candle_path(datadir, pair, timeframe, kind)
    stored = frame[COLUMNS].reset_index(drop=True)
    stored["date"] = stored["date"].dt.as_unit("ms")
    write_with(path, lambda temporary: stored.to_feather(temporary, compression="lz4"))
    return path


def aggregate(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return candles of a longer timeframe, aligned to UTC; a missing span gives no candle.

    Information time: the candle at `date` holds rows of [date, date + timeframe).
    """
    bucket = frame["date"].dt.floor(f"{timeframe_seconds(timeframe)}s")
    return frame.groupby(bucket, sort=True).agg(_AGGREGATION).reset_index()
