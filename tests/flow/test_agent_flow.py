import fcntl
import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from agent_market.store import write_json
from tests.flow_project import FlowProject


def one_error_line(project: FlowProject, *arguments: str, code: int = 2) -> str:
    result = project.flow(*arguments)
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_that_a_run_ends_with_a_table_and_the_path_of_its_report(finished: FlowProject) -> None:
    output = (finished.root / "output.txt").read_text()
    report = finished.runs()[0] / "report.html"
    assert output.splitlines()[-1] == f"Report: {report}"
    for word in ("HybridMultiMode", "trades", "profit %", "drawdown %", "Sharpe", "mean IC"):
        assert word in output
    assert "<html" in report.read_text().lower()
    assert set(finished.states().values()) == {"complete"}


def test_that_the_summary_is_published_and_names_its_inputs(finished: FlowProject) -> None:
    published = finished.summary_path.read_text()
    assert published == (finished.runs()[0] / "summary.json").read_text()
    summary = json.loads(published)
    assert set(summary["provenance"]) == {"data_hash", "code_version", "config_hash"}
    trained = finished.steps()["backtest"]["facts"]["windows"]
    assert summary["predictions"]["overall"]["n_windows"] == trained > 0


def test_that_a_second_run_skips_everything_and_gives_the_first_report(
    project: FlowProject,
) -> None:
    project.summary_path.unlink()
    first = project.runs()[0]
    result = project.flow("run")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == f"Report: {first / 'report.html'}"
    assert set(project.states().values()) == {"skipped"}
    assert project.summary_path.read_text() == (first / "summary.json").read_text()


def test_that_status_history_and_show_read_the_record(finished: FlowProject) -> None:
    run_id = finished.runs()[0].name
    assert f"Run {run_id}: complete" in finished.flow("status").stdout
    assert run_id in finished.flow("history").stdout
    assert "mean IC" in finished.flow("show", run_id).stdout
    assert f"The newest: {run_id}" in one_error_line(finished, "show", "nosuchrun")
    assert "no unfinished run" in one_error_line(finished, "resume")


def test_that_the_plan_is_printed_and_nothing_is_done(fresh: FlowProject) -> None:
    result = fresh.flow("run", "--plan")
    assert result.returncode == 0
    assert "never run" in result.stdout
    assert not fresh.state_dir.exists()


def test_that_a_misspelt_key_is_one_line_that_names_the_right_one(fresh: FlowProject) -> None:
    fresh.change({"agent_market": {"market": {"sorce": "directory"}}})
    assert "Did you mean 'source'?" in one_error_line(fresh, "run")


def test_that_a_missing_data_directory_is_one_line(fresh: FlowProject) -> None:
    line = one_error_line(fresh, "run", "--datadir", str(fresh.root / "nowhere"))
    assert "nowhere does not exist" in line


def test_that_an_unknown_pair_is_one_line_that_names_the_nearest(fresh: FlowProject) -> None:
    line = one_error_line(fresh, "run", "-p", "BTX/USDT:USDT")
    assert "unknown pair 'BTX/USDT:USDT'" in line
    assert "nearest: BTC/USDT:USDT" in line


def test_that_a_timerange_without_data_is_one_line_that_says_what_is_there(
    fresh: FlowProject,
) -> None:
    line = one_error_line(fresh, "run", "--timerange", "20250101-20250201")
    assert "timerange without data" in line
    assert "holds 2024-01-01 00:00 to 2024-01-08 23:55" in line


def test_that_an_unknown_strategy_is_one_line(fresh: FlowProject) -> None:
    assert "strategy 'Nothing' is in none of" in one_error_line(fresh, "run", "-s", "Nothing")


def test_that_a_missing_config_file_is_one_line(fresh: FlowProject) -> None:
    (fresh.root / "config.json").unlink()
    assert "config.json: No such file" in one_error_line(fresh, "run")


def test_that_a_second_run_at_the_same_time_is_refused(fresh: FlowProject) -> None:
    fresh.state_dir.mkdir()
    with (fresh.state_dir / "flow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        assert "process 4711" in one_error_line(fresh, "run")


def test_that_a_failing_process_shows_its_end_and_resume_retries_it(fresh: FlowProject) -> None:
    strategy = fresh.root / "strategies" / "HybridMultiMode.py"
    sound = strategy.read_text()
    strategy.write_text(f"{sound}\nraise RuntimeError('a fault in the strategy file')\n")
    result = fresh.flow("run")
    assert result.returncode == 1
    log = fresh.runs()[0] / "backtest.log"
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1] == f"Full log: {log}"
    assert lines[1:-1] == log.read_text().splitlines()[-20:]
    assert fresh.states() == {
        "data": "complete",
        "backtest": "failed",
        "summarize": "pending",
        "report": "pending",
    }

    strategy.write_text(sound)
    resumed = fresh.flow("resume")
    assert resumed.returncode == 0, resumed.stderr
    steps = fresh.steps()
    assert set(fresh.states().values()) == {"complete"}
    assert (steps["data"]["attempts"], steps["backtest"]["attempts"]) == (1, 2)
    assert len(fresh.runs()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_that_an_interrupted_run_stops_its_children_and_can_be_resumed(
    fresh: FlowProject, number: signal.Signals
) -> None:
    process = fresh.start("run")
    wait_until_backtesting(fresh)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    assert process.wait(20) == 130
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert fresh.record()["state"] == "interrupted"
    assert fresh.states()["backtest"] == "interrupted"
    if number == signal.SIGTERM:
        assert fresh.flow("resume").returncode == 0
        assert fresh.steps()["backtest"]["completions"] == 1


def wait_until_backtesting(project: FlowProject) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        logs: list[Path] = [path / "backtest.log" for path in project.runs()]
        if any(log.is_file() and "Dataload complete" in log.read_text() for log in logs):
            return
        time.sleep(0.02)
    raise AssertionError("the backtest never began")


@pytest.mark.parametrize("has_foreign_manifest", [False, True])
def test_that_the_simulator_does_not_overwrite_candles_it_did_not_make(
    fresh: FlowProject, has_foreign_manifest: bool
) -> None:
    if has_foreign_manifest:
        write_json(fresh.datadir / "market.json", {"kind": "recorded"})
    simulator = {"start": "2024-01-01", "days": 8}
    fresh.change({"agent_market": {"market": {"source": "simulator", "simulator": simulator}}})
    before = sorted(path.stat().st_mtime_ns for path in fresh.datadir.rglob("*"))
    assert "would overwrite them" in one_error_line(fresh, "run")
    assert sorted(path.stat().st_mtime_ns for path in fresh.datadir.rglob("*")) == before
    assert fresh.states()["data"] == "failed"


def test_that_a_database_that_does_not_answer_is_one_line(fresh: FlowProject) -> None:
    url = "postgresql://nobody@127.0.0.1:1/flow?connect_timeout=2"
    fresh.change({"agent_market": {"flow": {"database_url": url}}})
    assert "agent_market.flow.database_url" in one_error_line(fresh, "run")
    assert fresh.record()["state"] == "failed"
