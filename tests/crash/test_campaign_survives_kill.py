"""kill -9 while expressions are scored, and while they are confirmed; `resume` ends the same."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

import psutil
import pytest

from tests.campaign_project import campaign_project, write_reverting_market
from tests.flow_project import FlowProject

RUN = ("run", "--rounds", "1", "--steps", "data,features,expressions")
PUBLISHED = ("freqai_features.json", "freqai_expressions.json")


@dataclass
class Undisturbed:
    """A project whose campaign was never killed, and the two files that it published."""

    project: FlowProject
    published: dict[str, bytes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    root = tmp_path_factory.mktemp("undisturbed") / "p"
    project = campaign_project(root, evaluations=300, feature_trials=1)
    write_reverting_market(project.datadir)
    result = project.flow(*RUN, seconds=560)
    assert result.returncode == 0, result.stdout + result.stderr
    return Undisturbed(project, _published(project))


def _published(project: FlowProject) -> dict[str, bytes]:
    userdir = project.root / "user_data"
    return {name: (userdir / name).read_bytes() for name in PUBLISHED}


def _forget_campaign(project: FlowProject) -> None:
    """Leave candles, features and the backtest; nothing of what expressions came from."""
    shutil.rmtree(project.state_dir / "campaigns")
    for path in project.runs()[0].rglob("*"):
        if path.is_file() and path.name in {"expressions.json", "accepted.json"}:
            path.unlink()
    for manifest in project.state_dir.glob("outputs/expressions*.json"):
        manifest.unlink()
    (project.root / "user_data" / "freqai_expressions.json").unlink()


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


def test_that_a_killed_campaign_ends_with_the_same_expressions(undisturbed: Undisturbed) -> None:
    project = undisturbed.project
    _forget_campaign(project)
    _kill_when_there(project, "trials.jsonl", *RUN)
    assert project.states()["expressions.1"] == "running"
    _kill_when_there(project, "candidates-*.json", "resume")
    assert project.states()["expressions"] == "running"
    result = project.flow("resume", seconds=400)
    assert result.returncode == 0, result.stdout + result.stderr
    assert _published(project) == undisturbed.published
    assert b'"formula"' in undisturbed.published["freqai_expressions.json"]
    steps = project.steps()
    assert (steps["expressions.1"]["attempts"], steps["expressions.1"]["completions"]) == (2, 1)
    assert steps["expressions"]["attempts"] == 2
    # only an equal file of the round leaves the backtest of the undisturbed run in use
    assert steps["backtest.1"]["state"] == "skipped"
    assert len(project.runs()) == 2
