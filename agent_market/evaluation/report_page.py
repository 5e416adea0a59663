"""The report: one HTML file that opens anywhere and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from agent_market.evaluation.backtest_result import BacktestArtifacts, BacktestResult
from agent_market.evaluation.chart_parts import Figure
from agent_market.evaluation.equity import read_closes
from agent_market.evaluation.number_format import (
    MISSING,
    day,
    duration,
    interval,
    number,
    percent,
    share,
    signed,
    whole,
)
from agent_market.evaluation.page_frame import (
    cards,
    chart_place,
    footer,
    html_page,
    list_section,
    page_header,
    section,
    unavailable,
)
from agent_market.evaluation.report_figures import (
    MAX_TRADES,
    busiest_pair,
    coefficient_figure,
    equity_figure,
    importance_figure,
    price_figure,
    profit_bars,
)
from agent_market.evaluation.report_rounds import rounds_section
from agent_market.evaluation.report_tables import (
    comparison_table,
    configuration_section,
    host_table,
    importance_table,
    planted_table,
    prediction_table,
    regime_table,
    trade_table,
    window_table,
)
from agent_market.evaluation.summary import load_result
from agent_market.store import write_text


def write_report(
    summary: Mapping[str, Any],
    artifacts: BacktestArtifacts,
    path: Path,
    generated_at: datetime | None = None,
    rounds: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a backtest as one self-contained HTML file, atomically.

    Parameters
    ----------
    summary : mapping
        What `summarize` returned for the same artifacts.
    artifacts : BacktestArtifacts
        The equity curve and the price chart are drawn from these.
    path : Path
        Where the file is to stand.
    generated_at : datetime, optional
        The only part of the page that is not a function of the other arguments; now if omitted.
    rounds : mapping, optional
        How features and expressions were found before, as `rounds_section` takes it.

    Raises
    ------
    DataError
        The backtest result or the candles of a pair cannot be read.
    """
    result = load_result(artifacts)
    charts = _figures(summary, artifacts, result)
    found = rounds_section(rounds) if rounds else ""
    write_text(path, _page(summary, artifacts, result, charts, found, footer(generated_at)))


def _figures(
    summary: Mapping[str, Any], artifacts: BacktestArtifacts, result: BacktestResult
) -> dict[str, Figure]:
    closes = read_closes(result, artifacts.datadir)
    currency = _currency(summary)
    charts: dict[str, Figure] = {}
    if len(closes):
        charts["equity"] = equity_figure(result, closes)
    pair = busiest_pair(result)
    if pair is not None:
        charts["by-pair"] = profit_bars(summary["by_pair"], "pair", currency)
        charts["by-mode"] = profit_bars(summary["by_mode"], "mode", currency)
        charts["price"] = price_figure(result, closes, pair)
    if summary["predictions"]["status"] == "ok":
        planted = summary["market"]["planted"]
        charts["coefficients"] = coefficient_figure(summary["predictions"], planted)
    if summary["feature_importance"]["status"] == "ok":
        charts["importance"] = importance_figure(summary["feature_importance"])
    return charts


def _page(
    summary: Mapping[str, Any],
    artifacts: BacktestArtifacts,
    result: BacktestResult,
    charts: Mapping[str, Figure],
    rounds: str,
    end: str,
) -> str:
    title = f"Backtest of {result.strategy}"
    sections = [
        _header(summary),
        _cards(summary),
        _equity_section(summary, charts),
        _trades_section(summary, charts),
        _price_section(result, charts),
        _prediction_section(summary, charts),
        _importance_section(summary, charts),
        rounds,
        _simulated_section(summary),
        list_section("What is not proven", summary["not_proven"]),
        _run_section(summary, artifacts),
        end,
    ]
    return html_page(title, sections, charts)


def _header(summary: Mapping[str, Any]) -> str:
    run = summary["backtest"]
    model = f" with {run['model']}" if run["model"] else ""
    mode = " ".join(filter(None, [run["margin_mode"], run["trading_mode"]]))
    facts = (
        f"{day(run['start'])} to {day(run['end'])} ({number(run['days'], 0)} days), "
        f"{run['timeframe']} candles, {mode}: {', '.join(run['pairs'])}"
    )
    is_simulated = summary["market"]["kind"] == "simulated"
    return page_header(run["strategy"] + model, facts, is_simulated=is_simulated)


def _cards(summary: Mapping[str, Any]) -> str:
    totals, held, currency = summary["totals"], summary["buy_and_hold"], _currency(summary)
    figures = [
        (
            "Net profit",
            percent(totals["net_profit_percent"]),
            f"{signed(totals['net_profit'])} {currency}",
        ),
        (
            "Buy and hold",
            percent(held.get("net_profit_percent")),
            "same pairs, no costs",
        ),
        (
            "Maximum drawdown",
            f"{number(totals['max_drawdown_percent'])} %",
            "open positions included",
        ),
        (
            "Daily Sharpe ratio",
            number(totals["daily_sharpe"]),
            f"95 % {interval(totals['daily_sharpe_interval_95'])}",
        ),
        (
            "Trades",
            whole(totals["trades"]),
            f"win rate {share(totals['win_rate'])}",
        ),
        ("Mean IC, out of sample", *_coefficient_card(summary["predictions"])),
    ]
    return cards(figures)


