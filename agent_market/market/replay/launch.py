"""Start the replay exchange as its own process, and stop it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from agent_market.errors import ConfigError
from agent_market.settings import FaultSettings, ReplaySettings

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Replay:
    """A running replay exchange.

    Parameters
    ----------
    url : str
        Base address, such as `http://127.0.0.1:8480`.
    port : int
        The port it listens on.
    process : Popen
        The server's process; `pid`, `poll()` and `kill()` are of use in tests.
    log_path : Path
        What it logs.
    """

    url: str
    port: int
    process: subprocess.Popen[str]
    log_path: Path


@contextmanager
def launch_replay(
    datadir: Path,
    *,
    clock: Literal["as-stored", "live"] = "as-stored",
    host: str = "127.0.0.1",
    port: int = 0,
    reserve_days: float | None = None,
    epoch: datetime | None = None,
    faults: FaultSettings | None = None,
    log_path: Path | None = None,
) -> Iterator[Replay]:
    """Serve `datadir` from another process until the block ends.

    The server also stops when this process dies. `port` 0 takes a free one; without `log_path` the
    log goes to a temporary file that is removed at the end.

    Raises
    ------
    ConfigError
        The server did not start: busy port, missing or unusable data (its own message follows).
    """
    settings = ReplaySettings(
        host=host,
        port=port,
        clock=clock,
        reserve_days=reserve_days,
        epoch=epoch,
        faults=faults or FaultSettings(),
    )
    with tempfile.TemporaryDirectory() as scratch:
        log = log_path or Path(scratch) / "replay.log"
        process = _start(datadir, settings, log)
        try:
            ready = _await_ready(process, log)
            yield Replay(ready["url"], ready["port"], process, log)
        finally:
            _stop(process)


def _start(datadir: Path, settings: ReplaySettings, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agent_market.market.replay"]
    with log.open("w") as errors:
        return subprocess.Popen(
            [*command, str(datadir), settings.model_dump_json()],
            stdin=subprocess.PIPE,  # closes with this process, which ends the server
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _await_ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """Return what the server prints once it listens."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if line:
        ready: dict[str, Any] = json.loads(line)
        return ready
    process.wait()
    lines = log.read_text().strip().splitlines() or ["it logged nothing"]
    raise ConfigError(f"the replay exchange did not start (exit {process.returncode}): {lines[-1]}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
