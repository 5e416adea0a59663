"""Write a market into a Freqtrade data directory; never over data that is not the simulator's."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent_market.errors import ConfigError
from agent_market.market.candles import candle_path, list_candles, write_candles
from agent_market.market.sidedata import EVERY_PAIR, side_path, write_side
from agent_market.market.simulator import process
from agent_market.market.simulator.book import book_of
from agent_market.market.simulator.derivatives import funding_of, liquidations_of, open_interest_of
from agent_market.market.simulator.frames import candles_of, mark_of, order_flow_of, planted_of
from agent_market.market.simulator.headlines import Headlines
from agent_market.market.simulator.manifest import identity, make_manifest
from agent_market.market.simulator.market import Blueprint, plan_market, trades_of
from agent_market.market.simulator.minutes import PairMarket
from agent_market.market.simulator.newsfeed import news_of
from agent_market.settings import SimulatorSettings
from agent_market.store import hash_files, read_json, write_json, write_text

logger = logging.getLogger(__name__)

MANIFEST = "market.json"
# Stands from before the first file until the manifest is there, so that a killed run can go on.
_UNFINISHED = ".agent_market_simulated"
_FUNDING_TIMEFRAME = "1h"  # what Freqtrade asks for, although the rows are 8-hourly
_SIDE_KINDS = ("order_flow", "planted", "open_interest", "liquidations")
_DETAIL_KINDS = ("trades", "book")


def write_market(settings: SimulatorSettings, datadir: Path) -> dict[str, Any]:
    """Make the market of `settings` in `datadir` and return its manifest, `market.json`.

    Where the directory already holds exactly this market (same settings, same simulator code, every
    file's checksum right) nothing is written. Another simulated market is replaced.

    Parameters
    ----------
    settings : SimulatorSettings
        What to make. Equal settings give byte-identical files (on one kind of machine).
    datadir : Path
        A Freqtrade data directory; made if it is missing.

    Returns
    -------
    dict
        Settings, planted signals with their true information coefficients, pairs, statement of
        what is simulated, and the SHA-256 of every file. It is written last.

    Raises
    ------
    ConfigError
        The settings are impossible, or the directory holds candles that the simulator did not make.
    """
    blueprint = plan_market(settings)
    found = _read_manifest(datadir)
    if found is not None and _is_current(found, settings, datadir):
        (datadir / _UNFINISHED).unlink(missing_ok=True)
        return found
    _refuse_foreign_files(settings, datadir, found)
    write_text(datadir / _UNFINISHED, "A market is being simulated here; it may be overwritten.\n")
    _remove_market(found, datadir)
    manifest = make_manifest(blueprint, _checksums(_write_files(blueprint, datadir), datadir))
    write_json(datadir / MANIFEST, manifest)
    (datadir / _UNFINISHED).unlink(missing_ok=True)
    return manifest


def market_files(settings: SimulatorSettings, datadir: Path) -> list[Path]:
    """Return every file that a market of `settings` consists of, but for the manifest."""
    kinds = _SIDE_KINDS + (_DETAIL_KINDS if settings.detail_days else ())
    files = [side_path(datadir, "news", EVERY_PAIR)]
    for pair in settings.pairs:
        files += [candle_path(datadir, pair, name, "futures") for name in settings.timeframes]
        files.append(candle_path(datadir, pair, _FUNDING_TIMEFRAME, "funding_rate"))
        files.append(candle_path(datadir, pair, _FUNDING_TIMEFRAME, "mark"))
        files += [side_path(datadir, kind, pair) for kind in kinds]
    return files


def _write_files(blueprint: Blueprint, datadir: Path) -> list[Path]:
    settings, own_news, paths = blueprint.settings, {}, []
    for profile in blueprint.profiles:
        pair = blueprint.make(profile)
        own_news[profile.base] = pair.headlines
        paths += [*_write_candles(pair, settings, datadir), *_write_sides(pair, settings, datadir)]
        logger.info("Simulated %s: %d days", profile.pair, settings.days)
    return [*paths, _write_news(blueprint, own_news, datadir)]


def _write_candles(pair: PairMarket, settings: SimulatorSettings, datadir: Path) -> list[Path]:
    name, funding = pair.profile.pair, funding_of(pair, settings.seed)
    return [
        *(
            write_candles(datadir, name, timeframe, "futures", candles_of(pair, timeframe))
            for timeframe in dict.fromkeys(settings.timeframes)
        ),
        write_candles(datadir, name, _FUNDING_TIMEFRAME, "funding_rate", funding),
        write_candles(datadir, name, _FUNDING_TIMEFRAME, "mark", mark_of(pair)),
    ]


def _write_sides(pair: PairMarket, settings: SimulatorSettings, datadir: Path) -> list[Path]:
    liquidations = liquidations_of(pair, settings.seed)
    frames = {
        "order_flow": order_flow_of(pair),
        "planted": planted_of(pair),
        "open_interest": open_interest_of(pair, settings.seed, liquidations),
        "liquidations": liquidations,
    }
    detail_days = min(settings.detail_days, settings.days)
    if detail_days:
        stop = datetime.fromtimestamp(pair.start_ms / 1000, UTC) + timedelta(days=settings.days)
        frames["trades"] = trades_of(pair, stop - timedelta(days=detail_days), stop)
        frames["book"] = book_of(pair, settings.seed, len(pair) - detail_days * process.DAY)
    return [write_side(datadir, kind, pair.profile.pair, frame) for kind, frame in frames.items()]


def _write_news(blueprint: Blueprint, own: dict[str, Headlines], datadir: Path) -> Path:
    stop_ms = blueprint.start_ms + blueprint.settings.days * process.DAY * 60_000
    table = news_of(blueprint.start_ms, blueprint.common.headlines, own, stop_ms)
    return write_side(datadir, "news", EVERY_PAIR, table)


def _read_manifest(datadir: Path) -> dict[str, Any] | None:
    path = datadir / MANIFEST
    content = read_json(path) if path.is_file() else None
    is_ours = isinstance(content, dict) and content.get("kind") == "simulated"
    return content if is_ours else None


def _is_current(manifest: dict[str, Any], settings: SimulatorSettings, datadir: Path) -> bool:
    if manifest.get("identity") != identity(settings):
        return False
    files: dict[str, str] = manifest["files"]
    paths = [datadir / name for name in files]
    return all(path.is_file() for path in paths) and _checksums(paths, datadir) == files


def _refuse_foreign_files(
    settings: SimulatorSettings, datadir: Path, found: dict[str, Any] | None
) -> None:
    if found is not None:
        ours = {datadir / name for name in found.get("files", {})}
        foreign = [p for p in market_files(settings, datadir) if p.is_file() and p not in ours]
    elif (datadir / _UNFINISHED).is_file():
        return
    else:
        foreign = [file.path for file in list_candles(datadir)]
        foreign += sorted(datadir.glob("side/*/*.parquet"))
    if foreign:
        raise ConfigError(
            f"agent_market.market.datadir: {datadir} holds files that the simulator did not make "
            f"({foreign[0].relative_to(datadir)}), and a market would overwrite them or mix with "
            "them. Set another directory, or market.source 'directory' to use the data as it is."
        )


def _remove_market(found: dict[str, Any] | None, datadir: Path) -> None:
    for name in (found or {}).get("files", {}):
        (datadir / name).unlink(missing_ok=True)
    (datadir / MANIFEST).unlink(missing_ok=True)


def _checksums(paths: list[Path], datadir: Path) -> dict[str, str]:
    return {
        path.relative_to(datadir).as_posix(): hash_files([path], datadir) for path in sorted(paths)
    }
