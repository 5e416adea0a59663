"""The run as a durable DBOS workflow: it survives a kill and is resumed where it stood."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle
from sqlalchemy.exc import SQLAlchemyError

from agent_market.errors import ConfigError, StepFailed
from agent_market.flow.history import RunRecord, exclusive, now
from agent_market.flow.outputs import Manifest, OutputStore
from agent_market.flow.plan import decide, make_plan, steps_of
from agent_market.flow.processes import stop_all
from agent_market.flow.setup import Request, Setup, resolve
from agent_market.flow.steps import Workplace

logger = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.2
_at_work = threading.Lock()
# The setup of the run in this process: every step of it sees one and the same configuration.
_setups: dict[str, Setup] = {}


def start_run(request: Request) -> RunRecord:
    """Run the requested steps to their end; return the run's record.

    Raises
    ------
    ConfigError, DataError
        The user has to change something; nothing was started if it could be seen before.
    StepFailed
        A step's process failed; the message ends with its output.
    """
    setup = resolve(request)
    state_dir = setup.settings.state_dir
    with exclusive(state_dir):
        make_plan(setup, request, OutputStore(state_dir))
        record = RunRecord.create(state_dir, request, setup)
        _execute(record, setup)
    return record


def resume_run(record: RunRecord) -> RunRecord:
    """Finish a run that was killed, interrupted or failed; a completed step is not done again.

    A step whose inputs have changed since, for example to mend a failure, is done anew.
    """
    setup = resolve(record.request)
    with exclusive(setup.settings.state_dir):
        if record.read()["state"] != "complete":
            record.update(state="running", finished=None)
            _execute(record, setup)
    return record


@DBOS.workflow(name="agent_flow", max_recovery_attempts=None)
def _flow(folder: str, steps: Sequence[str]) -> None:
    for name in steps:
        DBOS.run_step({"name": name}, _perform, folder, name)


def _execute(record: RunRecord, setup: Setup) -> None:
    _setups[str(record.folder)] = setup
    try:
        with _launched(record, setup):
            _work(record, setup)
    except Exception as error:
        record.update(state="failed", finished=now(), error=_first_line(error))
        raise
    record.update(state="complete", finished=now(), error=None)


def _work(record: RunRecord, setup: Setup) -> None:
    try:
        handle = _handle(record, setup)
        if handle is not None:
            handle.get_result(polling_interval_sec=_POLL_SECONDS)
    except KeyboardInterrupt:
        stop_all()
        # The step's thread ends with its process; give it the time to note so.
        _at_work.acquire(timeout=_STOP_SECONDS)
        record.interrupt()
        raise


@contextmanager
def _launched(record: RunRecord, setup: Setup) -> Iterator[None]:
    database = (setup.settings.state_dir / "flow.sqlite").resolve()
    config: DBOSConfig = {
        "name": "agent-flow",
        "system_database_url": setup.settings.flow.database_url or f"sqlite:///{database}",
        # A version of its own keeps other processes on a shared database from taking this run.
        "application_version": record.run_id,
        # A new executor recovers nothing by itself at launch: `_handle` says where to go on.
        "executor_id": uuid.uuid4().hex,
        "log_level": "CRITICAL",
        "enable_otlp": False,
    }
    DBOS(config=config)
    try:
        _launch(setup)
        yield
    finally:
        DBOS.destroy()


def _launch(setup: Setup) -> None:
    try:
        DBOS.launch()
    except (SQLAlchemyError, ImportError, OSError) as error:
        where = (
            "agent_market.flow.database_url" if setup.settings.flow.database_url else "state_dir"
        )
        raise ConfigError(
            f"{where}: the database cannot be opened ({_first_line(error)}). Check the setting."
        ) from error


def _handle(record: RunRecord, setup: Setup) -> WorkflowHandle[None] | None:
    """Return the running workflow: started, or rewound to the first step that is not done."""
    steps = list(record.request.selected)
    status = DBOS.get_workflow_status(record.run_id)
    if status is None:
        with SetWorkflowID(record.run_id):
            return DBOS.start_workflow(_flow, str(record.folder), steps)
    if status.status == "SUCCESS":
        return None
    if status.status in ("PENDING", "ENQUEUED"):
        DBOS.cancel_workflow(record.run_id)
    first = _first_not_done(record, setup, steps)
    record.reopen_steps(steps[first - 1 :])
    return DBOS.rewind_workflow(record.run_id, start_step=first, application_version=record.run_id)


def _first_not_done(record: RunRecord, setup: Setup, steps: Sequence[str]) -> int:
    done = {info["function_id"]: info["output"] for info in DBOS.list_workflow_steps(record.run_id)}
    known = steps_of(record.request)
    for number, name in enumerate(steps, start=1):
        standing = _standing(record, setup, name)
        manifest = decide(known[name], setup, _store(setup), standing).manifest
        if manifest is None or done.get(number) != _noted(manifest):
            return number
    return len(steps) + 1


def _perform(folder: str, name: str) -> dict[str, Any]:
    """Do one step unless its output stands; return what the database keeps of it."""
    record = RunRecord(Path(folder))
    with _at_work:
        try:
            return _perform_recorded(record, name)
        except Exception as error:
            record.fail_step(name, str(error))
            raise


def _perform_recorded(record: RunRecord, name: str) -> dict[str, Any]:
    request, setup = record.request, _setups[str(record.folder)]
    step, force = steps_of(request)[name], request.force
    store, upstream = _store(setup), _upstream(record, setup, name)
    decision = decide(step, setup, store, upstream, record.run_id if force else None)
    inputs, manifest = decision.inputs, decision.manifest
    if inputs is None:
        raise StepFailed(f"step {name} cannot run: {decision.reason}, whose output is gone")
    if manifest is None:
        logger.info("step %s: %s", name, decision.reason)
        place = Workplace(record.folder / step.place, inputs.key(step.kept_as))
        record.begin_step(name, place.key, decision.reason)
        output, kind = step.execute(setup, upstream, place), step.kept_as
        manifest = store.commit(kind, inputs, record.run_id, now(), output.files, output.facts)
        record.complete_step(name, manifest.facts)
    elif manifest.run_id != record.run_id or record.step(name)["state"] != "running":
        logger.info("step %s: skipped, %s", name, decision.reason)
        record.skip_step(name, manifest.key, decision.reason, manifest.facts)
    else:
        # Killed between the output's commit and this note of it.
        record.complete_step(name, manifest.facts)
    step.publish(setup, manifest)
    return _noted(manifest)


def _noted(manifest: Manifest) -> dict[str, Any]:
    """Return what the database keeps of a step: the key of its output, and its facts."""
    return {"key": manifest.key, "facts": dict(manifest.facts)}


def _upstream(record: RunRecord, setup: Setup, name: str) -> dict[str, Manifest]:
    """Return the outputs of the steps before `name`: what this run made or took over.

    An edit of code or data while a run goes on does not mix into it: the next run will see it.
    """
    standing = _standing(record, setup, name)
    for earlier in steps_of(record.request).values():
        if earlier.name == name:
            break
        noted = record.step(earlier.name)
        if noted["state"] in ("complete", "skipped"):
            manifest = _store(setup).find(earlier.kept_as, noted["key"])
            standing |= {earlier.name: manifest} if manifest and not manifest.damage() else {}
    return standing


def _standing(record: RunRecord, setup: Setup, name: str) -> dict[str, Manifest]:
    """Return the outputs before `name` that fit the present inputs."""
    standing: dict[str, Manifest] = {}
    for step in steps_of(record.request).values():
        if step.name == name:
            break
        manifest = decide(step, setup, _store(setup), standing).manifest
        if manifest is not None:
            standing[step.name] = manifest
    return standing


def _store(setup: Setup) -> OutputStore:
    return OutputStore(setup.settings.state_dir)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
