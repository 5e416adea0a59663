#!/usr/bin/env python
"""Tell people what the newest summary says, each figure with the field it is from.

A language model writes where one is set; the template does where none is, or where it fails. The
command writes a report, and a record of what was asked; it touches no order and no configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent_market.errors import ModelUnavailable
from agent_market.flow.command_line import run
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption
from agent_market.llm import Ask, open_model
from agent_market.settings import LlmSettings, load_settings
from agents.analyst_agent import analyze, facts_of, format_report, read_summary, write_report

EXCHANGES, REPORT = "exchanges.jsonl", "report.md"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def report(
    config: ConfigOption = None,
    summary: Annotated[
        Path | None, typer.Option(help="Summary to read. [agent_market.flow.summary_path]")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Of report and record. [analyst, below state_dir]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The report, a .md file. [report.md in the folder]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the model's sampling.", min=0)] = 7,
    replay: Annotated[
        Path | None, typer.Option(help="Answer from these recorded exchanges; ask no model.")
    ] = None,
) -> None:
    """Write the report, and print it."""
    settings = load_settings(load_config_files(config or [Path("config.json")]))
    found = read_summary(summary or settings.flow.summary_path)
    home = folder or settings.state_dir / "analyst"
    ask, absent = _ask(settings.llm, home, replay)
    analysis = analyze(facts_of(found), ask, settings.llm, seed=seed, absent=absent)
    text = format_report(analysis, found, settings.llm.model)
    target = output or home / REPORT
    write_report(target, text)
    typer.echo(text)
    typer.echo(f"Wrote {target}")


def _ask(settings: LlmSettings, home: Path, replay: Path | None) -> tuple[Ask | None, str]:
    """Return who is asked, or None and why nobody is."""
    try:
        return open_model(settings, home / EXCHANGES, replay), ""
    except ModelUnavailable as error:
        return None, str(error)


if __name__ == "__main__":
    run(app)
