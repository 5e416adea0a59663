#!/usr/bin/env python
"""Print the configuration patch (RFC 7386) that a bias suggests.

`apply_bias_to_config.py --patch FILE` applies it, after you have changed in it what you like.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent_market.decisions.advice import judge, read_advice
from agent_market.decisions.bias import Bias, bias_clamp
from agent_market.decisions.patches import advice_patch
from agent_market.decisions.strategy_advice import bias_path
from agent_market.errors import DataError
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption
from agent_market.flow.patch_command import config_files, run
from agent_market.settings import load_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def suggest(
    config: ConfigOption = None,
    bias: Annotated[
        Path | None, typer.Option(help="File. [bias.json in agent_market.state_dir]")
    ] = None,
) -> None:
    """Print the patch that pins the bias in a configuration until it expires."""
    merged = load_config_files(config_files(config))
    settings = load_settings(merged)
    path = bias or bias_path(settings)
    reading = read_advice(Bias, path.read_bytes(), bias_clamp(settings.bias))
    reading = judge(reading, datetime.now(UTC))
    if reading.advice is None:
        raise DataError(f"{path}: {' '.join(reading.reasons)}")
    for reason in reading.reasons:
        typer.echo(f"{path}: {reason}", err=True)
    typer.echo(json.dumps(advice_patch(merged, "bias", reading.advice), indent=2))


if __name__ == "__main__":
    run(app)
