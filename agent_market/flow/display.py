"""Tables of plans, runs and results for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from agent_market.flow.history import RunRecord
from agent_market.flow.plan import Decision
from agent_market.flow.schedule import span_of
from agent_market.flow.setup import BIAS_NAME

_COLORS = {
    "complete": "green",
    "skipped": "cyan",
    "running": "yellow",
    "interrupted": "yellow",
    "failed": "red",
}


def plan_table(decisions: Iterable[Decision]) -> Table:
    """Return what would happen to each step, and why."""
    table = Table("step", "action", "why", title="Plan")
    for decision in decisions:
        table.add_row(decision.step.name, decision.action, decision.reason)
    return table


def run_table(record: RunRecord, *, is_held: bool) -> Table:
    """Return the steps of one run."""
    content = record.read()
    title = f"Run {record.run_id}: {run_state(content, is_held=is_held)}"
    table = Table("step", "state", "seconds", "attempts", "why", title=title)
    for step in content["steps"]:
        seconds = "" if step["seconds"] is None else f"{step['seconds']:.1f}"
        table.add_row(
            step["name"],
            _colored(step["state"]),
            seconds,
            str(step["attempts"]),
            step["reason"] or "",
        )
        if "policies" in step["facts"]:
            table.add_row("", "", "", "", _policies(step["facts"]))
        if "bias_until" in step["facts"]:
            table.add_row("", "", "", "", "{bias_id} until {bias_until}".format(**step["facts"]))
    return table


def _policies(facts: Mapping[str, Any]) -> str:
    """Return what each policy and rule came to, with a link to their report."""
    earned = [f"{name} {_figure(net)}" for name, net in facts["net_return_percent"].items()]
    report = Path(facts["report"]).resolve().as_uri()
    return f"net % after costs: {', '.join(earned)} ([link={report}]report[/link])"


def history_table(records: Iterable[RunRecord], *, is_held: bool) -> Table:
    """Return one row per run, oldest first."""
    run = Column("run (start, UTC)", no_wrap=True)
    figures = ("trades", "profit %", "mean IC", "bias")
    columns = ("state", "end", "strategy", "timerange", "steps", *figures)
    table = Table(run, *columns, title="History")
    for record in records:
        content = record.read()
        states = [step["state"] for step in content["steps"] if step["state"] != "not selected"]
        done = sum(state in ("complete", "skipped") for state in states)
        table.add_row(
            record.run_id,
            _colored(run_state(content, is_held=is_held)),
            _moment(content["finished"]),
            content["strategy"],
            span_of(content["timerange"]),
            f"{done}/{len(states)}",
            *_headline(content),
        )
    return table


def _headline(content: Mapping[str, Any]) -> tuple[str, ...]:
    facts: dict[str, Any] = {}
    for step in content["steps"]:
        if step["name"] in ("summarize", BIAS_NAME) and step["state"] in ("complete", "skipped"):
            facts |= step["facts"]
    if "trades" not in facts:
        return ()
    profit, mean_ic = _figure(facts["net_profit_percent"]), _figure(facts["mean_ic"], digits=4)
    return str(facts["trades"]), profit, mean_ic, facts.get("bias_id", "")


def _moment(text: str | None) -> str:
    return "" if text is None else f"{datetime.fromisoformat(text):%Y%m%dT%H%M%S}"


def run_state(content: Mapping[str, Any], *, is_held: bool) -> str:
    """Return a run's state; one that says it runs while nobody holds the lock was killed."""
    state = str(content["state"])
    return "interrupted" if state == "running" and not is_held else state


def result_table(summary: Mapping[str, Any]) -> Table:
    """Return trades, profit, drawdown, Sharpe ratio and information coefficient, also per mode."""
    backtest, totals = summary["backtest"], summary["totals"]
    span = span_of(backtest["timerange"] or "")
    title = f"{backtest['strategy']}, {backtest['model'] or 'no model'}, {span}"
    table = Table(
        Column("", no_wrap=True),
        *["trades", "profit %", "win %", "drawdown %", "Sharpe", "mean IC"],
        title=title,
    )
    correlation = summary["predictions"].get("overall", {})
    table.add_row(
        "all",
        str(totals["trades"]),
        _figure(totals["net_profit_percent"]),
        _percent(totals["win_rate"]),
        _figure(totals["max_drawdown_percent"]),
        _figure(totals["daily_sharpe"]),
        _figure(correlation.get("mean_ic"), digits=4),
    )
    for mode in summary["by_mode"]:
        profit = 100 * mode["net_profit"] / backtest["starting_balance"]
        row = (mode["mode"], str(mode["trades"]), _figure(profit), _percent(mode["win_rate"]))
        table.add_row(*row)
    return table


def rounds_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per round: what was proposed, and what search rows and backtest said of it."""
    facts = {step["name"]: step["facts"] for step in steps}
    table = Table(
        *["round", "proposer", "new", "trials", "candidates", "best IC", "t", "mean IC of models"],
        title="Rounds, on rows that the search may see",
        caption=_acceptance(facts["expressions"]),
    )
    for number, found in ((n[12:], each) for n, each in facts.items() if "expressions." in n):
        if not found:
            continue
        figures = (_figure(found.get("best_ic"), digits=4), _figure(found.get("best_t"), digits=1))
        counts = (found["new_trials"], found["trials"], found["candidates"])
        tried = _figure(facts[f"summarize.{number}"].get("mean_ic"), digits=4)
        table.add_row(number, _origin(found), *map(str, counts), *figures, tried)
    return table


def _origin(found: Mapping[str, Any]) -> str:
    if found["proposer"] == "search":
        return "search"
    return f"model {found['by_model']}, search {found['new_trials'] - found['by_model']}"


def _acceptance(facts: Mapping[str, Any]) -> str | None:
    if "accepted" not in facts:
        return None
    counted = f"{facts['candidates']} candidates of {facts['trials']} trials"
    return f"{counted}, accepted after confirmation: {facts['accepted']}"


def vault_table(facts: Mapping[str, Any]) -> Table:
    """Return what the vault said: the pool together, and each expression."""
    table = Table(
        Column("", overflow="fold"),
        *["IC", "t", "net bps a candle"],
        title="The vault, opened once; no proposal follows from it",
    )
    pooled = (_figure(facts["pooled_ic"], digits=4), _figure(facts["pooled_t"], digits=1))
    table.add_row("pool", *pooled, "")
    for each in facts["expressions"]:
        figures = (_figure(each["ic"], digits=4), _figure(each["t"], digits=1))
        table.add_row(each["formula"], *figures, _figure(each["net_bps"]))
    return table


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return _figure(None if share is None else 100 * share, digits=1)


def _colored(state: str) -> str:
    color = _COLORS.get(state)
    return f"[{color}]{state}[/{color}]" if color else state
