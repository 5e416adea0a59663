#!/usr/bin/env python
"""Make an event-mode patch: more or less aggression for a set time.

It is printed as a configuration patch (RFC 7386) that carries its own end. `event_mode_apply.py`
puts it into force; nothing is changed here.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from agent_market.decisions.advice import read_advice
from agent_market.decisions.event_mode import EventMode, event_clamp
from agent_market.errors import ConfigError
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption
from agent_market.flow.patch_command import config_files, run
from agent_market.flow.patching import utc_now
from agent_market.settings import load_settings
from agent_market.store import write_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def make(
    reason: Annotated[str, typer.Option(help="Why, for people.")],
    hours: Annotated[float, typer.Option(help="How long it lasts, from now on.")],
    config: ConfigOption = None,
    position: Annotated[float, typer.Option(help="Multiplies the stake.")] = 1,
    leverage: Annotated[float, typer.Option(help="Multiplies the leverage.")] = 1,
    on: Annotated[list[str] | None, typer.Option(help="Switch this mode on; repeatable.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="Switch this mode off; repeatable.")] = None,
    output: Annotated[Path | None, typer.Option(help="File instead of the terminal.")] = None,
) -> None:
    """Print the patch, or write it to a file."""
    settings = load_settings(load_config_files(config_files(config)))
    now = utc_now()
    try:
        event = EventMode(
            id=f"event-{now:%Y%m%dT%H%M%S}",
            created_at=now,
            expires_at=now + timedelta(hours=hours),
            reason=reason,
            position_multiplier=position,
            leverage_multiplier=leverage,
            modes=dict.fromkeys(on or [], True) | dict.fromkeys(off or [], False),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "event mode"
        raise ConfigError(f"{where}: {first['msg']}, found {first['input']!r}.") from error
    reading = read_advice(
        EventMode, event.model_dump_json().encode(), event_clamp(settings.event_mode)
    )
    if reading.advice is None:
        raise ConfigError(" ".join(reading.reasons))
    patch = {"agent_market": {"event_mode": {"pinned": event.model_dump(mode="json")}}}
    if output is None:
        typer.echo(json.dumps(patch, indent=2))
    else:
        write_json(output, patch)


if __name__ == "__main__":
    run(app)
