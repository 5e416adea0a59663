#!/usr/bin/env python
"""Take a strategy from paper to small real orders by limits written down beforehand.

Limits stand in `agent_market.release`. Every step is in the audit trail: who, why, before, after.
"""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from agent_market.errors import GateRejected
from agent_market.evaluation.gates import (
    STAGES,
    Assessment,
    Comparison,
    assess,
    compare,
    current,
    promote,
    require_promotable,
    roll_back,
    start,
)
from agent_market.evaluation.summary import plain_values
from agent_market.flow.configuration import load_config_files
from agent_market.flow.options import ConfigOption, StrategyOption
from agent_market.flow.patch_command import (
    UnderstandOption,
    WhoOption,
    YesOption,
    ask,
    config_files,
    console,
    run,
    say,
)
from agent_market.flow.patching import audit_trail, require_consent, utc_now
from agent_market.flow.release import AuditLedger, halt_entries, read_evidence
from agent_market.settings import AgentMarketSettings, load_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

TradesOption = Annotated[
    Path, typer.Option(help="The bot's database, or in stage paper an exported backtest.")
]
BalanceOption = Annotated[
    float | None,
    typer.Option(help="Held when the database began, stake currency. [dry_run_wallet]"),
]
WhyOption = Annotated[str, typer.Option(help="For the audit trail.")]


@app.command("start")
def begin(
    why: WhyOption,
    config: ConfigOption = None,
    yes: YesOption = False,
    who: WhoOption = None,
) -> None:
    """Begin stage paper with the limits of the configuration, also anew."""
    _, settings, ledger = _release(config)
    state = ledger.newest()
    say("No release has begun." if state is None else f"The release is in {state.stage}.")
    require_consent([], yes=yes, understood=False, ask=ask)
    after = start(ledger, settings.release, utc_now(), who=who or getpass.getuser(), why=why)
    say(f"{after.stage} began at {after.since.isoformat()}; its limits are kept.")


@app.command()
def status(
    trades: TradesOption,
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    balance: BalanceOption = None,
) -> None:
    """Say the stage, its figures, and what is missing."""
    merged, settings, ledger = _release(config, strategy)
    _show(ledger, _assessment(merged, settings, ledger, trades, balance))


@app.command("promote")
def go_on(
    trades: TradesOption,
    why: WhyOption,
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    balance: BalanceOption = None,
    yes: YesOption = False,
    i_understand: UnderstandOption = False,
    who: WhoOption = None,
) -> None:
    """Begin the next stage, if nothing is missing and a person agrees."""
    merged, settings, ledger = _release(config, strategy)
    found = _assessment(merged, settings, ledger, trades, balance)
    _show(ledger, found)
    following = require_promotable(found)
    points = ["small_live trades real money"] if following == STAGES[-1] else []
    for point in points:
        say(f"Look: {point}")
    require_consent(points, yes=yes, understood=i_understand, ask=ask)
    user = who or getpass.getuser()
    after = promote(ledger, settings.release, found, utc_now(), who=user, why=why)
    say(f"{after.stage} began at {after.since.isoformat()}; its limits are kept.")


@app.command()
def check(
    trades: TradesOption,
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    balance: BalanceOption = None,
    who: WhoOption = None,
) -> None:
    """Roll back one stage and stop entries if a limit is broken; asks nobody, for a schedule."""
    merged, settings, ledger = _release(config, strategy)
    found = _assessment(merged, settings, ledger, trades, balance)
    _show(ledger, found)
    user, now = who or getpass.getuser(), utc_now()

    def halt(why: str) -> None:
        say(f"Wrote {halt_entries(settings, why)}: nothing is entered until a person deletes it.")

    after = roll_back(ledger, settings.release, found, now, who=user, halt=halt)
    if after is not None:
        raise GateRejected(
            f"{found.state.stage} was left for {after.stage}: {'; '.join(found.verdict.broken)}."
        )
    if found.state.stage != STAGES[-1] and not merged.get("dry_run", True):
        halt(f"real orders are set in {found.state.stage}")
        raise GateRejected(
            f"dry_run is false in stage {found.state.stage}: only {STAGES[-1]} has real orders."
        )


