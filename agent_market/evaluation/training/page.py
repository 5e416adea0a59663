"""The training report: one HTML file, made of `training.json` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from agent_market.evaluation.chart_parts import Figure
from agent_market.evaluation.number_format import MISSING, day, interval, number, whole
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
from agent_market.evaluation.report_figures import coefficient_figure, importance_figure
from agent_market.evaluation.report_tables import configuration_section, window_table
from agent_market.evaluation.training.figures import earnings_figure, interval_figure
from agent_market.evaluation.training.tables import (
    ablation_table,
    earnings_table,
    importance_table,
    parameters_text,
    quality_table,
    search_table,
)
from agent_market.store import write_text

TITLE = "Supervised training"


def write_page(
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    path: Path,
    generated_at: datetime | None = None,
) -> None:
    """Write the report of an experiment as one self-contained HTML file, atomically.

    Parameters
    ----------
    summary : mapping
        What `run_experiment` returned, or what `training.json` holds.
    config : mapping
        The merged Freqtrade configuration; what is named like a secret is left out.
    generated_at : datetime, optional
        The only part of the page that is not a function of the other arguments; now if omitted.
    """
    rows = list(_label_rows(summary))
    charts = _figures(summary, rows)
    sections = [
        _header(summary),
        cards(_first_figures(summary, rows)),
        _quality_section(rows, charts),
        _earnings_section(rows, charts),
        *[
            part
            for place, model in enumerate(summary["models"])
            for part in _model_sections(place, model, charts)
        ],
        _search_section(summary),
        list_section("What is simulated", summary["simulated"]),
        list_section("What is not proven", summary["not_proven"]),
        _run_section(summary, config),
        footer(generated_at),
    ]
    write_text(path, html_page(TITLE, sections, charts))


def _label_rows(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the overall figures of every model, horizon and label, under a name."""
    several = any(len(model["labels"]) > 1 for model in summary["models"])
    for model in summary["models"]:
        for label in model["labels"]:
            name = _name(model) + (f", {label['label']}" if several else "")
            yield {"name": name} | label["overall"]


def _name(model: Mapping[str, Any]) -> str:
    return f"{model['model']}, {model['horizon_candles']} candles"


