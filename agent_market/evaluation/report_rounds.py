"""The report's section on rounds: how features and expressions were found, and what held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from agent_market.evaluation.number_format import MISSING, interval, minute, number, percent, whole
from agent_market.evaluation.page_frame import section
from agent_market.evaluation.report_tables import Column, table

_DIGITS = 4
"""Decimals of a coefficient."""


def rounds_section(rounds: Mapping[str, Any]) -> str:
    """Return the section as HTML.

    Parameters
    ----------
    rounds : mapping
        `features`, `acceptance` and `vault` (None if the run did not open it): what these steps
        of the flow keep. `rounds`: for each round `proposed`, `found` (the records of the
        expressions that the scores alone would accept) and `backtest`. `accepted`: the records of
        the pool.
    """
    parts = [
        _features(rounds["features"]),
        _round_table(rounds["rounds"]),
        _fallbacks(rounds["rounds"]),
        *(_found(each) for each in rounds["rounds"]),
        _accepted(rounds["acceptance"], rounds["accepted"]),
        _vault(rounds["vault"]),
    ]
    until = minute(rounds["rounds"][0]["proposed"]["search_end"])
    note = (
        "Features and expressions were found on candles before the time range of this report. "
        f"Scores (inner folds) and backtests of the rounds end at {until}; each round learns from "
        "those of the rounds before. The best of many looks better than it is: what counts is the "
        "confirmation and the vault, on later candles, and this report's own backtest."
    )
    return section("Rounds", note, "".join(parts))


def _features(facts: Mapping[str, Any]) -> str:
    refused = f", {whole(facts['refused'])} refused" if facts["refused"] else ""
    return (
        f"<p>Feature groups: <code>{escape(' '.join(facts['groups']))}</code>, inner IC "
        f"{number(facts['inner_ic'], _DIGITS)}, the best of {whole(facts['trials'])} sets tried"
        f"{refused}.</p>"
    )


def _round_table(rounds: Sequence[Mapping[str, Any]]) -> str:
    columns = [
        Column("Round", "round"),
        Column("Proposed by", "by"),
        Column("New", "new_trials", whole),
        Column("All trials", "trials", whole),
        Column("Highest |t|", "highest_t", number, 1),
        Column("its IC", "best_ic", number, _DIGITS),
        Column("|t| asked for", "t_threshold", number, 1),
        Column("Candidates", "candidates", whole),
        Column("Backtest: trades", "trades", whole),
        Column("net profit", "net_profit_percent", percent),
        Column("mean IC", "mean_ic", number, _DIGITS),
    ]
    return table(columns, [_round_row(each["proposed"], each["backtest"]) for each in rounds])


def _round_row(proposed: Mapping[str, Any], backtest: Mapping[str, Any]) -> dict[str, Any]:
    best_t = proposed.get("best_t")
    return {
        "best_ic": None,
        **proposed,
        "by": _origin(proposed),
        "highest_t": None if best_t is None else abs(best_t),
        **{key: backtest.get(key) for key in ("trades", "net_profit_percent", "mean_ic")},
    }


def _origin(proposed: Mapping[str, Any]) -> str:
    if proposed["proposer"] == "search":
        return "search"
    by_search = proposed["new_trials"] - proposed["by_model"]
    return f"model {proposed['by_model']}, search {by_search}"


def _fallbacks(rounds: Sequence[Mapping[str, Any]]) -> str:
    reasons = dict.fromkeys(
        reason for each in rounds for reason in each["proposed"].get("fallbacks", [])
    )
    if not reasons:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f"<p>Search stood in for the model:</p><ul>{items}</ul>"


def _found(each: Mapping[str, Any]) -> str:
    proposed, found = each["proposed"], each["found"]
    title = f"Round {proposed['round']}: candidates, by their scores alone"
    columns = [
        Column("Expression", "formula"),
        Column("IC", "ic", number, _DIGITS),
        Column("t", "t", number, 1),
        Column("IC of each inner fold", "folds"),
        Column("Net, bps a candle", "net_bps", number),
    ]
    rows = [
        {**record, "folds": ", ".join(number(ic, 3) for ic in record["fold_ics"])}
        for record in found
    ]
    content = table(columns, rows) if rows else '<p class="empty">None.</p>'
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _accepted(facts: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    counted = f"{whole(facts['candidates'])} candidates of {whole(facts['trials'])} trials"
    head = (
        f"<h3>Accepted</h3><p>{counted} were decided upon; {whole(facts['accepted'])} accepted, "
        "by confirmation rows that no score had seen.</p>"
    )
    if not records:
        return head
    columns = [
        Column("Expression", "formula"),
        Column("IC, search", "ic", number, _DIGITS),
        Column("t", "t", number, 1),
        Column("IC, confirmation", "confirmation_ic", number, _DIGITS),
        Column("t, confirmation", "confirmation_t", number, 1),
        Column("|t| asked for", "confirmation_threshold", number, 1),
        Column("Net, bps a candle", "net_bps", number),
    ]
    return head + table(columns, records)


def _vault(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return "<h3>Vault</h3><p>This run did not open it.</p>"
    if not facts["expressions"]:
        return "<h3>Vault</h3><p>Opened; there was no expression to score.</p>"
    pool = {
        "formula": "all, averaged",
        "ic": facts["pooled_ic"],
        "ic_error": facts["pooled_ic_error"],
        "t": facts["pooled_t"],
        "net_bps": None,
    }
    columns = [
        Column("Vault, opened once", "formula"),
        Column("IC", "ic", number, _DIGITS),
        Column("95 % interval", "bounds"),
        Column("t", "t", number, 1),
        Column("Net, bps a candle", "net_bps", number),
    ]
    rows = [{**each, "bounds": _bounds(each)} for each in (*facts["expressions"], pool)]
    return "<h3>Vault</h3>" + table(columns, rows)


def _bounds(figures: Mapping[str, Any]) -> str:
    ic, error = figures["ic"], figures["ic_error"]
    if ic is None or error is None:
        return MISSING
    return interval([ic - 1.96 * error, ic + 1.96 * error], _DIGITS)
