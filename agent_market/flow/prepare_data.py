"""Step `data`: a data directory that holds everything the backtest reads."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from agent_market.errors import DataError
from agent_market.flow.configuration import without_environment
from agent_market.flow.data_needs import (
    DataNeeds,
    data_needs,
    nearest_pair,
    needed_files,
    verify_coverage,
)
from agent_market.flow.inputs import Inputs, code_hashes, file_hash, library_versions
from agent_market.flow.processes import run_logged
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import SimulatorSettings
from agent_market.store import write_json

logger = logging.getLogger(__name__)


def data_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return what the data directory's content depends on, by its source."""
    if setup.source == "simulator":
        _check_simulated_span(data_needs(setup), setup.settings.market.simulator)
        return Inputs(
            code=code_hashes("market/simulator", "market/candles.py", "market/sidedata.py"),
            config={"simulator": setup.settings.market.simulator.model_dump(mode="json")},
        )
    if setup.source == "exchange":
        return Inputs(code=library_versions(), config=_download_config(setup))
    return Inputs(code={}, data=stored_data(setup))


def stored_data(setup: Setup) -> dict[str, str]:
    """Return the hash of every file the backtest reads, after a check that they cover its span.

    Raises
    ------
    DataError
        A pair, a file or a part of the time range is missing.
    """
    needs = data_needs(setup)
    files = needed_files(needs, setup.datadir)
    verify_coverage(needs, setup.datadir)
    return {path.relative_to(setup.datadir).as_posix(): file_hash(path) for path in files}


def prepare_data(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    """Fill the data directory from its source and check that it covers the run."""
    if setup.source == "simulator":
        return _simulate(setup)
    if setup.source == "exchange":
        _download(setup, place.folder)
    return _output(setup, stored_data(setup))


def _simulate(setup: Setup) -> StepOutput:
    from agent_market.market.simulator import write_market

    manifest = write_market(setup.settings.market.simulator, setup.datadir)
    stored_data(setup)
    # The market is one output, whichever pairs of it this run reads.
    return _output(setup, ["market.json", *manifest["files"]])


def _output(setup: Setup, names: Iterable[str]) -> StepOutput:
    paths = [setup.datadir / name for name in names]
    return StepOutput(paths, {"datadir": str(setup.datadir), "files": len(paths)})


def _check_simulated_span(needs: DataNeeds, simulator: SimulatorSettings) -> None:
    for pair in needs.pairs:
        if pair not in simulator.pairs:
            hint = nearest_pair(pair, simulator.pairs)
            raise DataError(f"unknown pair {pair!r}: the simulator does not make it; {hint}.")
    first = datetime.combine(simulator.start, time(), UTC)
    last = first + timedelta(days=simulator.days)
    stop = needs.stop or needs.trade_start
    if needs.start < first or stop > last:
        raise DataError(
            f"timerange without data: candles are needed from {needs.start:%Y-%m-%d %H:%M} (the "
            f"training included) to {stop:%Y-%m-%d %H:%M}, but the simulator makes "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}. Choose another --timerange or change "
            "agent_market.market.simulator."
        )


def _download_config(setup: Setup) -> dict[str, Any]:
    needs = data_needs(setup)
    return {
        "exchange": setup.config.get("exchange", {}).get("name"),
        "trading_mode": setup.config.get("trading_mode", "spot"),
        "pairs": list(needs.pairs),
        "timeframes": list(needs.timeframes),
        "start": needs.start.isoformat(),
        "stop": (needs.stop or datetime.now(UTC).date()).isoformat(),
    }


def _download(setup: Setup, folder: Path) -> None:
    config_file = folder / "download.json"
    write_json(config_file, setup.config)
    command = _download_command(setup, config_file)
    setup.user_data_dir.mkdir(parents=True, exist_ok=True)
    # Freqtrade only appends to files it finds: history before them needs a run of its own, and that
    # run drops the newest candle, which the last one fetches again.
    for suffix, option in (("", []), ("-prepend", ["--prepend"]), ("-again", [])):
        log = folder / f"data{suffix}.log"
        run_logged([*command, *option], log, environment=without_environment(os.environ))
        try:
            stored_data(setup)
        except DataError as error:
            logger.info("Not all is there yet: %s", error)
        else:
            return


def _download_command(setup: Setup, config_file: Path) -> list[str]:
    needs = data_needs(setup)
    longest = max(map(timeframe_seconds, needs.timeframes))
    start = needs.start - timedelta(seconds=setup.startup_candles * longest)
    stop = "" if needs.stop is None else _end_of_day(needs.stop, datetime.now(UTC))
    return [
        *[sys.executable, "-m", "freqtrade", "download-data", "-c", str(config_file)],
        *["--userdir", str(setup.user_data_dir), "--datadir", str(setup.datadir)],
        *["--timerange", f"{start:%Y%m%d}-{stop}"],
        *["--timeframes", *needs.timeframes, "--pairs", *needs.pairs],
    ]


def _end_of_day(moment: datetime, now: datetime) -> str:
    """Return the day that a download ends with, "" where that is not over.

    Only a download without an end is sure of the newest closed candle: Freqtrade drops the last one
    that it gets, which may be the one that still forms.
    """
    end = datetime.combine((moment - timedelta.resolution).date(), time(), UTC) + timedelta(days=1)
    return f"{end:%Y%m%d}" if end <= now else ""


DATA = Step("data", (), data_inputs, prepare_data)
