"""The tables of a training report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_market.evaluation.number_format import interval, number, percent, share, whole
from agent_market.evaluation.report_tables import Column, table


def quality_table(rows: Sequence[Mapping[str, Any]], heading: str) -> str:
    """Return prediction quality, one row a `name`; log loss where there are classifiers."""
    columns = [
        Column(heading, "name"),
        Column("Rows", "n", whole),
        Column("IC", "ic", number, 3),
        Column("95 % interval", "ic_interval_95", interval, 3),
        Column("Rank IC", "rank_ic", number, 3),
        Column("95 % interval", "rank_ic_interval_95", interval, 3),
        Column("R²", "r2", number, 4),
        Column("Hit rate", "hit_rate", share),
        Column("do_predict", "trusted_share", share),
    ]
    if any(row["log_loss"] is not None for row in rows):
        columns += [
            Column("Log loss", "log_loss", number, 4),
            Column("of training shares", "log_loss_of_training_shares", number, 4),
        ]
    return table(columns, rows)


def earnings_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the sign strategy earned, after costs and before."""
    flat = [
        {
            "name": row["name"],
            "turnover": row["strategy"].get("turnover_per_day"),
            "gross_return": row["strategy"]["gross"]["return_percent"],
            "gross_sharpe": row["strategy"]["gross"]["sharpe"],
            **row["strategy"]["net"],
        }
        for row in rows
    ]
    columns = [
        Column("Model", "name"),
        Column("Net return", "return_percent", percent),
        Column("Sharpe", "sharpe", number),
        Column("95 % interval", "sharpe_interval_95", interval),
        Column("Drawdown, %", "max_drawdown_percent", number),
        Column("Days", "n_days", whole),
        Column("Gross return", "gross_return", percent),
        Column("Sharpe, gross", "gross_sharpe", number),
        Column("Turnover a day", "turnover", number),
    ]
    return table(columns, flat)


def ablation_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what each group of features adds."""
    columns = [
        Column("Group", "group"),
        Column("Rows", "n", whole),
        Column("IC with it", "ic_with", number, 3),
        Column("IC without it", "ic_without", number, 3),
        Column("Difference", "difference", number, 4),
        Column("95 % interval", "difference_interval_95", interval, 4),
    ]
    return table(columns, rows)


def importance_table(importance: Mapping[str, Any]) -> str:
    """Return the shares of the top features and how steady they are."""
    columns = [
        Column("Feature", "feature"),
        Column("Mean share", "mean_share", share, 2),
        Column("Standard deviation", "std", share, 2),
        Column("Windows in the top 20", "top_share", share),
    ]
    return table(columns, importance["top"])


def search_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what each search tried and found."""
    flat = [
        dict(row)
        | {
            "text": ", ".join(f"{name} = {value:.4g}" for name, value in row["found"].items())
            or "its own parameters were not beaten"
        }
        for row in rows
    ]
    columns = [
        Column("Model", "name"),
        Column("Trials", "n_trials", whole),
        Column("Given up early", "n_pruned", whole),
        Column("Failed", "n_fail", whole),
        Column("Own score", "own_value", number, 4),
        Column("Best score", "best_value", number, 4),
        Column("Taken", "text"),
    ]
    return table(columns, flat)


def parameters_text(spec: Mapping[str, Any]) -> str:
    """Return the parameters of a model's `spec` in a line."""
    params = spec["params"]
    return ", ".join(f"{name} = {value}" for name, value in sorted(params.items())) or "defaults"
