"""The report's tables as HTML; every text from data or configuration is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from agent_market.evaluation.number_format import (
    MISSING,
    duration,
    interval,
    minute,
    number,
    percent,
    share,
    signed,
    whole,
)
from agent_market.evaluation.page_frame import section

_SECRET = re.compile(r"(^|_)(key|secret|password|token|uid|passphrase|private)s?$|_token$", re.I)


class Column(NamedTuple):
    """A table's column: heading with unit, key of the row, and how to write the value.

    decimals : a second argument of `write`; None for its own default.
    """

    heading: str
    key: str
    write: Callable[..., str] = str
    decimals: int | None = None


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an HTML table that scrolls sideways on a narrow screen."""
    return _framed(columns, _rows(columns, rows))


def _framed(columns: Sequence[Column], body: str) -> str:
    head = "".join(f"<th>{escape(column.heading)}</th>" for column in columns)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _rows(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(
        "<tr>" + "".join(f"<td>{_cell(column, row)}</td>" for column in columns) + "</tr>"
        for row in rows
    )


def _heading(title: str, width: int) -> str:
    return f'<tr class="group"><td colspan="{width}">{escape(title)}</td></tr>'


def trade_table(summary: Mapping[str, Any], currency: str) -> str:
    """Return the figures of all trades and of their groups, under one set of columns."""
    columns = [
        Column("Group", "name"),
        Column("Trades", "trades", whole),
        Column(f"Net profit, {currency}", "net_profit", signed),
        Column("Mean trade, %", "mean_trade_percent", signed),
        Column("Win rate", "win_rate", share),
        Column("Profit factor", "profit_factor", number),
        Column(f"Fees, {currency}", "fees_paid", number),
        Column(f"Funding paid, {currency}", "funding_paid", number),
        Column("Mean holding", "mean_duration_minutes", duration),
    ]
    body = _rows(columns, [{"name": "All", **summary["totals"]}])
    for key in ("pair", "mode", "direction", "exit_reason"):
        body += _heading(f"By {key.replace('_', ' ')}", len(columns))
        body += _rows(columns, [{"name": row[key], **row} for row in summary[f"by_{key}"]])
    return _framed(columns, body)


def regime_table(summary: Mapping[str, Any]) -> str:
    """Return the trades of each mode by the regime they were entered in."""
    columns = [
        Column("Mode", "mode"),
        Column("Regime", "regime"),
        Column("Trades", "trades", whole),
        Column("Net profit", "net_profit", signed),
        Column("Win rate", "win_rate", share),
        Column("Mean trade, bps", "mean_net_bps", signed),
        Column("95 % interval", "mean_net_bps_interval_95", interval),
        Column("Before fees, bps", "mean_before_fees_bps", signed),
    ]
    return table(columns, summary["by_mode_and_regime"])


def prediction_table(predictions: Mapping[str, Any]) -> str:
    """Return prediction quality per pair, and over all pairs in the last row."""
    rows = [*predictions["by_pair"], {"pair": "All pairs", **predictions["overall"]}]
    columns = [
        Column("Pair", "pair"),
        Column("Windows", "n_windows", whole),
        Column("Rows", "n", whole),
        Column("Mean IC", "mean_ic", number, 3),
        Column("95 % interval", "mean_ic_interval_95", interval, 3),
        Column("Mean rank IC", "mean_rank_ic", number, 3),
        Column("ICIR", "icir", number),
        Column("Windows with IC > 0", "positive_window_share", share),
        Column("± s.e.", "positive_window_share_standard_error", share),
        Column("Hit rate", "hit_rate", share),
        Column("do_predict", "do_predict_share", share),
    ]
    return table(columns, rows)


def window_table(predictions: Mapping[str, Any]) -> str:
    """Return every window's scores."""
    columns = [
        Column("Window from (UTC)", "window_start", minute),
        Column("Pair", "pair"),
        Column("Rows", "n", whole),
        Column("IC", "ic", number, 3),
        Column("± s.e.", "ic_standard_error", number, 3),
        Column("Rank IC", "rank_ic", number, 3),
        Column("Hit rate", "hit_rate", share),
        Column("do_predict", "do_predict_share", share),
    ]
    return table(columns, predictions["windows"])


def importance_table(importance: Mapping[str, Any]) -> str:
    """Return the top features with their full names."""
    columns = [
        Column("Feature", "feature"),
        Column("Mean share", "mean_share", share, 2),
        Column("10 % quantile", "low", share, 2),
        Column("90 % quantile", "high", share, 2),
    ]
    return table(columns, importance["top"])


def comparison_table(summary: Mapping[str, Any]) -> str:
    """Return the strategy beside buy and hold, and Freqtrade's own ratios."""
    own, held = summary["totals"], summary["buy_and_hold"]
    rows = [
        _compare("Net profit", "net_profit_percent", own, held, percent),
        _compare("Maximum drawdown", "max_drawdown_percent", own, held, _percent_unsigned),
        _compare("Daily Sharpe ratio", "daily_sharpe", own, held, number),
        _compare("95 % interval", "daily_sharpe_interval_95", own, held, interval),
        _compare("Daily Sortino ratio", "daily_sortino", own, held, number),
        _compare("Calmar ratio", "calmar", own, held, number),
    ]
    columns = [
        Column("Figure", "figure"),
        Column("Strategy", "own"),
        Column("Buy and hold", "held"),
    ]
    return table(columns, rows)


def host_table(summary: Mapping[str, Any]) -> str:
    """Return the ratios as Freqtrade prints them."""
    host = summary["totals"]["freqtrade"]
    rows = [
        {
            "figure": name.capitalize(),
            "trades": number(host[f"{name}_closed_trades"]),
            "wallet": number(host[f"{name}_daily_wallet"]),
        }
        for name in ("sharpe", "sortino", "calmar")
    ]
    drawdown = _percent_unsigned(host["max_drawdown_account_percent"])
    rows.append({"figure": "Maximum drawdown", "trades": drawdown, "wallet": MISSING})
    return table(
        [
            Column("As Freqtrade prints it", "figure"),
            Column("Closed trades", "trades"),
            Column("Daily wallet", "wallet"),
        ],
        rows,
    )


def planted_table(planted: Sequence[Mapping[str, Any]]) -> str:
    """Return what the simulator planted, with the documented coefficients."""
    rows = [
        {
            **entry,
            "all": ", ".join(
                f"{candles}: {number(value, 3)}"
                for candles, value in sorted(
                    entry["information_coefficient"].items(), key=lambda item: float(item[0])
                )
            ),
        }
        for entry in planted
    ]
    columns = [
        Column("Planted signal", "signal"),
        Column("True IC at the label's horizon", "true_ic_at_horizon", number, 3),
        Column("True IC by horizon, 5m candles", "all"),
    ]
    return table(columns, rows)


def facts_table(facts: Mapping[str, str]) -> str:
    """Return names and values, values as code."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
        for name, value in facts.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def configuration_section(facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return what a run was made with, and the whole configuration, folded."""
    texts = {name: MISSING if value is None else str(value) for name, value in facts.items()}
    details = (
        "<details><summary>The whole configuration</summary>"
        f"{facts_table(flat_config(config))}</details>"
    )
    return section("Configuration and hashes", "", facts_table(texts) + details)


def flat_config(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the configuration as dotted keys, sorted; anything named like a secret is removed."""
    return dict(sorted(_flatten(config, "")))


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from [(name, "(removed)")] if _SECRET.search(str(key)) else _flatten(item, name)
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for place, item in enumerate(value):
            yield from _flatten(item, f"{prefix}[{place}]")
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, str(value)


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    value = row[column.key]
    if value is None:
        return escape(MISSING)
    decimals = [] if column.decimals is None else [column.decimals]
    return escape(column.write(value, *decimals))


def _compare(
    figure: str,
    key: str,
    own: Mapping[str, Any],
    held: Mapping[str, Any],
    write: Callable[[Any], str],
) -> dict[str, str]:
    return {"figure": figure} | {
        name: MISSING if source.get(key) is None else write(source[key])
        for name, source in (("own", own), ("held", held))
    }


def _percent_unsigned(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)} %"
