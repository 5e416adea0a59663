"""kill -9 of the loop while Freqtrade trains: the next loop finishes the run from there."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.flow_project import PAIRS, FlowProject
from tests.freqtrade_process import outlive


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlowProject]:
    """A project whose exchange goes on now."""
    # a run that was killed is still worth finishing after a slow start
    bias = {"lifetime_minutes": 60}
    project = FlowProject(tmp_path / "project", agent_market={"bias": bias})
    market = SimulatorSettings(seed=7, days=8, pairs=PAIRS, timeframes=("5m", "1h"))
    write_market(market, project.datadir)
    epoch = datetime.now(UTC)
    with launch_replay(project.datadir, clock="live", reserve_days=1, epoch=epoch) as exchange:
        project.change({**ccxt_overlay(exchange.url), "agent_market": {"loop": {"windows": 1}}})
        yield project


def wait_until_training(project: FlowProject, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (project.root / "output.txt").read_text()
        logs = [run / "backtest.log" for run in project.runs()]
        if any(log.is_file() and "Dataload complete" in log.read_text() for log in logs):
            return
        time.sleep(0.02)
    raise AssertionError("the run never came to its backtest")


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """End the loop; return its exit code once nothing that it started is left."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2, "the run, and Freqtrade"
    process.send_signal(number)
    code = process.wait(60)
    assert not outlive(children)
    return code


@pytest.mark.timeout(400)
def test_that_the_loop_goes_on_with_a_run_that_was_killed_and_interrupted(
    project: FlowProject,
) -> None:
    process = project.start("loop", "--once")
    wait_until_training(project, process)
    refused = project.flow("loop", "--once")
    assert refused.returncode == 2
    assert f"error: another loop (process {process.pid}) is at work" in refused.stderr
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    assert project.states()["backtest"] == "running"
    (project.runs()[0] / "backtest.log").unlink()

    again = project.start("loop", "--once")
    wait_until_training(project, again)
    assert stop(again, signal.SIGINT) == 130
    assert project.record()["state"] == "interrupted"
    assert "`agent_flow loop` goes on from here" in (project.root / "output.txt").read_text()

    last = project.flow("loop", "--once")
    assert last.returncode == 0, last.stdout + last.stderr
    assert len(project.runs()) == 1
    assert set(project.states().values()) == {"complete"}
    counts = {name: (s["attempts"], s["completions"]) for name, s in project.steps().items()}
    assert counts["data"] == (1, 1)
    assert counts["backtest"] == (3, 1)
    published = json.loads((project.state_dir / "bias.json").read_text())
    assert published["id"] == project.steps()["bias"]["facts"]["bias_id"]
    assert set(published["pairs"]) == set(PAIRS)
    assert published["id"] in project.flow("history").stdout
