"""The loop around runs, each a real process that notes at once how it ended; time is ours."""

import fcntl
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_market.decisions.advice import history_path, read_advice
from agent_market.decisions.bias import Bias, BiasSource, PairBias, bias_clamp
from agent_market.errors import ConfigError, StepFailed
from agent_market.flow.display import history_table
from agent_market.flow.history import RunRecord, exclusive, is_held, list_runs
from agent_market.flow.loop import Loop
from agent_market.flow.outputs import Manifest
from agent_market.flow.patching import audit_trail, utc_now
from agent_market.flow.publish_bias import put_in_force
from agent_market.flow.retention import remove_old_runs
from agent_market.flow.schedule import span_of
from agent_market.flow.setup import Request, Setup, resolve
from agent_market.store import write_json
from tests.flow_project import FlowProject

pytestmark = pytest.mark.timeout(60)
START = datetime(2026, 11, 21, 13, 7, 42, tzinfo=UTC)
RUN = """
import json, pathlib, sys
script, _, run_id = sys.argv
state = pathlib.Path(script).with_name("state")
path = state / "runs" / run_id / "run.json"
record, outcomes = json.loads(path.read_text()), state.with_name("outcomes")
first, *others = outcomes.read_text().split() or ["complete"]
outcomes.write_text(" ".join(others))
if first == "dies":
    sys.exit(3)
error = None if first == "complete" else f"it was {first}"
ended = {"state": first, "error": error, "finished": record["started"]}
path.write_text(json.dumps(record | ended))
sys.exit(error is not None)
"""
"""Notes the next of the outcomes that the test wants, as a run would."""


class Time:
    """A clock that goes on only while the loop sleeps, or while a run is said to take its time."""

    def __init__(self) -> None:
        self.now = START
        self.slept = timedelta(0)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.slept += timedelta(seconds=seconds)


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project", agent_market={"loop": {"every": "1h"}})


@pytest.fixture
def clock() -> Time:
    return Time()


def make_loop(project: FlowProject, clock: Time, *outcomes: str) -> Loop:
    (project.root / "outcomes").write_text(" ".join(outcomes))
    request = Request(config=(str(project.root / "config.json"),))
    script = project.root / "script.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), "resume"]
    return Loop(request, lambda run_id: [*command, run_id], clock, clock.sleep)


def records(project: FlowProject) -> list[dict[str, object]]:
    return [run.read() for run in list_runs(project.state_dir)]


def stops(project: FlowProject) -> list[str]:
    return [span_of(str(record["timerange"])).split("-")[1] for record in records(project)]


def test_that_runs_follow_the_schedule_on_a_time_range_that_goes_on(
    project: FlowProject, clock: Time
) -> None:
    assert make_loop(project, clock).run(3)
    assert stops(project) == ["20261121T1305", "20261121T1400", "20261121T1500"]
    assert clock.now == datetime(2026, 11, 21, 15, tzinfo=UTC)


