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
_SKIPPED = re.compile(
    r"Training (\S+) raised exception (\w+\. Message: .*), skipping\."
    r"|(\S+): window not trained\. (.*)"
)
# Written by our models, which train the windows of a pair, or of all pairs, beside each other.
_PLANNED = re.compile(
    r" - (?P<pairs>[^-]+): (?P<new>\d+) windows to train, (?P<kept>\d+) unchanged"
)
_TRAINED = re.compile(r" - (?P<pairs>[^-]+): window (?P<window>\d+)/\d+, ")


@dataclass(frozen=True)
class TrainingProgress:
    """How many windows are done, of those known so far; `pair` is at work."""

    pair: str
    done: int
    total: int


class TrainingLog:
    """Counts the training windows of a backtest by its log, of FreqAI's models and of ours.

    total : windows known so far. skipped : pair and cause of those that could not be trained, so
    that nothing is predicted.
    """

    def __init__(self) -> None:
        self.total = 0
        self.skipped: list[str] = []
        self._before = 0  # windows of the pairs before, and those that are read back

    def note(self, line: str) -> TrainingProgress | None:
        """Return the progress that a log line states, None for any other line."""
        if skipped := _SKIPPED.search(line):
            pair, cause = skipped[1] or skipped[3], skipped[2] or skipped[4]
            self.skipped.append(f"{pair}: {cause.replace('. Message', '', 1)}")
            return None
        if found := _TRAINING.search(line):
            windows = int(found["windows"])
            self.total = int(found["pairs"]) * windows
            done = (int(found["pair_number"]) - 1) * windows + int(found["window"]) - 1
            return TrainingProgress(found["pair"], done, self.total)
        if found := _PLANNED.search(line):
            self._before = self.total + int(found["kept"])
            self.total += int(found["new"]) + int(found["kept"])
            return TrainingProgress(found["pairs"], self._before, self.total)
        if found := _TRAINED.search(line):
            done = self._before + int(found["window"])
            return TrainingProgress(found["pairs"], done, self.total)
        return None


@contextmanager
def training_bar(windows: TrainingLog) -> Iterator[Callable[[str], None]]:
    """Show a bar of windows trained; the yielded function is fed with log lines.

    `windows` notes every line. Where there is no terminal, every tenth of the windows gives a line
    in the log instead of the bar.
    """
    if not get_console().is_terminal:
        yield _tenths(windows)
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
            training = windows.note(line)
            if training is not None:
                progress.update(
                    task,
                    description=f"backtest: {training.pair}",
                    completed=training.done,
                    total=training.total,
                )
            elif "Backtesting with data" in line:
                total = progress.tasks[task].total
                progress.update(task, description="backtest: trading", completed=total)

        yield on_line


def _tenths(windows: TrainingLog) -> Callable[[str], None]:
    shown: int | None = None

    def on_line(line: str) -> None:
        nonlocal shown
        training = windows.note(line)
        if training is None or training.total == 0:
            return
        tenth = 10 * training.done // training.total
        if tenth != shown:
            shown = tenth
            logger.info("  %d of %d windows trained", training.done, training.total)

    return on_line
