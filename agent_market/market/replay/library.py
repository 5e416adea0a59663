"""A Freqtrade data directory seen as an exchange's symbols."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from agent_market.errors import DataError
from agent_market.market.candles import CandleFile, CandleKind, list_candles
from agent_market.market.replay.filters import Filters, find_filters
from agent_market.market.replay.series import (
    INTERVALS,
    FloatArray,
    IntArray,
    Series,
    aggregate,
    divides_day,
    load,
    load_funding,
)

Venue = Literal["spot", "usdm"]


@dataclass
class Instrument:
    """One symbol of one market with its stored files; arrays are read when first asked for.

    Parameters
    ----------
    base, quote : str
        Currencies; the settlement currency of a future is its quote.
    venue : {"spot", "usdm"}
        The market it trades on.
    datadir : Path
        Where side data lies.
    paths : dict
        Candle files by kind and interval.
    shift_ms : int
        Added to every stored time; see `Clock`.
    """

    base: str
    quote: str
    venue: Venue
    datadir: Path
    paths: dict[CandleKind, dict[str, Path]] = field(default_factory=dict)
    shift_ms: int = 0
    _cache: dict[tuple[CandleKind, str], Series | None] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Binance's name, such as `BTCUSDT`."""
        return f"{self.base}{self.quote}"

    @property
    def pair(self) -> str:
        """Freqtrade's name, such as `BTC/USDT:USDT`."""
        settle = "" if self.venue == "spot" else f":{self.quote}"
        return f"{self.base}/{self.quote}{settle}"

    @property
    def kind(self) -> CandleKind:
        """The kind of its price candles."""
        return "spot" if self.venue == "spot" else "futures"

    @cached_property
    def seed(self) -> int:
        """Seed of everything that is derived for this symbol."""
        return zlib.crc32(f"{self.venue}:{self.id}".encode())

    @cached_property
    def finest(self) -> Series:
        """The stored price candles of the shortest interval."""
        return self._stored(self.kind, self.intervals(self.kind)[0])

    @cached_property
    def filters(self) -> Filters:
        """Tick and step sizes as the stored prices and volumes show them."""
        return find_filters(self.finest)

    @cached_property
    def end_ms(self) -> int:
        """When the last stored price candle of any interval closes."""
        return max(self._stored(self.kind, name).end_ms for name in self.intervals(self.kind))

    @property
    def start_ms(self) -> int:
        """When the first candle of the finest interval opens."""
        return int(self.finest.open_ms[0])

    def intervals(self, kind: CandleKind) -> list[str]:
        """Return the stored intervals of a kind, shortest first."""
        return sorted(self.paths.get(kind, {}), key=INTERVALS.__getitem__)

    def candles(self, interval: str, kind: CandleKind | None = None) -> Series | None:
        """Return candles of any interval: stored, else aggregated from the finest stored.

        None where nothing of the kind is stored, or the interval is not a multiple of it.
        """
        key = (kind or self.kind, interval)
        if key not in self._cache:
            self._cache[key] = self._make(*key)
        return self._cache[key]

    def _make(self, kind: CandleKind, interval: str) -> Series | None:
        stored = self.intervals(kind)
        if interval in stored and (divides_day(interval) or not self.shift_ms):
            return load(self.paths[kind][interval], interval, self.shift_ms)
        if not stored:
            return None
        finest = self.candles(stored[0], kind)
        return None if finest is None else aggregate(finest, interval)

    def _stored(self, kind: CandleKind, interval: str) -> Series:
        series = self.candles(interval, kind)
        if series is None or not len(series):
            raise DataError(
                f"{self.paths[kind][interval]} holds no candles: remove it or download it again"
            )
        return series

    @cached_property
    def last_stored_ms(self) -> int:
        """Latest time of any stored row: price, mark or funding."""
        ends = [self.end_ms]
        for name in self.intervals("mark"):
            series = self.candles(name, "mark")
            ends += [series.end_ms] if series is not None and len(series) else []
        if self.funding is not None:
            ends.append(int(self.funding[0][-1]))
        return max(ends)

    @cached_property
    def funding(self) -> tuple[IntArray, FloatArray] | None:
        """Stored funding times (n,) and rates (n,), None where none are stored."""
        names = self.intervals("funding_rate")
        if not names:
            return None
        times, rates = load_funding(self.paths["funding_rate"][names[0]], self.shift_ms)
        return (times, rates) if len(times) else None


@dataclass
class Library:
    """Every instrument of a data directory, by market and Binance symbol."""

    datadir: Path
    spot: dict[str, Instrument] = field(default_factory=dict)
    usdm: dict[str, Instrument] = field(default_factory=dict)

    def venue(self, venue: Venue) -> dict[str, Instrument]:
        """Return the instruments of one market by symbol."""
        return self.spot if venue == "spot" else self.usdm

    def everything(self) -> Iterator[Instrument]:
        """Yield the instruments of both markets."""
        yield from self.spot.values()
        yield from self.usdm.values()

    def span(self) -> tuple[int, int]:
        """Return when history starts and ends, in stored milliseconds.

        The end is the median over symbols: one delisted or one longer symbol moves nothing.
        """
        starts = [instrument.start_ms for instrument in self.everything()]
        ends = sorted(instrument.end_ms for instrument in self.everything())
        return min(starts), ends[(len(ends) - 1) // 2]

    def last_stored_ms(self) -> int:
        """Return the latest stored time of all symbols."""
        return max(instrument.last_stored_ms for instrument in self.everything())

    def shifted(self, shift_ms: int) -> Library:
        """Return the same directory with every time moved by `shift_ms`."""
        return open_library(self.datadir, shift_ms) if shift_ms else self


def open_library(datadir: Path, shift_ms: int = 0) -> Library:
    """Return the symbols of a Freqtrade data directory.

    Raises
    ------
    DataError
        The directory is missing, or holds no price candles that Binance could have.
    """
    if not datadir.is_dir():
        raise DataError(
            f"data directory {datadir} does not exist: give a Freqtrade data directory with "
            "--datadir (it holds BTC_USDT-5m.feather or futures/BTC_USDT_USDT-5m-futures.feather)"
        )
    library = Library(datadir)
    for file in list_candles(datadir):
        _add(library, file, shift_ms)
    for venue in (library.spot, library.usdm):
        for name in [
            n for n, instrument in venue.items() if instrument.kind not in instrument.paths
        ]:
            del venue[name]
    if not library.spot and not library.usdm:
        raise DataError(
            f"data directory {datadir} holds no candles (*.feather): run freqtrade download-data "
            "or make the embedded market first, or name another one with --datadir"
        )
    return library


def _add(library: Library, file: CandleFile, shift_ms: int) -> None:
    parts = file.pair.split("_")
    is_linear = len(parts) == 3 and parts[1] == parts[2]
    if file.timeframe not in INTERVALS or not (is_linear or len(parts) == 2):
        return  # a coin-margined pair, or an interval that Binance does not have
    venue: Venue = "usdm" if is_linear else "spot"
    if (file.kind == "spot") != (venue == "spot"):
        return
    made = Instrument(parts[0], parts[1], venue, library.datadir, shift_ms=shift_ms)
    instrument = library.venue(venue).setdefault(made.id, made)
    instrument.paths.setdefault(file.kind, {})[file.timeframe] = file.path
