"""The report's charts, as plain Plotly figures (`data` and `layout`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from agent_market.evaluation.backtest_result import BacktestResult
from agent_market.evaluation.chart_parts import (
    BLUE,
    COLORS,
    GREEN,
    INK,
    MUTED,
    RED,
    Figure,
    axis,
    base_layout,
    escape_tags,
    iso,
    line_trace,
    name_axis,
    thinned,
    times,
)
from agent_market.evaluation.equity import buy_and_hold, mark_to_market
from agent_market.evaluation.metrics import drawdown
from agent_market.evaluation.trade_breakdown import modes

MAX_TRADES = 400
_Z95 = 1.96
# What FreqAI makes of a feature's name when it expands it over periods, shifts, pairs, timeframes.
_EXPANDED = re.compile(
    r"%-(?P<name>.+?)(?:-period_(?P<period>\d+))?(?:_gen)?(?:_shift-(?P<shift>\d+))?"
    r"_(?P<coin>[^_/]+)/[^_]+_(?P<timeframe>\d+[mhdw])"
)


def equity_figure(result: BacktestResult, closes: pd.DataFrame) -> Figure:
    """Return equity beside buy and hold, and the drawdown of both below."""
    own = mark_to_market(result, closes)["equity"]
    data: list[dict[str, Any]] = []
    held = buy_and_hold(closes, result.starting_balance, result.timeframe)
    for name, series, color, width in (
        ("Buy and hold", held, MUTED, 1.3),
        ("Strategy", own, BLUE, 2),
    ):
        line = {"color": color, "width": width}
        thin, fall = thinned(series), thinned(-100 * drawdown(series), "min")
        data.append(line_trace(thin, name, line, "%{y:,.2f}"))
        below = line_trace(fall, f"{name} drawdown", line, "%{y:.2f} %")
        filled = {"fill": "tozeroy", "fillcolor": "rgba(43,92,143,0.14)"}
        data.append(
            below | {"yaxis": "y2", "showlegend": False} | (filled if name == "Strategy" else {})
        )
    currency = str(result.stats.get("stake_currency") or "")
    layout = base_layout(470) | {
        "hovermode": "x unified",
        "xaxis": axis() | {"anchor": "y2", "type": "date"},
        "yaxis": axis(f"Equity, {currency}") | {"domain": [0.36, 1], "tickformat": ",.4~f"},
        "yaxis2": axis("Drawdown, %") | {"domain": [0, 0.29], "rangemode": "tozero"},
    }
    return {"data": data, "layout": layout}


def profit_bars(rows: Sequence[dict[str, Any]], key: str, currency: str) -> Figure:
    """Return net profit per group as horizontal bars, in the order of the table."""
    profits = [row["net_profit"] for row in rows]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(rows))),
        "x": profits,
        "width": 0.58,
        "marker": {"color": [GREEN if profit >= 0 else RED for profit in profits]},
        "customdata": [[escape_tags(str(row[key])), row["trades"]] for row in rows],
        "hovertemplate": f"%{{customdata[0]}}<br>%{{x:,.2f}} {escape_tags(currency)}"
        "<br>%{customdata[1]:,} trades<extra></extra>",
    }
    layout = base_layout(90 + 42 * max(2, len(rows)), legend=False) | {
        "xaxis": axis(f"Net profit, {currency}") | {"zeroline": True, "zerolinecolor": MUTED},
        "yaxis": name_axis([str(row[key]) for row in rows]),
    }
    return {"data": [bar], "layout": layout}


def price_figure(result: BacktestResult, closes: pd.DataFrame, pair: str) -> Figure:
    """Return a pair's close with entries colored by mode, and exits.

    Entries of long trades point up, of short trades down. At most the last 400 trades are drawn.
    """
    trades = result.trades[result.trades["pair"] == pair].tail(MAX_TRADES)
    shown = closes[pair]
    line = line_trace(thinned(shown), "Close", {"color": MUTED, "width": 1.2}, "%{y:,.6~g}")
    data = [line | {"hoverinfo": "skip", "hovertemplate": None}]
    every = sorted(modes(result.trades).unique())
    for mode, group in trades.groupby(modes(trades).to_numpy(), sort=True):
        color = COLORS[every.index(mode) % len(COLORS)]
        data.append(_entries(str(mode), group, color))
    data.append(_exits(trades))
    layout = base_layout(430) | {
        "xaxis": axis() | {"type": "date"},
        "yaxis": axis(f"Price of {pair}") | {"tickformat": ",.6~g"},
    }
    return {"data": data, "layout": layout}


def coefficient_figure(predictions: dict[str, Any], planted: Sequence[dict[str, Any]]) -> Figure:
    """Return the information coefficient of every window with 95 % bars, per pair.

    Pairs stand side by side within a window. Where the market is simulated, a dotted line gives
    each planted signal's documented coefficient at the label's horizon.
    """
    windows = predictions["windows"]
    pairs = sorted({row["pair"] for row in windows})
    starts = sorted({pd.Timestamp(row["window_start"]) for row in windows})
    gaps = [later - start for start, later in pairwise(starts)]
    gap = min(gaps, default=pd.Timedelta(days=1))
    data = [
        _coefficients(
            pair,
            [row for row in windows if row["pair"] == pair],
            gap * (0.62 * ((place + 0.5) / len(pairs) - 0.5)),
            COLORS[place % len(COLORS)],
        )
        for place, pair in enumerate(pairs)
    ]
    ends = [iso(starts[0] - gap / 2), iso(starts[-1] + gap / 2)]
    data += [
        _truth(entry, ends, COLORS[-1 - place % len(COLORS)])
        for place, entry in enumerate(planted)
        if entry["true_ic_at_horizon"] is not None
    ]
    layout = base_layout(400) | {
        "xaxis": axis("Start of the window (UTC)")
        | {"type": "date", "range": ends, "automargin": True},
        "yaxis": axis("Information coefficient") | {"zeroline": True, "zerolinecolor": INK},
    }
    return {"data": data, "layout": layout}


def importance_figure(importance: dict[str, Any]) -> Figure:
    """Return the mean importance share of the top features, largest on top."""
    rows = importance["top"]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(rows))),
        "x": [100 * row["mean_share"] for row in rows],
        "error_x": {
            "symmetric": False,
            "array": [100 * max(0, row["high"] - row["mean_share"]) for row in rows],
            "arrayminus": [100 * max(0, row["mean_share"] - row["low"]) for row in rows],
            "color": INK,
            "thickness": 1,
            "width": 3,
        },
        "marker": {"color": "#86a7c8"},
        "customdata": [escape_tags(row["feature"]) for row in rows],
        "hovertemplate": "%{customdata}<br>%{x:.2f} %<extra></extra>",
    }
    layout = base_layout(90 + 23 * max(3, len(rows)), legend=False) | {
        "xaxis": axis("Mean share, %") | {"rangemode": "tozero"},
        "yaxis": name_axis([_readable(row["feature"]) for row in rows]),
    }
    return {"data": [bar], "layout": layout}


def busiest_pair(result: BacktestResult) -> str | None:
    """Return the pair with the most trades (the first by name among equals), if any traded."""
    counts = result.trades["pair"].value_counts().sort_index()
    return str(counts.idxmax()) if len(counts) else None


def _coefficients(
    pair: str, rows: Sequence[dict[str, Any]], offset: pd.Timedelta, color: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": pair,
        "x": [iso(pd.Timestamp(row["window_start"]) + offset) for row in rows],
        "y": [row["ic"] for row in rows],
        "error_y": {
            "array": [_Z95 * (row["ic_standard_error"] or 0.0) for row in rows],
            "color": color,
            "thickness": 1.2,
            "width": 3,
        },
        "marker": {"color": color, "size": 7},
        "customdata": [[row["window_start"][:16], row["n"]] for row in rows],
        "hovertemplate": f"{escape_tags(pair)}<br>window from %{{customdata[0]}}<br>IC %{{y:.3f}}, "
        "n = %{customdata[1]:,}<extra></extra>",
    }


def _truth(entry: dict[str, Any], ends: list[str], color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"true IC of {escape_tags(entry['signal'])}",
        "x": ends,
        "y": [entry["true_ic_at_horizon"]] * 2,
        "line": {"color": color, "width": 1.4, "dash": "dot"},
        "hovertemplate": "%{fullData.name}: %{y:.3f}<extra></extra>",
    }


def _entries(mode: str, trades: pd.DataFrame, color: str) -> dict[str, Any]:
    symbols = ["triangle-down" if short else "triangle-up" for short in trades["is_short"]]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"Entry: {escape_tags(mode)}",
        "x": times(trades["open_date"]),
        "y": [float(rate) for rate in trades["open_rate"]],
        "marker": {"color": color, "symbol": symbols, "size": 9, "line": _OUTLINE},
        "hovertemplate": f"{escape_tags(mode)} entry at %{{y:,.6~g}}<br>%{{x}}<extra></extra>",
    }


def _exits(trades: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Exit",
        "x": times(trades["close_date"]),
        "y": [float(rate) for rate in trades["close_rate"]],
        "marker": {"color": INK, "symbol": "x-thin-open", "size": 6, "line": {"width": 1.1}},
        "customdata": [
            [escape_tags(str(reason)), 100 * float(ratio)]
            for reason, ratio in zip(trades["exit_reason"], trades["profit_ratio"], strict=True)
        ],
        "hovertemplate": "%{customdata[0]} at %{y:,.6~g}<br>%{customdata[1]:+.2f} %<br>%{x}"
        "<extra></extra>",
    }


_OUTLINE = {"color": "#ffffff", "width": 0.8}


def _readable(feature: str) -> str:
    """Return a FreqAI feature as `pressure 48, ETH 1h, 1 ago`; other names lose their prefix."""
    match = _EXPANDED.fullmatch(feature)
    if not match:
        return feature.removeprefix("%-")
    name = " ".join(filter(None, (match["name"], match["period"])))
    shift = f", {match['shift']} ago" if match["shift"] else ""
    return f"{name}, {match['coin']} {match['timeframe']}{shift}"