def _figures(summary: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    charts = {
        "quality": interval_figure(rows, "ic", "ic_interval_95", "Information coefficient"),
        "earnings": earnings_figure(rows),
    }
    for place, model in enumerate(summary["models"]):
        for number_of_label, label in enumerate(model["labels"]):
            charts[f"windows-{place}-{number_of_label}"] = coefficient_figure(
                label, model["planted"]
            )
        for number_of_label, ablation in enumerate(model["ablation"]):
            charts[f"ablation-{place}-{number_of_label}"] = interval_figure(
                [{"name": row["group"]} | row for row in ablation["groups"]],
                "difference",
                "difference_interval_95",
                "IC with the group minus IC without it",
            )
        if model["importance"]["status"] == "ok":
            charts[f"importance-{place}"] = importance_figure(model["importance"])
    return charts


def _header(summary: Mapping[str, Any]) -> str:
    run = summary["experiment"]
    facts = (
        f"{day(run['start'])} to {day(run['end'])} out of sample, {run['timeframe']} candles, "
        f"{whole(run['n_features'])} features: {', '.join(run['pairs'])}"
    )
    title = f"{TITLE}: {', '.join(run['models'])}"
    return page_header(title, facts, is_simulated=summary["market"] == "simulated")


def _first_figures(
    summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    scored = [row for row in rows if row["ic"] is not None]
    best = max(scored, key=lambda row: row["ic"], default=None)
    earned = [row["strategy"]["net"]["return_percent"] for row in rows]
    known = [value for value in earned if value is not None]
    windows = sum(model["n_windows"] for model in summary["models"])
    failed = sum(len(model["not_trained"]) for model in summary["models"])
    return [
        (
            f"Highest IC of {len(rows)}",
            MISSING if best is None else number(best["ic"], 3),
            MISSING if best is None else f"95 % {interval(best['ic_interval_95'], 3)}",
        ),
        (
            "IC interval above 0",
            f"{sum((row['ic_interval_95'][0] or 0) > 0 for row in rows)} of {len(rows)}",
            f"below 0: {sum((row['ic_interval_95'][1] or 0) < 0 for row in rows)}",
        ),
        (
            "Sign strategy earns after costs",
            f"{sum(value > 0 for value in known)} of {len(known)}",
            f"at {summary['experiment']['cost_bps']:g} bps a fill",
        ),
        ("Windows trained", whole(windows - failed), f"not trained: {failed}"),
        (
            "Tried before this page",
            whole(summary["trials"]["searched"]),
            f"trials on inner folds; {summary['trials']['scored_out_of_sample']} scored here",
        ),
    ]


def _quality_section(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Figure]) -> str:
    note = (
        "Correlation of prediction and outcome over all out-of-sample rows, mean over pairs. Bars: "
        "95 %, from a bootstrap that draws blocks of at least two horizons of candles, all pairs "
        "together. R² is against the mean of the training rows: below 0 the model is worse than no "
        "model. A classifier is scored by the return it expects, and by its log loss beside that "
        "of the shares of the classes in training."
    )
    return section(
        "Prediction quality", note, chart_place("quality", charts) + quality_table(rows, "Model")
    )


def _earnings_section(rows: Sequence[Mapping[str, Any]], charts: Mapping[str, Figure]) -> str:
    cost = rows[0]["strategy"]["cost_bps"]
    note = (
        "Each candle opens a tranche by the sign of the prediction at the next candle's open and "
        f"holds it for the horizon; every fill costs {cost:g} bps. Solid: after costs, dotted: "
        "before. A yardstick for predictions, not a strategy anyone should trade: it enters at "
        "every candle, however small the edge."
    )
    return section(
        "Sign strategy after costs", note, chart_place("earnings", charts) + earnings_table(rows)
    )


def _model_sections(
    place: int, model: Mapping[str, Any], charts: Mapping[str, Figure]
) -> Iterator[str]:
    content = ""
    for number_of_label, label in enumerate(model["labels"]):
        rows = [{"name": row["pair"]} | row for row in label["by_pair"]]
        content += (
            f"<h3>{escape(label['label'])} by window</h3>"
            f"{chart_place(f'windows-{place}-{number_of_label}', charts)}"
            f"{quality_table(rows, 'Pair')}"
            f"<details><summary>Every window</summary>{window_table(label)}</details>"
        )
    content += _ablation(place, model, charts) + _importance(place, model, charts)
    if model["not_trained"]:
        lines = "".join(f"<li>{escape(line)}</li>" for line in model["not_trained"])
        content += f"<h3>Windows that were not trained</h3><ul>{lines}</ul>"
    yield section(_name(model), "", content)


def _ablation(place: int, model: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    parts = [
        f"<h3>What each group of features adds to {escape(ablation['label'])}</h3>"
        '<p class="note">Trained again without the group. Above 0 the group helps, below 0 it '
        "harms; bars: 95 % of the difference, one group at a time.</p>"
        f"{chart_place(f'ablation-{place}-{number_of_label}', charts)}"
        f"{ablation_table(ablation['groups'])}"
        for number_of_label, ablation in enumerate(model["ablation"])
    ]
    return "".join(parts)


def _importance(place: int, model: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    importance, head = model["importance"], "<h3>Feature importance</h3>"
    if importance["status"] != "ok":
        return head + unavailable(importance)
    stability = number(importance["stability"])
    return (
        f'{head}<p class="note">Mean share over {whole(importance["n_windows"])} windows; bars: '
        "10 % to 90 % quantile between windows. Rank correlation of consecutive windows: "
        f"{escape(stability)}.</p>{chart_place(f'importance-{place}', charts)}"
        f"<details><summary>Shares and stability</summary>{importance_table(importance)}</details>"
    )


def _search_section(summary: Mapping[str, Any]) -> str:
    rows = [
        {"name": _name(model)} | model["search"] for model in summary["models"] if model["search"]
    ]
    if not rows:
        return ""
    note = (
        "Parameters were searched on purged folds inside the first training window, which ends "
        "before the first row that is scored on this page."
    )
    return section("Parameter search", note, search_table(rows))


def _run_section(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    run = summary["experiment"]
    facts = {
        "Seed": run["seed"],
        "Groups left out": ", ".join(run["groups"]) or "none",
        **{_name(entry): parameters_text(entry["spec"]) for entry in summary["models"]},
        **dict(sorted(summary["provenance"].items())),
        **{f"Version of {name}": value for name, value in sorted(summary["versions"].items())},
    }
    return configuration_section(facts, config)
