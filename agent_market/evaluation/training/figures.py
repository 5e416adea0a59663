"""The charts of a training report, as plain Plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_market.evaluation.chart_parts import (
    BLUE,
    COLORS,
    INK,
    MUTED,
    RED,
    Figure,
    axis,
    base_layout,
    escape_tags,
    name_axis,
)


def interval_figure(
    rows: Sequence[dict[str, Any]], value: str, interval: str, title: str
) -> Figure:
    """Return one figure a row with its interval, red where the figure is below 0.

    Each row has `name`, and numbers or None under `value` and `interval`.
    """
    known = [(place, row) for place, row in enumerate(rows) if row[value] is not None]
    bounds = [_reach(row[value], row[interval]) for _, row in known]
    points = {
        "type": "scatter",
        "mode": "markers",
        "y": [place for place, _ in known],
        "x": [row[value] for _, row in known],
        "error_x": {
            "symmetric": False,
            "array": [high for _, high in bounds],
            "arrayminus": [low for low, _ in bounds],
            "color": MUTED,
            "thickness": 1.4,
            "width": 4,
        },
        "marker": {
            "color": [RED if row[value] < 0 else BLUE for _, row in known],
            "size": 9,
        },
        "customdata": [escape_tags(row["name"]) for _, row in known],
        "hovertemplate": "%{customdata}<br>%{x:.4f}<extra></extra>",
    }
    layout = base_layout(90 + 26 * max(3, len(rows)), legend=False) | {
        "xaxis": axis(title) | {"zeroline": True, "zerolinecolor": INK},
        "yaxis": name_axis([row["name"] for row in rows])
        | {"range": [len(rows) - 0.5, -0.5], "autorange": False},
    }
    return {"data": [points], "layout": layout}


def earnings_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Return the equity of each sign strategy, after costs (solid) and before (dotted)."""
    data: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        color = COLORS[place % len(COLORS)]
        for side, dash in (("net", "solid"), ("gross", "dot")):
            daily = row["strategy"][side]["daily"]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": escape_tags(row["name"]),
                    "legendgroup": str(place),
                    "showlegend": side == "net",
                    "x": [moment[:19] for moment in daily["date"]],
                    "y": [100 * (value - 1) for value in daily["equity"]],
                    "line": {"color": color, "width": 1.8 if side == "net" else 1, "dash": dash},
                    "hovertemplate": f"{escape_tags(row['name'])}, {side}: %{{y:+.2f}} %"
                    "<extra></extra>",
                }
            )
    layout = base_layout(430) | {
        "xaxis": axis() | {"type": "date"},
        "yaxis": axis("Return, %") | {"zeroline": True, "zerolinecolor": INK},
    }
    return {"data": data, "layout": layout}


def _reach(value: float, bounds: Sequence[float | None]) -> tuple[float, float]:
    low, high = bounds
    if low is None or high is None:
        return 0.0, 0.0
    return max(0.0, value - low), max(0.0, high - value)
