#!/usr/bin/env python
"""Apply a bias, or any patch (RFC 7386), to a copy of a configuration, or in place.

The diff is shown first. A change of more than `agent_market.patches.review_change`, or an exposure
above `patches.max_exposure`, wants a person to agree. Every change is recorded in the database.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import rapidjson
import typer
from rich.table import Column, Table

from agent_market.decisions.advice import read_advice
from agent_market.decisions.bias import Bias, bias_clamp
from agent_market.decisions.patches import advice_patch, without_expired
from agent_market.decisions.strategy_advice import bias_path
from agent_market.errors import ConfigError, DataError
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption
from agent_market.flow.patch_command import (
    InplaceOption,
    OutputOption,
    ReloadOption,
    UnderstandOption,
    WhoOption,
    WhyOption,
    YesOption,
    config_files,
    console,
    copy_of,
    reload,
    run,
    say,
    settle,
)
from agent_market.flow.patching import (
    Plan,
    audit_trail,
    plan_patch,
    plan_revert,
    utc_now,
    without_points,
)
from agent_market.settings import load_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def apply(
    config: ConfigOption = None,
    bias: Annotated[
        Path | None, typer.Option(help="Bias to pin. [bias.json in agent_market.state_dir]")
    ] = None,
    patch: Annotated[
        Path | None, typer.Option(help="Apply this merge patch instead of a bias.")
    ] = None,
    output: OutputOption = None,
    inplace: InplaceOption = False,
    revert: Annotated[
        bool, typer.Option("--revert", help="Take back the newest patch made in place.")
    ] = False,
    revert_expired: Annotated[
        bool, typer.Option("--revert-expired", help="Remove pinned advice that is over.")
    ] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Show the audit trail and end.")] = False,
    yes: YesOption = False,
    i_understand: UnderstandOption = False,
    why: WhyOption = "",
    who: WhoOption = None,
    reload_after: ReloadOption = False,
) -> None:
    """Patch the last of the configuration files, which wins over those before it."""
    files = config_files(config)
    if audit:
        _show_audit(files)
        return
    if revert:
        plan, reason = plan_revert(files), why or "revert"
    elif revert_expired:
        plan, reason = _plan_expired(files), why or "over"
    else:
        plan, reason = _plan_new(files, _read_patch(files, bias, patch), output, inplace), why
    if plan is None:
        say(f"{files[-1]}: nothing is to be reverted.")
        return
    if not reason:
        raise ConfigError("no reason is given for the audit trail. Pass --why TEXT.")
    settle(plan, yes=yes, understood=i_understand, who=who, why=reason)
    if reload_after:
        reload(plan.merged)


def _plan_new(files: list[Path], patch: dict[str, Any], output: Path | None, inplace: bool) -> Plan:
    if inplace and output is not None:
        raise ConfigError("--inplace and --output exclude each other. Leave one out.")
    target = None if inplace else output or copy_of(files[-1])
    return plan_patch(files, patch, target, utc_now())


def _plan_expired(files: list[Path]) -> Plan | None:
    patch = without_expired(load_config_files(files), utc_now())
    return without_points(plan_patch(files, patch, None, utc_now())) if patch else None


def _read_patch(files: list[Path], bias: Path | None, patch: Path | None) -> dict[str, Any]:
    if patch is not None:
        return _object(patch)
    merged = load_config_files(files)
    settings = load_settings(merged)
    path = bias or bias_path(settings)
    reading = read_advice(Bias, path.read_bytes(), bias_clamp(settings.bias))
    if reading.advice is None or reading.reasons:
        raise DataError(f"{path}: {' '.join(reading.reasons)} Mend it, or pin a part by --patch.")
    return advice_patch(merged, "bias", reading.advice)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = rapidjson.loads(path.read_bytes())
    except rapidjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}. Mend it.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, not an object.")
    return content


def _show_audit(files: list[Path]) -> None:
    entries = audit_trail(load_settings(load_config_files(files))).entries()
    table = Table("", "at (UTC)", "who", "what", Column("why", overflow="fold"), "state", box=None)
    for entry in entries:
        at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        what = f"{entry.action} {Path(entry.file).name}"
        table.add_row(str(entry.number), at, entry.who, what, entry.why, entry.state)
    console.print(table)
    for entry in entries:
        say(f"{entry.number}: {json.dumps(entry.before)} -> {json.dumps(entry.after)}")


if __name__ == "__main__":
    run(app)