def test_that_starts_missed_by_a_long_run_are_made_up_for_by_one(
    project: FlowProject, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(project, clock)
    begin, lengths = loop._new_run, iter([timedelta(hours=5), timedelta(0), timedelta(0)])

    def run_that_takes_its_time() -> RunRecord:
        record = begin()
        clock.now += next(lengths)
        return record

    monkeypatch.setattr(loop, "_new_run", run_that_takes_its_time)
    assert loop.run(3)
    assert stops(project) == ["20261121T1305", "20261121T1805", "20261121T1900"]


def test_that_failures_are_recorded_and_tried_again_later_and_later_until_the_loop_ends(
    project: FlowProject, clock: Time
) -> None:
    loop = make_loop(project, clock, "failed", "dies", "failed")
    with pytest.raises(StepFailed, match=r"3 runs of the loop failed in a row: it was failed"):
        loop.run()
    assert clock.slept == timedelta(minutes=5 + 10)
    states = [(record["state"], str(record["error"]).split(".")[0]) for record in records(project)]
    assert states[0] == states[2] == ("failed", "it was failed")
    assert states[1][0] == "failed"
    assert "exit code 3" in states[1][1]


def test_that_a_run_that_goes_well_forgives_the_failures_before_it(
    project: FlowProject, clock: Time
) -> None:
    loop = make_loop(project, clock, "failed", "failed", "complete", "failed", "failed")
    assert not loop.run(5)
    assert [record["state"] for record in records(project)].count("failed") == 4


def test_that_a_mistake_made_in_the_configuration_meanwhile_is_the_error_of_the_run(
    project: FlowProject, clock: Time
) -> None:
    loop = make_loop(project, clock)
    project.change({"agent_market": {"market": {"sorce": "directory"}}})
    assert not loop.run(1)
    assert "Did you mean 'source'?" in str(records(project)[0]["error"])


def test_that_a_second_loop_is_refused_by_the_process_of_the_first(
    project: FlowProject, clock: Time
) -> None:
    loop = make_loop(project, clock)
    project.state_dir.mkdir()
    with (project.state_dir / "loop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        with pytest.raises(ConfigError, match=r"another loop \(process 4711\) is at work"):
            loop.run(1)
    assert not records(project)


def test_that_the_loop_waits_for_a_run_that_was_started_by_hand(
    project: FlowProject, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(project, clock)
    project.state_dir.mkdir()
    with (project.state_dir / "flow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def end_the_other_run_after_a_minute(seconds: float) -> None:
            clock.sleep(seconds)
            if clock.slept >= timedelta(minutes=1):
                fcntl.flock(lock, fcntl.LOCK_UN)

        monkeypatch.setattr(loop, "_sleep", end_the_other_run_after_a_minute)
        assert loop.run(1)
    assert clock.slept == timedelta(minutes=1)


def test_that_somebody_who_only_looks_at_the_lock_refuses_no_run(tmp_path: Path) -> None:
    with (tmp_path / "flow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.1, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        with exclusive(tmp_path):
            assert is_held(tmp_path)


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_that_a_run_that_was_stopped_is_finished_before_another_begins(
    project: FlowProject, clock: Time, state: str
) -> None:
    make_loop(project, clock, state).run(1)
    assert [record["state"] for record in records(project)] == [
        "failed" if state == "running" else "interrupted"
    ]
    list_runs(project.state_dir)[0].update(state=state)
    clock.now += timedelta(minutes=5)
    assert make_loop(project, clock).run(1)
    assert [record["state"] for record in records(project)] == ["complete"]


def test_that_a_stopped_run_is_given_up_once_its_candle_is_too_old_for_a_bias(
    project: FlowProject, clock: Time
) -> None:
    make_loop(project, clock, "interrupted").run(1)
    clock.now += timedelta(minutes=20)
    assert make_loop(project, clock).run(1)
    first, second = records(project)
    assert first["state"] == "failed"
    assert "a bias is made within 15 minutes" in str(first["error"])
    assert second["state"] == "complete"


def test_that_a_stopped_run_that_has_published_its_bias_is_finished_however_old(
    project: FlowProject, clock: Time
) -> None:
    make_loop(project, clock, "interrupted").run(1)
    list_runs(project.state_dir)[0].skip_step("bias", "0" * 64, "", {})
    clock.now += timedelta(days=1)
    assert make_loop(project, clock).run(1)
    assert [record["state"] for record in records(project)] == ["complete"]


def test_that_a_loop_that_comes_back_waits_for_the_next_start_unless_the_last_run_failed(
    project: FlowProject, clock: Time
) -> None:
    make_loop(project, clock, "complete").run(1)
    record = list_runs(project.state_dir)[0]
    record.update(started=START.isoformat())
    loop = make_loop(project, clock)
    assert loop._first_start() == datetime(2026, 11, 21, 14, tzinfo=UTC)
    record.update(state="failed")
    assert loop._first_start() == clock.now


def test_that_a_run_of_the_loop_downloads_into_its_own_folder_and_ends_with_a_bias(
    project: FlowProject, clock: Time
) -> None:
    make_loop(project, clock).run(1)
    request = list_runs(project.state_dir)[0].request
    names = [*request.step_names]
    assert names == ["data", "backtest", "summarize", "bias", "report"] == [*request.selected]
    found = resolve(request)
    assert (found.source, found.datadir) == ("exchange", project.state_dir / "candles")
    assert "rl" in request.model_copy(update={"rl": True}).selected


def test_that_without_freqai_there_is_no_loop(project: FlowProject, clock: Time) -> None:
    project.change({"freqai": {"enabled": False}})
    with pytest.raises(ConfigError, match=r"Set freqai\.enabled"):
        make_loop(project, clock)


def test_that_old_runs_of_the_loop_go_with_what_only_they_have_made(
    project: FlowProject, clock: Time
) -> None:
    make_loop(project, clock).run(4)
    runs = list_runs(project.state_dir)
    by_hand, shared, old, kept = runs
    by_hand.update(request={**by_hand.read()["request"], "loop": False})
    models = project.root / "user_data" / "models"
    for run, key in ((shared, "a" * 64), (old, "b" * 64), (kept, "c" * 64)):
        run.begin_step("backtest", key, "never run")
        (models / f"small-{key[:12]}").mkdir(parents=True)
        write_json(project.state_dir / "outputs" / f"backtest-{key[:16]}.json", {})
    kept.skip_step("summarize", "a" * 64, "unchanged", {})  # took over what another has made
    task = {"campaign": str(project.state_dir / "campaigns" / "old")}
    write_json(old.folder / "round-1" / "propose.task.json", task)
    (project.state_dir / "campaigns" / "old").mkdir(parents=True)

    removed = remove_old_runs(project.state_dir, project.root / "user_data", keep=1)
    assert removed == [old.run_id]
    left = {run.run_id for run in list_runs(project.state_dir)}
    assert left == {by_hand.run_id, shared.run_id, kept.run_id}
    assert not old.folder.exists()
    assert sorted(path.name for path in models.iterdir()) == [
        f"small-{'a' * 12}",
        f"small-{'c' * 12}",
    ]
    assert len(list((project.state_dir / "outputs").iterdir())) == 2
    assert not list((project.state_dir / "campaigns").iterdir())


def a_bias(created: datetime, minutes: float = 15, direction: int = 1) -> Bias:
    return Bias(
        id=f"bias-{created:%Y%m%dT%H%M%S}",
        created_at=created,
        expires_at=created + timedelta(minutes=minutes),
        source=BiasSource(model="small", data_hash="0" * 64),
        pairs={"BTC/USDT:USDT": PairBias(direction=direction, confidence=0.5)},  # type: ignore[arg-type]
    )


@pytest.fixture
def publish(project: FlowProject, tmp_path: Path) -> Callable[[Bias], Bias | None]:
    """Return what publishes a bias as the step does, and returns the one that stands then."""
    request = Request(config=(str(project.root / "config.json"),), timerange="20240105-20240107")
    setup: Setup = resolve(request)

    def publish(bias: Bias) -> Bias | None:
        path = tmp_path / f"{bias.id}.json"
        path.write_text(bias.model_dump_json())
        facts = {"bias": str(path)}
        put_in_force(setup, Manifest("bias", "0" * 64, "a-run", "", {}, {}, facts))
        target = project.state_dir / "bias.json"
        content = target.read_bytes() if target.is_file() else b""
        return read_advice(Bias, content, bias_clamp(setup.settings.bias)).advice

    return publish


def test_that_a_bias_is_published_once_with_who_and_why(
    project: FlowProject, publish: Callable[[Bias], Bias | None]
) -> None:
    bias = a_bias(utc_now())
    assert publish(bias) == publish(bias) == bias
    history = history_path(project.state_dir / "bias.json").read_text().splitlines()
    assert len(history) == 1
    settings = resolve(
        Request(config=(str(project.root / "config.json"),), timerange="20240105-20240107")
    ).settings
    (entry,) = audit_trail(settings).entries()
    assert (entry.action, entry.state, entry.why) == (
        "publish",
        "done",
        "agent_flow loop, run a-run",
    )
    assert entry.after["pairs.BTC/USDT:USDT.direction"] == 1


def test_that_neither_an_expired_bias_nor_an_older_one_replaces_what_stands(
    publish: Callable[[Bias], Bias | None],
) -> None:
    now = utc_now()
    assert publish(a_bias(now - timedelta(hours=1))) is None
    standing = a_bias(now)
    assert publish(standing) == standing
    assert publish(a_bias(now - timedelta(seconds=5), direction=-1)) == standing
    time.sleep(0.01)
    newer = a_bias(utc_now(), direction=-1)
    assert publish(newer) == newer


def test_that_the_history_names_start_end_and_bias(project: FlowProject, clock: Time) -> None:
    make_loop(project, clock).run(1)
    run = list_runs(project.state_dir)[0]
    run.skip_step("summarize", "0" * 64, "", {"trades": 3, "net_profit_percent": 1.5, "mean_ic": 0})
    run.skip_step("bias", "0" * 64, "", {"bias_id": "bias-1"})
    table = history_table([run], is_held=False)
    cells = {str(column.header): next(iter(column.cells)) for column in table.columns}
    assert cells["run (start, UTC)"] == run.run_id
    assert cells["end"] == run.run_id
    assert cells["bias"] == "bias-1"
    assert cells["trades"] == "3"
    assert json.loads(run.path.read_text())["request"]["loop"]
