"""The loop: one ordinary durable run after the other, each on the newest candles.

A run has a process of its own, `agent_flow resume RUN_ID`: it sees the code and the configuration
as they are now, and whatever becomes of it, the loop goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_market.errors import AgentMarketError, StepFailed
from agent_market.flow.configuration import load_config_files
from agent_market.flow.history import RunRecord, exclusive, is_held, list_runs, now
from agent_market.flow.patching import utc_now
from agent_market.flow.processes import run_logged
from agent_market.flow.retention import remove_old_runs
from agent_market.flow.schedule import Schedule, rolling_timerange, span_of
from agent_market.flow.setup import BIAS_NAME, Request, resolve
from agent_market.flow.timerange import parse_timerange
from agent_market.settings import load_settings

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_STOP_SECONDS = 20.0  # a run has to stop its own processes, and to note that it was interrupted
_LOG = "run.log"


class Loop:
    """Runs by the schedule of `agent_market.loop`, which is read once, here.

    Parameters
    ----------
    request : Request
        What every run has in common; `timerange` is each run's own.
    command : callable
        Returns the command that does the run of this id.
    clock, sleep : callable
        Time, and how to let it pass.

    Raises
    ------
    ConfigError
        A file or a key is wrong; nothing was started.
    """

    def __init__(
        self,
        request: Request,
        command: Callable[[str], Sequence[str]],
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request.model_copy(update={"loop": True})
        self._command = command
        self._clock, self._sleep = clock, sleep
        self._config = load_config_files([Path(file) for file in request.config])
        self._settings = load_settings(self._config).loop
        self._schedule = Schedule.of(self._settings)
        self._setup = resolve(self._ranged())
        self._state_dir = self._setup.settings.state_dir

    def run(self, runs: int | None = None) -> bool:
        """Do so many runs, the first at once, or run on by the schedule; return how the last ended.

        A run that was killed or interrupted is finished first.

        Raises
        ------
        ConfigError
            Another loop is at work in this state directory.
        StepFailed
            Too many runs failed in a row.
        """
        with exclusive(self._state_dir, "loop"):
            self._say_what_may_lack()
            record, failures, done = self._unfinished(), 0, 0
            keep = self._settings.keep_runs
            start = self._clock() if runs is not None or record else self._first_start()
            while True:
                self._wait_until(start)
                start = self._clock()
                error = self._finish(record or self._new_run())
                record, done = None, done + 1
                failures = 0 if error is None else failures + 1
                if not is_held(self._state_dir):
                    remove_old_runs(self._state_dir, self._setup.user_data_dir, keep)
                if failures >= self._settings.max_failures:
                    raise StepFailed(f"{failures} runs of the loop failed in a row: {error}")
                if done == runs:
                    return error is None
                start = self._next_start(start, failures)

    def _new_run(self) -> RunRecord:
        request = self._ranged()
        setup = replace(self._setup, timerange_text=str(request.timerange))
        return RunRecord.create(self._state_dir, request, setup)

    def _ranged(self) -> Request:
        """Return the request of a run that starts now."""
        text = rolling_timerange(self._config, self._settings.windows, self._clock())
        return self._request.model_copy(update={"timerange": text})

    def _finish(self, record: RunRecord) -> str | None:
        """Do what is left of a run; return why it failed, None if it did not."""
        logger.info("run %s: %s", record.run_id, span_of(record.read()["timerange"]))
        try:
            # a mistake in the configuration becomes the run's error, as it stands in the record
            resolve(record.request)
            command = self._command(record.run_id)
            run_logged(command, record.folder / _LOG, _show, stop_seconds=_STOP_SECONDS)
        except AgentMarketError as error:
            text = str(error).splitlines()[0]
            if record.read()["state"] == "running":  # it could not note it itself
                record.update(state="failed", finished=now(), error=text)
            found = str(record.read()["error"] or text)
            logger.warning("run %s failed: %s", record.run_id, found)
            return found
        logger.info("run %s: complete", record.run_id)
        return None

    def _next_start(self, start: datetime, failures: int) -> datetime:
        if failures:
            when = self._schedule.retry_after(self._clock(), failures)
            allowed = self._settings.max_failures
            logger.info("failure %d of %d in a row; next run at %s", failures, allowed, _text(when))
            return when
        when = self._schedule.after(start)
        logger.info("next run at %s", _text(max(when, self._clock())))
        return when

    def _first_start(self) -> datetime:
        """Return now, or the next start where the newest run has done what is due."""
        runs = self._own_runs()
        if not runs or runs[-1].read()["state"] != "complete":
            return self._clock()
        when = self._schedule.after(datetime.fromisoformat(runs[-1].read()["started"]))
        logger.info("next run at %s", _text(max(when, self._clock())))
        return when

    def _unfinished(self) -> RunRecord | None:
        """Return the newest run if it was killed or stopped and can still give a bias."""
        runs = self._own_runs()
        if not runs or runs[-1].read()["state"] not in ("running", "interrupted"):
            return None
        record = runs[-1]
        stop = parse_timerange(record.read()["timerange"]).stop
        minutes = self._setup.settings.bias.lifetime_minutes
        has_bias = record.step(BIAS_NAME)["state"] in ("complete", "skipped")
        if has_bias or stop is None or self._clock() < stop + timedelta(minutes=minutes):
            logger.info("run %s was not finished; going on with it", record.run_id)
            return record
        error = (
            f"given up: its newest candle is of {_text(stop)}, and a bias is made within "
            f"{minutes:g} minutes (agent_market.bias.lifetime_minutes)"
        )
        logger.warning("run %s: %s", record.run_id, error)
        record.interrupt()
        record.update(state="failed", error=error)
        return None

    def _own_runs(self) -> list[RunRecord]:
        return [run for run in list_runs(self._state_dir) if run.request.loop]

    def _wait_until(self, start: datetime) -> None:
        """Return at `start`, and once no other run is at work."""
        while self._clock() < start:
            left = (start - self._clock()).total_seconds()
            # in short steps: a clock that is set, or a machine that slept, is noticed
            self._sleep(min(left, _POLL_SECONDS))
        if is_held(self._state_dir):
            logger.info("another run is at work; waiting for it")
        while is_held(self._state_dir):
            self._sleep(_POLL_SECONDS)

    def _say_what_may_lack(self) -> None:
        minutes = self._setup.settings.bias.lifetime_minutes
        if timedelta(minutes=minutes) < self._schedule.every:
            logger.warning(
                "a bias lasts %g minutes (agent_market.bias.lifetime_minutes), and runs start "
                "every %s: between two runs there is a time without one",
                minutes,
                self._settings.every,
            )


def _show(line: str) -> None:
    logger.info("  %s", line)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
