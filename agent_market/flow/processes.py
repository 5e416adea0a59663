"""Child processes of the flow: tethered to it, logged to a file, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_market.errors import StepFailed

TAIL_LINES = 20
_POLL_SECONDS = 0.1
_STOP_SECONDS = 5.0
_TETHER = Path(__file__).with_name("tether.py")
_live: set[subprocess.Popen[bytes]] = set()
_live_lock = threading.Lock()
_stopping = threading.Event()


def run_logged(
    command: Sequence[str],
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    environment: Mapping[str, str] = os.environ,
    stop_seconds: float = _STOP_SECONDS,
) -> None:
    """Run a command to its end, its output going to `log`; `on_line` sees every line of it.

    Interrupted, it interrupts the command, and kills it if that has not ended `stop_seconds` later.

    Raises
    ------
    StepFailed
        The exit code is not zero; the message ends with the last lines of the output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        log.open("rb") as reader,
        _started(command, output.fileno(), environment, stop_seconds) as process,
    ):
        for line in _lines_until_exit(process, reader.readline):
            on_line(line)
    name = " ".join(command[2:4])  # freqtrade and its command, after `python -m`
    if _stopping.is_set():
        # A learner may take the interrupt for "stop early" and exit well with half a model.
        raise StepFailed(f"{name} was stopped with the run")
    if process.returncode != 0:
        code = process.returncode
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise StepFailed(failure(f"{name} ended with {how}", log))


def failure(what: str, log: Path) -> str:
    """Return a failure message: what happened, the end of the log and where all of it is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"{what}. The end of its output:", *lines, f"Full log: {log}"])


def stop_all() -> None:
    """Stop every child, and let none start again: the flow itself is ending."""
    _stopping.set()
    with _live_lock:
        processes = list(_live)
    for process in processes:
        _stop(process)


@contextmanager
def _started(
    command: Sequence[str], output: int, environment: Mapping[str, str], stop_seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    tethered = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]
    with _live_lock:
        if _stopping.is_set():
            raise StepFailed("the run was stopped before this process could start")
        process = subprocess.Popen(
            tethered,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        _live.add(process)
    try:
        yield process
    finally:
        _stop(process, stop_seconds)
        with _live_lock:
            _live.discard(process)


def _lines_until_exit(
    process: subprocess.Popen[bytes], readline: Callable[[], bytes]
) -> Iterator[str]:
    partial = b""
    while True:
        has_ended = process.poll() is not None
        while chunk := readline():
            partial += chunk
            if partial.endswith(b"\n"):
                yield partial.decode(errors="replace").rstrip()
                partial = b""
        if has_ended:
            return
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes], seconds: float = _STOP_SECONDS) -> None:
    if process.poll() is None:
        _signal_group(process, signal.SIGINT)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
