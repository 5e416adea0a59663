import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from agent_market.errors import StepFailed
from agent_market.flow import processes
from agent_market.flow.processes import run_logged, stop_all

PARENT = """
import pathlib, sys, threading
from agent_market.flow.processes import run_logged
run_logged([sys.executable, "-c", sys.argv[2]], pathlib.Path(sys.argv[1]))
"""
CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture
def fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_stopping", threading.Event())


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for_pid(log: Path) -> int:
    for _ in range(200):
        if log.is_file() and log.read_text().endswith("\n"):
            return int(log.read_text())
        time.sleep(0.05)
    raise AssertionError("the child never wrote its id")


def test_that_every_line_is_seen_and_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('one'); print('two', file=sys.stderr)"
    run_logged(python(code), tmp_path / "log", lines.append)
    assert sorted(lines) == ["one", "two"]
    assert sorted((tmp_path / "log").read_text().split()) == ["one", "two"]


def test_that_a_failure_shows_the_last_twenty_lines_and_the_log(tmp_path: Path) -> None:
    code = "[print(f'line {i}') for i in range(30)]; raise SystemExit(3)"
    with pytest.raises(StepFailed) as error:
        run_logged(python(code), tmp_path / "log")
    message = str(error.value).splitlines()
    assert "exit code 3" in message[0]
    assert message[1:21] == [f"line {i}" for i in range(10, 30)]
    assert message[21] == f"Full log: {tmp_path / 'log'}"


def test_that_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log), CHILD])
    child = psutil.Process(wait_for_pid(log))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive


@pytest.mark.usefixtures("fresh_processes")
def test_that_a_child_that_ends_well_after_it_was_told_to_stop_is_not_trusted(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    code = "import os, time, signal; signal.signal(signal.SIGINT, lambda *_: None); " + CHILD
    timer = threading.Thread(target=lambda: (wait_for_pid(log), stop_all()))
    timer.start()
    with pytest.raises(StepFailed, match="stopped with the run"):
        run_logged(python(code.replace("sleep(60)", "sleep(2)")), log)
    timer.join()


@pytest.mark.usefixtures("fresh_processes")
def test_that_stopping_ends_children_and_starts_no_new_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failures: list[StepFailed] = []

    def work() -> None:
        try:
            run_logged(python(CHILD), log)
        except StepFailed as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pid = wait_for_pid(log)
    stop_all()
    thread.join(10)
    assert not psutil.pid_exists(pid)
    assert len(failures) == 1
    with pytest.raises(StepFailed, match="stopped before"):
        run_logged(python("print()"), tmp_path / "other")


def test_that_a_child_does_not_start_once_its_parent_is_gone(tmp_path: Path) -> None:
    tether = Path(processes.__file__).with_name("tether.py")
    gone = subprocess.Popen(python("pass"))
    gone.wait()
    command = [sys.executable, str(tether), str(gone.pid), *python("print('ran')")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""
    assert os.getpid() != gone.pid
