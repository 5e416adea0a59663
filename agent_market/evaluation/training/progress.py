"""How far an experiment is, as a bar, or as lines where there is no terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agent_market.evaluation.training.experiment import OnProgress

logger = logging.getLogger(__name__)


@contextmanager
def progress_bars() -> Iterator[OnProgress]:
    """Yield what `run_experiment` tells its progress: one bar a stage.

    Where there is no terminal, every tenth of a stage gives a line in the log instead.
    """
    if not get_console().is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bars: dict[str, TaskID] = {}

        def on_progress(stage: str, done: int, total: int | None) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield on_progress


def _lines() -> OnProgress:
    shown: dict[str, int] = {}

    def on_progress(stage: str, done: int, total: int | None) -> None:
        tenth = done if not total else 10 * done // total
        if tenth > shown.get(stage, -1):
            shown[stage] = tenth
            logger.info("%s: %d of %s", stage, done, total or "as many as the time allows")

    return on_progress
