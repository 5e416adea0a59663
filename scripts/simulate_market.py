#!/usr/bin/env python
"""Make the embedded market in a Freqtrade data directory."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_market.errors import AgentMarketError
from agent_market.flow.configuration import deep_merge, load_config_files
from agent_market.market.simulator import write_market
from agent_market.settings import MarketSettings, load_settings


def main(
    datadir: Annotated[
        Path | None,
        typer.Option("--datadir", "-d", help="Where to [default: market.datadir of the config]."),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="Freqtrade configuration; may be given several times."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Everything follows from it.")] = None,
    start: Annotated[datetime | None, typer.Option(help="First day, UTC.")] = None,
    days: Annotated[int | None, typer.Option(help="Length.")] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Separated by commas: BTC/USDT:USDT,ETH/USDT:USDT.")
    ] = None,
    timeframes: Annotated[
        str | None, typer.Option(help="Of the candle files, by commas: 1m,5m,1h.")
    ] = None,
    no_alpha: Annotated[bool | None, typer.Option("--no-alpha", help="Plant nothing.")] = None,
) -> None:
    """Make the embedded market of a configuration's `agent_market.market.simulator`.

    Options win over the configuration, which wins over the defaults.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = {
        "seed": seed,
        "start": start.date().isoformat() if start else None,
        "days": days,
        "pairs": pairs.split(",") if pairs else None,
        "timeframes": timeframes.split(",") if timeframes else None,
        "no_alpha": no_alpha,
    }
    try:
        market = _settings(config or [], options)
        target = datadir or market.datadir
        if target is None:
            raise typer.BadParameter("give --datadir, or a config with agent_market.market.datadir")
        manifest = write_market(market.simulator, target)
    except AgentMarketError as error:
        typer.echo(f"simulate market: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(_summary(manifest, target))


def _settings(files: list[Path], options: dict[str, Any]) -> MarketSettings:
    given = {name: value for name, value in options.items() if value is not None}
    overlay = {"agent_market": {"market": {"simulator": given}}}
    return load_settings(deep_merge(load_config_files(files), overlay)).market


def _summary(manifest: dict[str, Any], datadir: Path) -> str:
    settings, planted = manifest["settings"], manifest["planted"]
    made = f"{len(settings['pairs'])} pairs, {settings['days']} days from {settings['start']}"
    lines = [
        f"{made}: {len(manifest['files'])} files in {datadir}",
        "True information coefficients, by horizon in 5-minute candles:",
        "".join(f"{text:>12}" for text in ["signal", *planted[0]["information_coefficient"]]),
    ]
    for entry in planted:
        figures = "".join(f"{ic:12.4f}" for ic in entry["information_coefficient"].values())
        lines.append(f"{entry['signal']:>12}{figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