@app.command("compare")
def compare_variants(
    first: Annotated[Path, typer.Argument(help="Trades of one variant, for example AI off.")],
    second: Annotated[Path, typer.Argument(help="Trades of the other, for example AI on.")],
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    balance: BalanceOption = None,
    output: Annotated[Path | None, typer.Option(help="JSON of the comparison.")] = None,
) -> None:
    """Compare two variants over the same days, with intervals and other costs."""
    merged, settings = _configured(config, strategy)
    now = utc_now()
    pair = [read_evidence(path, merged, balance, now) for path in (first, second)]
    found = compare(*pair, settings.release.seed)
    _show_comparison(found)
    if output is not None:
        plain = plain_values(asdict(found) | {"start": str(found.start), "end": str(found.end)})
        output.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n")


@app.command()
def history(config: ConfigOption = None) -> None:
    """List every step: when, who, what, why."""
    _, _, ledger = _release(config)
    for entry in ledger.entries():
        before, after = entry.before.get("release"), entry.after["release"]
        came = f"{before['stage']} -> " if before else ""
        say(
            f"{entry.at:%Y-%m-%d %H:%M} {entry.who}: {entry.action}, "
            f"{came}{after['stage']}: {entry.why}"
        )


def _configured(
    config: list[Path] | None, strategy: str | None = None
) -> tuple[dict[str, Any], AgentMarketSettings]:
    merged = load_config_files(config_files(config))
    if strategy is not None:
        merged["strategy"] = strategy
    return merged, load_settings(merged)


def _release(
    config: list[Path] | None, strategy: str | None = None
) -> tuple[dict[str, Any], AgentMarketSettings, AuditLedger]:
    merged, settings = _configured(config, strategy)
    return merged, settings, AuditLedger(audit_trail(settings), settings.state_dir)


def _assessment(
    merged: dict[str, Any],
    settings: AgentMarketSettings,
    ledger: AuditLedger,
    trades: Path,
    balance: float | None,
) -> Assessment:
    now = utc_now()
    evidence = read_evidence(trades, merged, balance, now)
    return assess(current(ledger), settings.release, evidence, now)


def _show(ledger: AuditLedger, found: Assessment) -> None:
    state = found.state
    say(
        f"{state.stage} since {state.since:%Y-%m-%d %H:%M} UTC, "
        f"attempt {ledger.attempts(state.stage)}: net profit {found.figures.net_profit:.2f}"
    )
    table = Table("figure", "found", "limit", "")
    for each in found.verdict.checks:
        table.add_row(
            each.name, f"{each.found:.4g}", f"{each.limit:.4g}", "" if each.is_met else "missing"
        )
    console.print(table)
    for reason in found.loosened:
        say(f"Loosened since the stage began, and not in force: {reason}")
    for reason in found.verdict.broken:
        say(f"Broken: {reason}")


def _show_comparison(found: Comparison) -> None:
    say(
        f"{found.days} days, {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}; "
        f"{found.first_trades} and {found.second_trades} trades"
    )
    table = Table(
        "fees x",
        "slippage bps",
        "first %",
        "second %",
        "difference, bps a day",
        "Sharpe difference",
    )
    for case in found.cases:
        day, sharpe = case.difference_interval, case.sharpe_interval
        table.add_row(
            f"{case.fee_multiple:g}",
            f"{case.slippage_bps:g}",
            f"{100 * case.first_return:.2f}",
            f"{100 * case.second_return:.2f}",
            f"{case.difference_bps:.2f} [{day.low:.2f}, {day.high:.2f}]",
            f"{case.sharpe_difference:.2f} [{sharpe.low:.2f}, {sharpe.high:.2f}]",
        )
    console.print(table)


if __name__ == "__main__":
    run(app)
