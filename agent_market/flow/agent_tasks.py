"""What the flow asks of the agents, each task in a process of its own.

The agents stand above the flow, import Freqtrade and compiled kernels, and have to stop when the
run is stopped: so they are started by name, as Freqtrade is, and told what to do by a file.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agent_market.flow.configuration import without_environment
from agent_market.flow.processes import run_logged
from agent_market.store import read_json, write_json

logger = logging.getLogger(__name__)

PROGRESS = "agents: "
"""Begins the lines of a task's output that are shown while it runs."""

TaskName = Literal["features", "propose", "accept", "vault", "rl"]


class AgentTask(BaseModel):
    """One task of `agents.flow_tasks`.

    config : configuration file, without secrets. timerange : that the task may read.
    output, facts : files to write: what was found, and what the flow keeps of it.
    campaign : folder of the campaign; key : of the step, so that a second attempt repeats the
    first. number, rounds : which round of how many. summary : of the backtest before, if any.
    """

    model_config = ConfigDict(frozen=True)

    config: Path
    datadir: Path
    user_data_dir: Path
    pairs: tuple[str, ...]
    timerange: str
    output: Path
    facts: Path
    key: str
    campaign: Path | None = None
    number: int = 0
    rounds: int = 0
    summary: Path | None = None


def run_task(name: TaskName, task: AgentTask, folder: Path) -> dict[str, Any]:
    """Run a task to its end; return its facts.

    Raises
    ------
    StepFailed
        The agent failed; the message ends with its output.
    """
    file = folder / f"{name}.task.json"
    write_json(file, task.model_dump(mode="json"))
    task.facts.unlink(missing_ok=True)
    run_logged(
        [sys.executable, "-m", "agents.flow_tasks", name, str(file)],
        folder / f"{name}.log",
        _show,
        without_environment(os.environ),
    )
    facts: dict[str, Any] = read_json(task.facts)
    return facts


def _show(line: str) -> None:
    if line.startswith(PROGRESS):
        logger.info("  %s", line.removeprefix(PROGRESS))
