"""The frame of every report: one HTML file that opens anywhere and asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

from agent_market.evaluation.chart_parts import Figure
from agent_market.evaluation.report_style import CSS

# The page may run its own script and style and load nothing, whatever is written into it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_DRAW = """
const charts = JSON.parse(document.getElementById("charts").textContent);
const options = {responsive: true, displaylogo: false, displayModeBar: false};
for (const [id, figure] of Object.entries(charts)) {
  Plotly.newPlot(id, figure.data, figure.layout, options);
}
"""


def html_page(title: str, sections: Sequence[str], charts: Mapping[str, Figure]) -> str:
    """Return the page of sections (HTML), with the charts drawn at their places."""
    # `<` never stands in the data, so no text in it can end the script element.
    data = json.dumps(charts, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head>\n"
        f"<body><main>\n{chr(10).join(sections)}\n</main>\n"
        "<noscript>The charts need JavaScript; the tables do not.</noscript>\n"
        f'<script type="application/json" id="charts">{data}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{_DRAW}</script>\n</body></html>\n"
    )


def page_header(title: str, facts: str, *, is_simulated: bool) -> str:
    """Return the head of a report: title, facts, and whether its prices were observed."""
    badge = "Simulated market: no price here was observed" if is_simulated else "Recorded candles"
    style = "badge simulated" if is_simulated else "badge"
    return (
        f"<header><h1>{escape(title)}</h1><p>{escape(facts)}</p>"
        f'<span class="{style}">{badge}</span></header>'
    )


def footer(generated_at: datetime | None) -> str:
    """Return the end of a report: when it was made, now if not said."""
    stamp = (generated_at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"<footer>Generated at {stamp}. All times are UTC.</footer>"


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return the figures to be read first, each with a label and a detail."""
    return '<div class="cards">' + "".join(_card(*map(escape, each)) for each in figures) + "</div>"


def _card(label: str, value: str, detail: str) -> str:
    return (
        f'<div class="card"><div class="label">{label}</div><div class="value">{value}</div>'
        f'<div class="detail">{detail}</div></div>'
    )


def section(title: str, note: str, content: str) -> str:
    """Return a section; `content` is HTML, the rest plain text."""
    lead = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{content}</section>"


def list_section(title: str, lines: list[str], extra: str = "") -> str:
    """Return a section of plain lines, with HTML below them."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return section(title, "", f"<ul>{items}</ul>{extra}")


def chart_place(name: str, charts: Mapping[str, Figure]) -> str:
    """Return where the chart `name` is drawn."""
    if name not in charts:
        return '<p class="empty">No data to draw.</p>'
    # The height is reserved, so that the page does not jump while the charts are drawn.
    height = charts[name]["layout"]["height"]
    return f'<div class="chart" id="{name}" style="height:{height}px"></div>'


def unavailable(part: Mapping[str, Any]) -> str:
    """Return why a part of the report is missing."""
    return f'<p class="empty">Not available: {escape(str(part["reason"]))}.</p>'
