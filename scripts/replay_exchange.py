#!/usr/bin/env python
"""Serve a Freqtrade data directory over the Binance protocol on this machine."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from agent_market.errors import AgentMarketError
from agent_market.market.replay.server import serve
from agent_market.settings import FaultSettings, ReplaySettings

_DEFAULTS = ReplaySettings()


def main(
    datadir: Annotated[Path, typer.Option("--datadir", "-d", help="Freqtrade data directory.")],
    live: Annotated[
        bool,
        typer.Option(
            "--live/--as-stored",
            help="Shift history so that it goes on now, or serve it as it is.",
        ),
    ] = _DEFAULTS.clock == "live",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = _DEFAULTS.port,
    reserve: Annotated[
        float | None,
        typer.Option(help="Days of history kept ahead of now [default: 10 % of it, at most 30]."),
    ] = None,
    epoch: Annotated[
        datetime | None,
        typer.Option(help="UTC moment that history is fitted to; the same one, the same history."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Fault to inject, e.g. error_share=0.1; may be given several times."),
    ] = None,
) -> None:
    """Serve a Freqtrade data directory over Binance's REST and WebSocket protocol."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = ReplaySettings(
            host=host,
            port=port,
            clock="live" if live else "as-stored",
            reserve_days=reserve,
            epoch=epoch,
            faults=_faults(fault or []),
        )
        serve(datadir, settings, lambda url, _: typer.echo(f"serving {datadir} at {url}"))
    except (AgentMarketError, ValidationError) as error:
        typer.echo(f"replay exchange: {_one_line(error)}", err=True)
        raise typer.Exit(1) from error
    typer.echo("replay exchange stopped")


def _faults(options: list[str]) -> FaultSettings:
    pairs = (option.partition("=") for option in options)
    return FaultSettings.model_validate({name: value for name, _, value in pairs})


def _one_line(error: AgentMarketError | ValidationError) -> str:
    if isinstance(error, AgentMarketError):
        return str(error)
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    valid = ", ".join(FaultSettings.model_fields)
    return f"{name}: {first['msg']}, found {first['input']!r}. Valid faults: {valid}"


if __name__ == "__main__":
    typer.run(main)
