"""The candle files a backtest needs, and whether a data directory holds them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from agent_market.errors import DataError
from agent_market.flow.setup import Setup
from agent_market.market.candles import (
    CandleFile,
    CandleKind,
    candle_path,
    list_candles,
    pair_file_name,
    timeframe_seconds,
)

# Funding is paid every 8 hours at the longest, and mark files may hold only those hours.
_PERIODIC_TOLERANCE = timedelta(hours=8)


@dataclass(frozen=True)
class DataNeeds:
    """What a setup reads: traded pairs, correlated pairs, timeframes and the span in UTC.

    `start` lies before the time range by FreqAI's training days and the startup candles; `stop` is
    None where the time range is open.
    """

    traded: tuple[str, ...]
    correlated: tuple[str, ...]
    timeframes: tuple[str, ...]
    trade_start: datetime
    start: datetime
    stop: datetime | None
    is_futures: bool

    @property
    def pairs(self) -> tuple[str, ...]:
        """Every pair of which candles are read, traded ones first."""
        return tuple(dict.fromkeys([*self.traded, *self.correlated]))

    @property
    def candle_kind(self) -> CandleKind:
        """The kind of the candles that are traded on."""
        return "futures" if self.is_futures else "spot"


def data_needs(setup: Setup) -> DataNeeds:
    """Return what a backtest of this setup reads."""
    features = setup.freqai.get("feature_parameters", {})
    included = features.get("include_timeframes", [])
    base = str(setup.config.get("timeframe") or (included or ["5m"])[0])
    history = timedelta(
        days=float(setup.freqai.get("train_period_days", 0)),
        seconds=setup.startup_candles * timeframe_seconds(base),
    )
    if setup.rounds:
        history = max(history, timedelta(days=setup.settings.flow.rounds.history_days))
    return DataNeeds(
        traded=setup.pairs,
        correlated=tuple(features.get("include_corr_pairlist", [])),
        timeframes=tuple(dict.fromkeys([base, *included])),
        trade_start=setup.timerange.start,
        start=setup.timerange.start - history,
        stop=setup.timerange.stop,
        is_futures=setup.is_futures,
    )


def needed_files(needs: DataNeeds, datadir: Path) -> list[Path]:
    """Return every file a backtest reads: candles, funding and mark prices, and all side data.

    Raises
    ------
    DataError
        The directory, a pair or a file is missing.
    """
    if not datadir.is_dir():
        raise DataError(
            f"data directory {datadir} does not exist. Give another --datadir, or set "
            "agent_market.market.source to 'simulator' or 'exchange' to have it filled."
        )
    stored = list(list_candles(datadir))
    _check_pairs(needs, stored, datadir)
    candles = [file.path for file in _candle_files(needs, stored, datadir)]
    market = [path for path in [datadir / "market.json"] if path.is_file()]
    return [*candles, *market, *_side_files(needs, datadir)]


def verify_coverage(needs: DataNeeds, datadir: Path) -> None:
    """Check that every needed file covers the time range and the history before it.

    Raises
    ------
    DataError
        A file starts too late or ends too early; the message states what is there.
    """
    for file in _candle_files(needs, list(list_candles(datadir)), datadir):
        dates = pd.read_feather(file.path, columns=["date"])["date"]
        if dates.empty:
            raise DataError(f"{file.path} holds no candle. Delete it and fetch it again.")
        first, last = dates.iloc[0].to_pydatetime(), dates.iloc[-1].to_pydatetime()
        _check_span(needs, file, first, last)


def nearest_pair(pair: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known pairs."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(pair, choices, n=3, cutoff=0.0)
    return f"nearest: {', '.join(nearest)}" if nearest else "there is no pair at all"


def _check_span(needs: DataNeeds, file: CandleFile, first: datetime, last: datetime) -> None:
    step = timedelta(seconds=timeframe_seconds(file.timeframe))
    periodic = file.kind in ("mark", "funding_rate")
    start = needs.trade_start if periodic else needs.start
    slack = max(step, _PERIODIC_TOLERANCE) if periodic else step
    stop = needs.stop
    # a candle that has not closed by then is not needed, and Freqtrade drops it; rates never form
    forming = timedelta(0) if file.kind == "funding_rate" else slack - timedelta.resolution
    reach = last + slack + forming
    if first - slack < start and (stop is None or reach >= stop) and last >= start:
        return
    wanted = f"{_minute(start)} to {_minute(stop) if stop else 'now'}"
    why = "" if periodic else f" ({_minute(needs.trade_start)} and the training before it)"
    raise DataError(
        f"timerange without data: {_pair_of(file.pair)} {file.timeframe} {file.kind} is needed "
        f"from {wanted}{why}, but {file.path} holds {_minute(first)} to {_minute(last)}. "
        "Choose another --timerange or fetch more data."
    )


def _check_pairs(needs: DataNeeds, stored: list[CandleFile], datadir: Path) -> None:
    kind = needs.candle_kind
    known = {file.pair for file in stored if file.kind == kind}
    if not known:
        raise DataError(
            f"data directory {datadir} holds no {kind} candles. Give another --datadir."
        )
    for pair in needs.pairs:
        if pair_file_name(pair) not in known:
            hint = nearest_pair(pair, map(_pair_of, known))
            raise DataError(f"unknown pair {pair!r}: {datadir} has no candles of it; {hint}.")


def _candle_files(
    needs: DataNeeds, stored: list[CandleFile], datadir: Path
) -> Iterator[CandleFile]:
    by_place = {file.path: file for file in stored}
    for pair in needs.pairs:
        for timeframe in needs.timeframes:
            yield _stored_file(by_place, datadir, pair, timeframe, needs.candle_kind)
    if needs.is_futures:
        for pair in needs.traded:
            yield _periodic_file(stored, datadir, pair, "funding_rate")
            yield _periodic_file(stored, datadir, pair, "mark")


def _stored_file(
    by_place: dict[Path, CandleFile], datadir: Path, pair: str, timeframe: str, kind: CandleKind
) -> CandleFile:
    path = candle_path(datadir, pair, timeframe, kind)
    if path not in by_place:
        name = pair_file_name(pair)
        there = [f.timeframe for f in by_place.values() if f.pair == name and f.kind == kind]
        raise DataError(
            f"no {timeframe} candles of {pair}: {path} does not exist; "
            f"stored timeframes: {', '.join(there)}."
        )
    return by_place[path]


def _periodic_file(
    stored: list[CandleFile], datadir: Path, pair: str, kind: CandleKind
) -> CandleFile:
    # Exchanges differ in the timeframe of these files, so any one will do.
    for file in stored:
        if file.pair == pair_file_name(pair) and file.kind == kind:
            return file
    path = candle_path(datadir, pair, "1h", kind)
    raise DataError(f"no {kind} file of {pair}: {path} does not exist; futures need it.")


def _side_files(needs: DataNeeds, datadir: Path) -> list[Path]:
    names = {pair_file_name(pair) for pair in needs.pairs} | {"ALL"}
    return [path for path in sorted(datadir.glob("side/*/*.parquet")) if path.stem in names]


def _pair_of(file_name: str) -> str:
    match = re.fullmatch(r"(\w+?)_([A-Z0-9]+)(?:_([A-Z0-9]+))?", file_name)
    if not match:
        return file_name
    settle = f":{match[3]}" if match[3] else ""
    return f"{match[1]}/{match[2]}{settle}"


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
