"""What the charts of every report are made of: lines, axes, layout, times, escaped texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

Figure = dict[str, Any]

INK, GRID, MUTED = "#22303f", "#e6eaee", "#8792a0"
BLUE, RED, GREEN = "#2b5c8f", "#b4483f", "#3f8468"
COLORS = (BLUE, "#c67a2c", GREEN, "#7b659c", "#a1503f", "#4d8fa8", "#8d8341", "#5f6b7a")
MAX_POINTS = 1500


def line_trace(
    series: pd.Series[float], name: str, line: dict[str, Any], number_format: str
) -> dict[str, Any]:
    """Return a line of a series over time; `number_format` is Plotly's, such as `%{y:.2f}`."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": times(series.index),
        "y": [float(f"{value:.7g}") for value in series],
        "line": line,
        "hovertemplate": f"{name}: {number_format}<extra></extra>",
    }


def thinned(series: pd.Series[float], keep: str = "last") -> pd.Series[float]:
    """Return at most `MAX_POINTS` rows: the last of each stretch, or its minimum."""
    step = -(-len(series) // MAX_POINTS)
    if step <= 1:
        return series.dropna()
    # Counted from the end, so that the last value is always shown.
    stretch = np.arange(len(series))[::-1] // step
    grouped = series.groupby(stretch, sort=False).agg(keep)
    last = pd.Series(series.index).groupby(stretch, sort=False).last()
    return pd.Series(grouped.to_numpy(), pd.DatetimeIndex(last)).dropna()


def base_layout(height: int, legend: bool = True) -> dict[str, Any]:
    """Return the layout that all charts share; `height` in pixels."""
    return {
        "height": height,
        "margin": {"l": 62, "r": 14, "t": 34 if legend else 10, "b": 46},
        "font": {"family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 12}
        | {"color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": GRID, "font": {"color": INK}},
    }


def axis(title: str = "") -> dict[str, Any]:
    """Return an axis with a quiet grid."""
    return {
        "title": {"text": escape_tags(title), "font": {"size": 12, "color": MUTED}, "standoff": 10},
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "tickfont": {"size": 11},
    }


def name_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return a vertical axis of names, first on top; long ones are shortened in the middle."""
    # Bars stand at numbers: two names that shorten to the same text must not share a bar.
    return axis() | {
        "autorange": "reversed",
        "automargin": True,
        "showgrid": False,
        "tickvals": list(range(len(names))),
        "ticktext": [_short(name, 30) for name in names],
    }


def _short(text: str, length: int) -> str:
    if len(text) > length:
        half = (length - 1) // 2
        text = f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"
    return escape_tags(text)


def escape_tags(text: str) -> str:
    """Return a text whose `<`, `>` and `&` Plotly shows as they are."""
    # Plotly reads a small set of HTML tags in its texts.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def times(moments: Any) -> list[str]:
    """Return moments as Plotly reads them."""
    return [iso(moment) for moment in moments]


def iso(moment: pd.Timestamp) -> str:
    """Return one moment as Plotly reads it."""
    # Without a zone: Plotly draws the text as it stands, which is UTC.
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
