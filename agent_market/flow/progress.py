"""What FreqAI's log says about how far a backtest is, shown as a bar."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich import get_console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

logger = logging.getLogger(__name__)

# Written by IFreqaiModel.log_backtesting_progress before each window is trained.
_TRAINING = re.compile(
    r"Training (?P<pair>\S+), (?P<pair_number>\d+)/(?P<pairs>\d+) pairs from .* to .*, "
    r"(?P<window>\d+)/(?P<windows>\d+) trains"
)
_SKIPPED = re.compile(r"Training (\S+) raised exception (\w+)\. Message: (.*), skipping\.")


@dataclass(frozen=True)
class TrainingProgress:
    """The window that FreqAI begins to train; `number` counts over all pairs, from 1."""

    pair: str
    number: int
    total: int


def parse_training(line: str) -> TrainingProgress | None:
    """Return the progress that a log line states, None for any other line."""
    match = _TRAINING.search(line)
    if not match:
        return None
    windows = int(match["windows"])
    before = (int(match["pair_number"]) - 1) * windows
    return TrainingProgress(
        match["pair"], before + int(match["window"]), int(match["pairs"]) * windows
    )


def parse_skipped_window(line: str) -> str | None:
    """Return pair and cause of a window that FreqAI could not train, so it predicts nothing."""
    match = _SKIPPED.search(line)
    return f"{match[1]}: {match[2]}: {match[3]}" if match else None


@contextmanager
def training_bar() -> Iterator[Callable[[str], None]]:
    """Show a bar of windows trained; the yielded function is fed with log lines.

    Where there is no terminal, every tenth of the windows gives a line in the log instead.
    """
    if not get_console().is_terminal:
        yield _tenths()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("windows trained"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("backtest: starting Freqtrade", total=None)

        def on_line(line: str) -> None:
            training = parse_training(line)
            if training is not None:
                progress.update(
                    task,
                    description=f"backtest: {training.pair}",
                    completed=training.number - 1,
                    total=training.total,
                )
            elif "Backtesting with data" in line:
                total = progress.tasks[task].total
                progress.update(task, description="backtest: trading", completed=total)

        yield on_line


def _tenths() -> Callable[[str], None]:
    shown = -1

    def on_line(line: str) -> None:
        nonlocal shown
        training = parse_training(line)
        if training is not None and 10 * (training.number - 1) // training.total > shown:
            shown = 10 * (training.number - 1) // training.total
            logger.info("  %d of %d windows trained", training.number - 1, training.total)

    return on_line
