"""kill -9 while expressions are scored, and while they are confirmed; `resume` ends the same."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.campaign_project import campaign_project, write_reverting_market
from tests.flow_project import FlowProject

RUN = ("run", "--rounds", "1", "--steps", "data,features,expressions")


def _project(root: Path) -> FlowProject:
    project = campaign_project(root, evaluations=600, feature_trials=1)
    write_reverting_market(project.datadir)
    return project


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FlowProject:
    project = _project(tmp_path_factory.mktemp("undisturbed") / "p")
    result = project.flow(*RUN, seconds=560)
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def _kill_when_there(project: FlowProject, file: str, *arguments: str) -> None:
    """Kill the flow as soon as the campaign has `file`, and see that no child outlives it."""
    process = project.start(*arguments)
    _wait_for(project, file, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=5)
    assert children and not alive


def _wait_for(project: FlowProject, file: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(path.stat().st_size for path in project.state_dir.glob(f"campaigns/*/{file}")):
            return
        time.sleep(0.002)
    raise AssertionError(f"the campaign never wrote {file}")


def test_that_a_killed_campaign_ends_with_the_same_expressions(
    undisturbed: FlowProject, tmp_path: Path
) -> None:
    project = _project(tmp_path / "p")
    _kill_when_there(project, "trials.jsonl", *RUN)
    assert project.states()["expressions.1"] == "running"
    _kill_when_there(project, "candidates-*.json", "resume")
    assert project.states()["expressions"] == "running"
    result = project.flow("resume", seconds=400)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("freqai_expressions.json", "freqai_features.json"):
        path = Path("user_data") / name
        assert (project.root / path).read_bytes() == (undisturbed.root / path).read_bytes()
    assert b'"formula"' in (project.root / "user_data" / "freqai_expressions.json").read_bytes()
    steps = project.steps()
    assert (steps["expressions.1"]["attempts"], steps["expressions.1"]["completions"]) == (2, 1)
    assert (steps["expressions"]["attempts"], steps["backtest.1"]["attempts"]) == (2, 1)
    assert len(project.runs()) == 1
