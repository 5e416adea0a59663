#!/usr/bin/env python
"""Set, show, and take back versioned parameters that a running bot reads.

A bot reads them at its next candle, a backtest replays them by the moment from which each version
holds. The diff is shown first, and every version says who set it and why.
"""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from agent_market.decisions.budgets import check_parameters, configured, parameter_store
from agent_market.decisions.patches import config_diff, numbers_to_review
from agent_market.errors import ConfigError
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption
from agent_market.flow.patch_command import (
    UnderstandOption,
    WhoOption,
    WhyOption,
    YesOption,
    ask,
    config_files,
    console,
    run,
    say,
    show_change,
)
from agent_market.flow.patching import require_consent, utc_now
from agent_market.settings import AgentMarketSettings, load_settings
from agent_market.store.parameters import version_at

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

NameArgument = Annotated[str, typer.Argument(help="Parameter set, such as engine_budgets.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--effective-at", help="ISO 8601 with its zone: holds from then on. [now]"),
]


@app.command("set")
def set_(
    name: NameArgument,
    values: Annotated[list[str], typer.Argument(help="KEY=NUMBER; null: the configuration's.")],
    config: ConfigOption = None,
    effective_at: SinceOption = None,
    yes: YesOption = False,
    i_understand: UnderstandOption = False,
    why: WhyOption = "",
    who: WhoOption = None,
) -> None:
    """Add a version: the newest one with these keys changed."""
    settings = _settings(config)
    changed = dict(_parsed(each) for each in values)
    _add(
        settings,
        name,
        _newest(settings, name) | changed,
        effective_at,
        why,
        who,
        yes=yes,
        understood=i_understand,
    )


@app.command()
def revert(
    name: NameArgument,
    config: ConfigOption = None,
    to: Annotated[int | None, typer.Option(help="Version. [the one before the newest]")] = None,
    effective_at: SinceOption = None,
    yes: YesOption = False,
    i_understand: UnderstandOption = False,
    why: WhyOption = "revert",
    who: WhoOption = None,
) -> None:
    """Add a version that says what an earlier one said; 0 is the configuration."""
    settings = _settings(config)
    versions = parameter_store(settings).versions(name)
    number = len(versions) - 1 if to is None else to
    if not 0 <= number <= len(versions):
        raise ConfigError(f"{name} has no version {number}. See `history {name}`.")
    values = versions[number - 1].values if number else dict.fromkeys(configured(settings, name))
    _add(settings, name, values, effective_at, why, who, yes=yes, understood=i_understand)


@app.command()
def show(name: NameArgument, config: ConfigOption = None) -> None:
    """Show what holds now."""
    settings = _settings(config)
    version = version_at(parameter_store(settings).versions(name), utc_now())
    values = configured(settings, name)
    if version is None:
        say(f"{name}: no version holds. In the configuration: {json.dumps(values)}")
    else:
        say(f"{name}: version {version.number}, by {version.who}: {version.why}")
        say(json.dumps(values | _given(version.values), indent=2))


@app.command()
def history(name: NameArgument, config: ConfigOption = None) -> None:
    """Show every version, oldest first."""
    settings = _settings(config)
    why = Column("why", overflow="fold")
    table = Table("", "holds from (UTC)", "who", why, "values", "hash", box=None)
    for each in parameter_store(settings).versions(name):
        since = f"{each.effective_at:%Y-%m-%d %H:%M:%S}"
        row = (str(each.number), since, each.who, each.why, json.dumps(each.values), each.hash[:12])
        table.add_row(*row)
    console.print(table)


def _add(
    settings: AgentMarketSettings,
    name: str,
    values: dict[str, Any],
    effective_at: str | None,
    why: str,
    who: str | None,
    *,
    yes: bool,
    understood: bool,
) -> None:
    """Check, show, ask, and add a version."""
    check_parameters(name, values)
    if not why:
        raise ConfigError("no reason is given for the history. Pass --why TEXT.")
    now = utc_now()
    since = now if effective_at is None else _moment(effective_at)
    plain = configured(settings, name)
    before, after = plain | _given(_newest(settings, name)), plain | _given(values)
    points = numbers_to_review(before, after, settings.patches)
    if since < now:
        points.append(f"it holds from {since.isoformat()}, which is past: no bot has read it then")
    show_change(config_diff(before, after, name), points)
    require_consent(points, yes=yes, understood=understood, ask=ask)
    moments = {"effective_at": since, "recorded_at": now}
    version = parameter_store(settings).add(
        name, values, who=who or getpass.getuser(), why=why, **moments
    )
    say(f"{name}: version {version.number} holds from {version.effective_at.isoformat()} on.")


def _settings(config: Any) -> AgentMarketSettings:
    return load_settings(load_config_files(config_files(config)))


def _newest(settings: AgentMarketSettings, name: str) -> dict[str, Any]:
    versions = parameter_store(settings).versions(name)
    return versions[-1].values if versions else {}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _parsed(assignment: str) -> tuple[str, Any]:
    key, separator, value = assignment.partition("=")
    try:
        return key, json.loads(value)
    except ValueError as error:
        found = f"{assignment!r}" + ("" if separator else ", without =")
        raise ConfigError(f"{found} is not KEY=NUMBER.") from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--effective-at: {error}. Write 2026-01-05T12:00:00Z.") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--effective-at: {text} has no time zone. Add Z for UTC.")
    return moment.astimezone(UTC)


if __name__ == "__main__":
    run(app)
