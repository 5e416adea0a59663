"""kill -9 in every step of a run, and in the write of its report; `resume` finishes each time."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.flow_project import PAIRS, FlowProject

KILLED_REPORT = Path(__file__).with_name("killed_report.py")
SIMULATOR = {"seed": 7, "pairs": list(PAIRS), "start": "2024-01-01", "days": 8}


def simulated_project(root: Path) -> FlowProject:
    market = {"source": "simulator", "simulator": {**SIMULATOR, "timeframes": ["5m"]}}
    return FlowProject(root, agent_market={"market": market})


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if is_so():
            return
        if process.poll() is not None:
            break
        time.sleep(0.001)
    raise AssertionError("the run did not come to where it was to be killed")


def kill_inside(project: FlowProject, step: str, *arguments: str) -> None:
    """Start the flow, kill it while `step` runs, and see that no child outlives it."""
    process = project.start(*arguments)
    wait_until(lambda: is_inside(project, step), process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert project.states()[step] == "running"
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    if step == "backtest":
        assert len(children) >= 2, "Freqtrade and the replay exchange"


def is_inside(project: FlowProject, step: str) -> bool:
    if not project.runs() or not (project.runs()[-1] / "run.json").is_file():
        return False
    if project.states()[step] != "running":
        return False
    log = project.runs()[-1] / "backtest.log"
    return step != "backtest" or (log.is_file() and "Dataload complete" in log.read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FlowProject:
    project = simulated_project(tmp_path_factory.mktemp("undisturbed"))
    result = project.flow("run")
    assert result.returncode == 0, result.stderr
    return project


def test_that_a_run_killed_at_five_moments_ends_as_if_it_had_not_been(
    undisturbed: FlowProject, tmp_path: Path
) -> None:
    project = simulated_project(tmp_path)
    kill_inside(project, "data", "run")
    kill_inside(project, "backtest", "resume")
    kill_inside(project, "summarize", "resume")
    kill_inside(project, "report", "resume")
    report = project.runs()[0] / "report.html"
    assert project.start("resume", script=KILLED_REPORT).wait(60) == -signal.SIGKILL
    halves = list(report.parent.glob(".report.html.*.tmp"))
    assert len(halves) == 1
    assert not report.exists()
    assert "interrupted" in project.flow("status").stdout

    result = project.flow("resume")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"Report: {report}"
    assert not halves[0].exists()
    assert len(project.runs()) == 1

    assert project.summary_path.read_bytes() == undisturbed.summary_path.read_bytes()
    assert json.loads(project.summary_path.read_text())["totals"]["trades"] > 0
    assert report.read_text().endswith("</html>\n")
    counts = {n: (s["attempts"], s["completions"]) for n, s in project.steps().items()}
    assert counts == {"data": (2, 1), "backtest": (2, 1), "summarize": (2, 1), "report": (3, 1)}
    assert set(project.states().values()) == {"complete"}
