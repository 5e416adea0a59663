"""The report of policies: one HTML file, made of `policies.json` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from agent_market.evaluation.chart_parts import Figure
from agent_market.evaluation.number_format import day, interval, number, percent, share, whole
from agent_market.evaluation.page_frame import (
    cards,
    chart_place,
    footer,
    html_page,
    list_section,
    page_header,
    section,
)
from agent_market.evaluation.report_tables import Column, configuration_section, table
from agent_market.evaluation.training.figures import earnings_figure, interval_figure
from agent_market.evaluation.training.tables import earnings_table, parameters_text
from agent_market.store import write_text

TITLE = "Policies"


def write_policy_page(
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    path: Path,
    generated_at: datetime | None = None,
) -> None:
    """Write the report of an experiment as one self-contained HTML file, atomically.

    Parameters
    ----------
    summary : mapping
        What `run_policies` returned, or what `policies.json` holds.
    config : mapping
        The merged Freqtrade configuration; what is named like a secret is left out.
    generated_at : datetime, optional
        The only part of the page that is not a function of the other arguments; now if omitted.
    """
    rows = summary["rows"]
    charts = {
        "sharpe": interval_figure(list(map(_flat, rows)), "sharpe", "sharpe_interval_95", "Sharpe"),
        "earnings": earnings_figure(rows),
    }
    sections = [
        _header(summary),
        cards(_first_figures(summary)),
        _comparison(rows, charts),
        _earnings(rows, charts),
        _seeds(rows),
        *_pairs(rows),
        list_section("What is simulated", summary["simulated"]),
        list_section("What is not proven", summary["not_proven"]),
        _run_section(summary, config),
        footer(generated_at),
    ]
    write_text(path, html_page(TITLE, sections, charts))


def policy_table(rows: Sequence[Mapping[str, Any]], heading: str) -> str:
    """Return the figures of accounts, one row a `name`, after costs."""
    columns = [
        Column(heading, "name"),
        Column("Net return", "return_percent", percent),
        Column("Sharpe", "sharpe", number),
        Column("95 % interval", "sharpe_interval_95", interval),
        Column("Sortino", "sortino", number),
        Column("95 % interval", "sortino_interval_95", interval),
        Column("Drawdown, %", "max_drawdown_percent", number),
        Column("Trades", "trades", whole),
        Column("Win rate", "win_rate", share),
        Column("Losses in a row", "longest_losing_streak", whole),
        Column("Exposure", "exposure", share),
        Column("Turnover a day", "turnover_per_day", number),
    ]
    return table(columns, [_flat(row) for row in rows])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    strategy = row["strategy"]
    return {**row, **strategy["net"], "turnover_per_day": strategy["turnover_per_day"]}


def _header(summary: Mapping[str, Any]) -> str:
    run = summary["experiment"]
    facts = (
        f"{day(run['start'])} to {day(run['end'])} out of sample, {run['timeframe']} candles, "
        f"{whole(run['n_windows'])} windows a pair, {whole(run['n_features'])} features: "
        f"{', '.join(run['pairs'])}"
    )
    title = f"{TITLE}: {', '.join(run['policies'])}"
    return page_header(title, facts, is_simulated=summary["market"] == "simulated")


def _first_figures(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    policies = [row for row in summary["rows"] if "seeds" in row]
    earned = [row["strategy"]["net"]["return_percent"] for row in policies]
    above = [(row["strategy"]["net"]["sharpe_interval_95"][0] or 0) > 0 for row in policies]
    windows = sum(row["n_windows"] for row in policies)
    failed = sum(len(row["not_trained"]) for row in policies)
    return [
        (
            "Policies that earn after costs",
            f"{sum(value > 0 for value in earned)} of {len(earned)}",
            f"at {summary['experiment']['cost_bps']:g} bps a fill",
        ),
        ("Sharpe interval above 0", f"{sum(above)} of {len(above)}", "all seeds together"),
        (
            "Windows in which a policy trades",
            f"{sum(row['windows_traded'] for row in policies)} of {windows}",
            "in the others its validation rows said to stay flat",
        ),
        ("Windows trained", whole(windows - failed), f"not trained: {failed}"),
        ("Seeds", whole(len(summary["experiment"]["seeds"])), "an equal part of the capital each"),
    ]


def _comparison(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Figure]) -> str:
    note = (
        "After fees, slippage and funding, all pairs and seeds with equal parts of the capital. "
        "Sharpe and Sortino ratios are of days, annualized; bars and intervals: 95 %, from a "
        "bootstrap that draws blocks of days. Exposure is the mean absolute position as a share "
        "of capital; the longest run of losses is that of one pair and seed. A ratio that reads "
        "n/a is of an account that never traded."
    )
    return section(
        "Policies and rules", note, chart_place("sharpe", charts) + policy_table(rows, "Policy")
    )


def _earnings(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Figure]) -> str:
    note = "Solid: after costs, dotted: the same signals without fee and slippage."
    return section("Equity", note, chart_place("earnings", charts) + earnings_table(rows))


def _seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    every = [
        {**figures, "name": f"{row['name']}, seed {figures['seed']}"}
        for row in rows
        for figures in row.get("seeds", [])
    ]
    return section("Seed by seed", "", policy_table(every, "Policy"))


def _pairs(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        by_pair = [{**figures, "name": figures["pair"]} for figures in row["by_pair"]]
        content = policy_table(by_pair, "Pair")
        if row.get("not_trained"):
            lines = "".join(f"<li>{escape(line)}</li>" for line in row["not_trained"])
            content += f"<h3>Windows that were not trained</h3><ul>{lines}</ul>"
        yield section(row["name"], "", content)


def _run_section(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    run = summary["experiment"]
    facts = {
        "Seeds": ", ".join(map(str, run["seeds"])),
        "Leverage": run["leverage"],
        "Stop-loss": run["stoploss"],
        **{row["name"]: parameters_text(row["spec"]) for row in summary["rows"] if "spec" in row},
        **dict(sorted(summary["provenance"].items())),
        **{f"Version of {name}": value for name, value in sorted(summary["versions"].items())},
    }
    return configuration_section(facts, config)
