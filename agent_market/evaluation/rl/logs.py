"""Figures of an experiment for TensorBoard, beside the learning curves that libraries write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from agent_market.learning.adapters.parameters import library


def write_logs(summary: Mapping[str, Any], folder: Path) -> None:
    """Write out-of-sample equity, one run a policy and seed, one step a day.

    Parameters
    ----------
    summary : mapping
        What `run_policies` returned.
    folder : Path
        A run is a folder in it.

    Raises
    ------
    ModelUnavailable
        TensorBoard is not installed.
    """
    library("tensorboard", "--tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    for row in summary["rows"]:
        _write(SummaryWriter, folder / _name(row["name"]), row)
        for figures in row.get("seeds", []):
            _write(SummaryWriter, folder / f"{_name(row['name'])}_seed_{figures['seed']}", figures)


def _write(writer_type: Any, folder: Path, row: Mapping[str, Any]) -> None:
    net = row["strategy"]["net"]
    with writer_type(str(folder)) as writer:
        days = zip(net["daily"]["date"], net["daily"]["equity"], strict=True)
        for step, (date, equity) in enumerate(days):
            writer.add_scalar("out_of_sample/equity", equity, step, pd.Timestamp(date).timestamp())
        for name in ("exposure", "trades", "longest_losing_streak"):
            writer.add_scalar(f"out_of_sample/{name}", row[name])
        writer.add_scalar("out_of_sample/max_drawdown_percent", net["max_drawdown_percent"])


def _name(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_")