def _coefficient_card(predictions: Mapping[str, Any]) -> tuple[str, str]:
    if predictions["status"] != "ok":
        return MISSING, "no numeric predictions"
    overall = predictions["overall"]
    bounds = interval(overall["mean_ic_interval_95"], 3)
    return number(overall["mean_ic"], 3), f"95 % {bounds}"


def _equity_section(summary: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    totals, currency = summary["totals"], _currency(summary)
    note = (
        "Equity at every candle's close, open positions at market value, after fees. "
        f"Fees paid: {number(totals['fees_paid'])} {currency}; "
        f"funding paid: {number(totals['funding_paid'])} {currency}. "
        f"In the market {share(totals['time_in_market_share'])} of the time; "
        f"mean gross position {number(totals['mean_gross_leverage'])} x equity. "
        f"The interval of the Sharpe ratio is a block bootstrap over "
        f"{whole(totals['n_daily_returns'])} daily returns."
    )
    tables = f'<div class="columns">{comparison_table(summary)}{host_table(summary)}</div>'
    return section("Equity and drawdown", note, chart_place("equity", charts) + tables)


def _trades_section(summary: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    currency = _currency(summary)
    if not summary["totals"]["trades"]:
        return section("Trades", "", '<p class="empty">The strategy opened no trade.</p>')
    bars = (
        f'<div class="columns"><div><h3>By pair</h3>{chart_place("by-pair", charts)}</div>'
        f"<div><h3>By mode</h3>{chart_place('by-mode', charts)}</div></div>"
    )
    note = (
        "The mode is the trade's entry tag. Profits are net of fees and funding; the mean trade is "
        f"on the trade's own stake. Mean holding time "
        f"{duration(summary['totals']['mean_duration_minutes'])}."
    )
    regimes = _regimes(summary) if summary["by_mode_and_regime"] else ""
    return section("Trades", note, bars + trade_table(summary, currency) + regimes)


def _regimes(summary: Mapping[str, Any]) -> str:
    note = (
        "The regime is that of the last candle before the entry. Means are in basis points of the "
        "position; the interval takes trades opened on one day as one piece of evidence."
    )
    return f'<h3>By mode and regime</h3><p class="note">{note}</p>{regime_table(summary)}'


def _price_section(result: BacktestResult, charts: Mapping[str, Figure]) -> str:
    pair = busiest_pair(result)
    if pair is None:
        return ""
    count = int((result.trades["pair"] == pair).sum())
    drawn = f"the last {MAX_TRADES} of {count:,}" if count > MAX_TRADES else f"all {count:,}"
    note = (
        f"{pair}, the pair with the most trades; {drawn} are drawn. Triangles up are long entries, "
        "down short ones; a cross is an exit."
    )
    return section("Price and trades", note, chart_place("price", charts))


def _prediction_section(summary: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    predictions, title = summary["predictions"], "Prediction quality"
    if predictions["status"] != "ok":
        return section(title, "", unavailable(predictions))
    horizon = predictions["horizon_candles"]
    note = (
        f"Correlation of {predictions['label']} with close[t+{horizon}] / close[t] - 1, out of "
        "sample, one point per trained window and pair, rows with do_predict = 1. Bars are 95 % "
        "and widened for overlapping labels; the intervals of the means treat all pairs of one "
        "window as one observation."
    )
    details = f"<details><summary>Every window</summary>{window_table(predictions)}</details>"
    return section(
        title, note, chart_place("coefficients", charts) + prediction_table(predictions) + details
    )


def _importance_section(summary: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    importance, title = summary["feature_importance"], "Feature importance"
    if importance["status"] != "ok":
        return section(title, "", unavailable(importance))
    note = (
        f"Mean share over {whole(importance['n_windows'])} trained windows, the "
        f"{len(importance['top'])} largest of {whole(importance['n_features'])} features; bars: "
        "10 % to 90 % quantile between windows. Rank correlation of consecutive windows (1 = the "
        f"same ranking every time): {number(importance['stability'])}."
    )
    names = f"<details><summary>Full names</summary>{importance_table(importance)}</details>"
    return section(title, note, chart_place("importance", charts) + names)


def _simulated_section(summary: Mapping[str, Any]) -> str:
    planted = summary["market"]["planted"]
    extra = f"<h3>Planted alpha</h3>{planted_table(planted)}" if planted else ""
    return list_section("What is simulated", summary["simulated"], extra)


def _run_section(summary: Mapping[str, Any], artifacts: BacktestArtifacts) -> str:
    run = summary["backtest"]
    facts = {
        "Strategy": run["strategy"],
        "Model": run["model"],
        "FreqAI identifier": run["identifier"],
        "Time range": run["timerange"],
        "Stake currency": run["stake_currency"],
        "Starting balance": number(run["starting_balance"]),
        "Open trades at once, at most": run["max_open_trades"],
        **{
            name.replace("_", " ").capitalize(): value
            for name, value in sorted(summary["provenance"].items())
        },
    }
    return configuration_section(facts, artifacts.config)


def _currency(summary: Mapping[str, Any]) -> str:
    return str(summary["backtest"]["stake_currency"] or "")
