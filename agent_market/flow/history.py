"""The record of each run, `<state_dir>/runs/<run_id>/run.json`, and the lock on the state."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_market.errors import ConfigError
from agent_market.flow.setup import Request, Setup
from agent_market.store import read_json, write_json

SCHEMA = 1
UNFINISHED = ("running", "failed", "interrupted")
Record = dict[str, Any]
_LOOK_SECONDS = 0.5
_LOCKS = {"run": "flow.lock", "loop": "loop.lock"}


class RunRecord:
    """One run's readable record; every change is written atomically.

    Step states: pending, running, complete, skipped, failed, interrupted, not selected. `attempts`
    counts how often the step's work was begun, `completions` how often it was completed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "run.json"

    @property
    def run_id(self) -> str:
        """The run's identity: its start in UTC."""
        return self.folder.name

    @property
    def request(self) -> Request:
        """The command line that started the run."""
        return Request.model_validate(self.read()["request"])

    @classmethod
    def create(cls, state_dir: Path, request: Request, setup: Setup) -> RunRecord:
        """Make the folder and the record of a new run."""
        record = cls(_new_folder(state_dir / "runs"))
        content: Record = {
            "schema": SCHEMA,
            "run_id": record.run_id,
            "state": "running",
            "started": now(),
            "finished": None,
            "error": None,
            "strategy": setup.strategy,
            "timerange": setup.timerange_text,
            "request": request.model_dump(mode="json"),
            "steps": [_new_step(name, request) for name in request.step_names],
        }
        record._write(content)
        return record

    def read(self) -> Record:
        """Return the whole record."""
        content: Record = read_json(self.path)
        return content

    def update(self, **values: Any) -> None:
        """Set values of the run."""
        self._write(self.read() | values)

    def step(self, name: str) -> Record:
        """Return the record of one step."""
        return next(step for step in self.read()["steps"] if step["name"] == name)

    def begin_step(self, name: str, key: str, reason: str) -> None:
        """Note that a step's work begins."""
        attempts = self.step(name)["attempts"] + 1
        self._set_step(
            name, state="running", key=key, reason=reason, attempts=attempts, started=now()
        )

    def complete_step(self, name: str, facts: Mapping[str, Any]) -> None:
        """Note that a step's output is committed."""
        step, finished = self.step(name), now()
        seconds = (_parse(finished) - _parse(step["started"])).total_seconds()
        done = {"finished": finished, "seconds": round(seconds, 3), "facts": dict(facts)}
        completions = step["completions"] + 1
        self._set_step(name, state="complete", completions=completions, error=None, **done)

    def skip_step(self, name: str, key: str, reason: str, facts: Mapping[str, Any]) -> None:
        """Note that an earlier run's output stands."""
        self._set_step(name, state="skipped", key=key, reason=reason, facts=dict(facts), error=None)

    def fail_step(self, name: str, error: str) -> None:
        """Note why a step failed."""
        self._set_step(name, state="failed", finished=now(), error=error)

    def reopen_steps(self, names: Sequence[str]) -> None:
        """Note that these steps are to be done, and remove what a killed write left."""
        for leftover in self.folder.rglob(".*.tmp"):
            leftover.unlink()
        for name in names:
            self._set_step(name, state="pending")

    def interrupt(self) -> None:
        """Note that the run, and the step it was in, was stopped before its end."""
        content = self.read()
        for step in content["steps"]:
            if step["state"] in ("running", "failed"):
                step["state"] = "interrupted"
        self._write(content | {"state": "interrupted", "finished": now()})

    def _set_step(self, name: str, **values: Any) -> None:
        content = self.read()
        for step in content["steps"]:
            if step["name"] == name:
                step |= values
        self._write(content)

    def _write(self, content: Record) -> None:
        write_json(self.path, content)


def list_runs(state_dir: Path) -> list[RunRecord]:
    """Return every run of this state directory, oldest first."""
    return [RunRecord(path.parent) for path in sorted(state_dir.glob("runs/*/run.json"))]


def find_run(state_dir: Path, run_id: str | None, *, unfinished: bool = False) -> RunRecord:
    """Return the named run, or the newest one (the newest unfinished one, if so asked).

    Raises
    ------
    ConfigError
        There is no such run; the message names the newest ones.
    """
    runs = list_runs(state_dir)
    named = [run for run in runs if run_id in (None, run.run_id)]
    if run_id is None and unfinished:
        named = [run for run in named if run.read()["state"] in UNFINISHED]
    if named:
        return named[-1]
    if run_id is None:
        what = "unfinished run" if unfinished and runs else "run"
        raise ConfigError(f"no {what} in {state_dir}. Start one with `agent_flow run`.")
    known = ", ".join(run.run_id for run in runs[-3:]) or "none"
    raise ConfigError(f"no run {run_id!r} in {state_dir}. The newest: {known}.")


@contextmanager
def exclusive(state_dir: Path, what: str = "run") -> Iterator[None]:
    """Hold the state directory against a second run, or a second loop, at the same time.

    Raises
    ------
    ConfigError
        Another process holds it; the message gives its id.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / _LOCKS[what]).open("a+", encoding="utf-8") as file:
        if not _lock_soon(file.fileno()):
            file.seek(0)
            raise ConfigError(
                f"another {what} (process {file.read().strip() or 'unknown'}) is at work in "
                f"{state_dir}. Wait for it, stop it, or set another agent_market.state_dir."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_held(state_dir: Path) -> bool:
    """Return whether a run is at work in this state directory now."""
    path = state_dir / _LOCKS["run"]
    if not path.is_file():
        return False
    with path.open("r", encoding="utf-8") as file:
        return not _try_lock(file.fileno())


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _try_lock(descriptor: int) -> bool:
    # flock, not lockf: it belongs to the open file and ends with the process, however it dies.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_soon(descriptor: int) -> bool:
    # `is_held` holds the lock for a moment: somebody who only looks must not refuse a run
    deadline = time.monotonic() + _LOOK_SECONDS
    while not (is_locked := _try_lock(descriptor)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS / 10)
    return is_locked


def _new_folder(runs: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    taken = len(list(runs.glob(f"{stamp}*")))
    folder = runs / (f"{stamp}-{taken + 1}" if taken else stamp)
    folder.mkdir(parents=True)
    return folder


def _new_step(name: str, request: Request) -> Record:
    state = "pending" if name in request.selected else "not selected"
    return {
        "name": name,
        "state": state,
        "key": None,
        "reason": None,
        "attempts": 0,
        "completions": 0,
        "started": None,
        "finished": None,
        "seconds": None,
        "error": None,
        "facts": {},
    }


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text)
