"""Promotion, rollback and goalposts, on the audit trail that the command uses."""

import math
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.decisions.audit import AuditTrail
from agent_market.errors import ConfigError, GateRejected
from agent_market.evaluation.gates import (
    STAGES,
    Assessment,
    assess,
    current,
    judge,
    loosened,
    promote,
    roll_back,
    start,
)
from agent_market.evaluation.metrics import Interval
from agent_market.flow.release import AuditLedger
from agent_market.settings import ReleaseSettings, StageLimits
from agent_market.store.database import database_url, open_database
from tests.evaluation.gates.gate_trades import GOOD, START, evidence, trade

SETTINGS = ReleaseSettings()
BAD = replace(GOOD, max_drawdown=0.5)
WHO = {"who": "me", "why": "it is time"}


def ledger_in(folder: Path) -> AuditLedger:
    return AuditLedger(AuditTrail(open_database(database_url(folder, None))), folder)


@pytest.fixture
def ledger(tmp_path: Path) -> AuditLedger:
    return ledger_in(tmp_path)


def found(ledger, figures, configured=SETTINGS):
    state = current(ledger)
    limits = getattr(configured, state.stage)
    return Assessment(state, figures, judge(figures, state.limits), loosened(state.limits, limits))


def go_on(ledger, figures, configured=SETTINGS, now=START):
    return promote(ledger, configured, found(ledger, figures, configured), now, **WHO)


def go_back(ledger, figures, halts=None):
    halt = ([] if halts is None else halts).append
    return roll_back(ledger, SETTINGS, found(ledger, figures), START, who="cron", halt=halt)


def test_that_a_release_walks_all_stages_and_each_step_says_who_why_before_and_after(ledger):
    start(ledger, SETTINGS, START, **WHO)
    for _ in STAGES[1:]:
        go_on(ledger, GOOD)
    assert current(ledger).stage == "small_live"
    with pytest.raises(GateRejected, match="last stage"):
        go_on(ledger, GOOD)
    entry = ledger.entries()[1]
    assert (entry.who, entry.why, entry.action, entry.state) == (
        "me",
        "it is time",
        "promote",
        "done",
    )
    assert entry.before["release"]["stage"] == "paper"
    assert entry.after["release"]["stage"] == "small_paper"
    assert entry.after["figures"]["sharpe"] == 9.0


def test_that_a_release_that_has_not_begun_says_so(ledger):
    with pytest.raises(ConfigError, match="no release has begun"):
        current(ledger)


def test_that_a_broken_limit_goes_back_one_stage_and_stops_entries(ledger):
    start(ledger, SETTINGS, START, **WHO)
    go_on(ledger, GOOD)
    halts = []
    assert go_back(ledger, GOOD, halts) is None and not halts
    assert go_back(ledger, BAD, halts).stage == "paper"
    assert "max drawdown: 0.5" in halts[0]
    assert ledger.entries()[-1].why == "max drawdown: 0.5, wanted at most 0.08"
    assert go_back(ledger, BAD).stage == "paper"
    assert ledger.attempts("paper") == 3


def test_that_a_hit_rate_breaks_only_once_there_are_enough_trades_and_days():
    limits = SETTINGS.paper
    poor = replace(GOOD, hit_rate=0.1)
    assert judge(poor, limits).broken
    for early in (replace(poor, trades=limits.min_trades - 1), replace(poor, days=1.0)):
        assert not judge(early, limits).broken
        assert not judge(early, limits).is_passed
    losing = replace(GOOD, sharpe=-3.0, sharpe_interval=Interval(-5.0, -1.0))
    assert any("upper end" in reason for reason in judge(losing, limits).broken)


_JUDGED = ["trades", "days", "max_drawdown", "sharpe", "hit_rate", "cost_share"]


@given(
    st.sets(st.sampled_from([*_JUDGED, "low"]), min_size=1), st.sampled_from([math.nan, -math.inf])
)
def test_that_a_figure_that_is_not_a_number_never_passes(names, value):
    values = dict.fromkeys(names - {"low"}, value)
    low = {"sharpe_interval": Interval(value, 10.0)} if "low" in names else {}
    figures = replace(GOOD, **values | low)
    assert judge(GOOD, SETTINGS.paper).is_passed
    assert not judge(figures, SETTINGS.paper).is_passed
    if "max_drawdown" in names:
        assert judge(figures, SETTINGS.paper).broken
    assert {field.name for field in fields(figures)} >= set(_JUDGED)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["promote", "fail", "roll back", "missing"]), max_size=10))
def test_that_no_sequence_of_steps_skips_a_stage(steps):
    with tempfile.TemporaryDirectory() as folder:
        ledger = ledger_in(Path(folder))
        start(ledger, SETTINGS, START, **WHO)
        for step in steps:
            before = STAGES.index(current(ledger).stage)
            with suppress(GateRejected):
                if step == "roll back":
                    go_back(ledger, BAD)
                else:
                    poor = replace(GOOD, sharpe=math.nan) if step == "missing" else BAD
                    go_on(ledger, GOOD if step == "promote" else poor)
            after = STAGES.index(current(ledger).stage)
            wanted = {"promote": min(before + 1, 3), "roll back": max(before - 1, 0)}
            assert after == wanted.get(step, before)


def test_that_limits_loosened_while_a_stage_runs_are_refused_and_the_old_ones_hold(ledger):
    start(ledger, SETTINGS, START, **WHO)
    easier = ReleaseSettings(paper=StageLimits(max_drawdown=0.9))
    with pytest.raises(GateRejected, match=r"max_drawdown from 0\.1 to 0\.9"):
        go_on(ledger, GOOD, easier)
    lost = evidence([trade(0, 1, hours=None, low=10.0), trade(0, 1, hours=None, low=10.0)])
    now = START + timedelta(days=5)
    assert assess(current(ledger), easier, lost, now).verdict.broken
    assert roll_back(
        ledger, easier, assess(current(ledger), easier, lost, now), now, who="x", halt=str
    )


def test_that_limits_tightened_while_a_stage_runs_hold_at_once(ledger):
    start(ledger, SETTINGS, START, **WHO)
    harder = ReleaseSettings(paper=StageLimits(max_drawdown=0.01))
    under = evidence([trade(0, 1, hours=None, low=80.0)])
    now = START + timedelta(days=5)
    assert not assess(current(ledger), SETTINGS, under, now).verdict.broken
    assert assess(current(ledger), harder, under, now).verdict.broken
    assert not loosened(SETTINGS.paper, harder.paper)


def test_that_another_seed_changes_no_interval_of_a_stage_that_runs(ledger):
    state = start(ledger, SETTINGS, START, **WHO)
    shown = evidence([trade(float(day % 5 - 2), day) for day in range(20)])
    now = START + timedelta(days=20)
    intervals = {
        assess(state, ReleaseSettings(seed=seed), shown, now).figures.sharpe_interval
        for seed in (1, 2, 3)
    }
    assert len(intervals) == 1 and intervals.pop().low < 0


@given(
    st.sampled_from(sorted(StageLimits.model_fields)),
    st.floats(0.1, 0.9),
)
def test_that_every_limit_has_a_loose_side(key, factor):
    kept = StageLimits(min_sharpe_low=1.0)
    bounds = {"min_days": 10, "min_trades": 1}
    low = max(bounds.get(key, 0), type(getattr(kept, key))(getattr(kept, key) * factor))
    lower = StageLimits(**kept.model_dump() | {key: low})
    there, back = loosened(kept, lower), loosened(lower, kept)
    assert bool(there) == key.startswith("min_")
    assert bool(back) == key.startswith("max_")


def test_that_a_backtest_counts_in_paper_only_and_only_if_run_after_its_start(ledger):
    state = start(ledger, SETTINGS, START, **WHO)
    run = {"ran_at": START - timedelta(seconds=1)}
    with pytest.raises(ConfigError, match="before the limits"):
        assess(state, SETTINGS, evidence([], **run), START)
    run = {"ran_at": START + timedelta(seconds=1)}
    assert assess(state, SETTINGS, evidence([trade(1, 0)], **run), START).figures.trades == 1
    with pytest.raises(ConfigError, match="is a backtest"):
        assess(go_on(ledger, GOOD), SETTINGS, evidence([], **run), START)


def test_that_a_step_on_a_stage_that_has_changed_meanwhile_is_refused(ledger):
    start(ledger, SETTINGS, START, **WHO)
    seen = found(ledger, GOOD)
    go_back(ledger, BAD)
    go_on(ledger, GOOD, now=START + timedelta(days=1))
    with pytest.raises(GateRejected, match="meanwhile"):
        promote(ledger, SETTINGS, seen, START, **WHO)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.evaluation.gates.test_release_stages import *
ledger = ledger_in(Path(sys.argv[1]))
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "halt":
    roll_back(ledger, SETTINGS, found(ledger, BAD), START, who="cron", halt=die)
else:
    setattr(ledger._trail, sys.argv[2], die)
    go_on(ledger, GOOD)
"""


@pytest.mark.parametrize("moment", ["begin", "finish", "halt"])
def test_that_a_process_killed_at_a_step_leaves_the_old_stage_and_the_step_can_be_made_again(
    tmp_path, moment
):
    start(ledger_in(tmp_path), SETTINGS, START, **WHO)
    go_on(ledger_in(tmp_path), GOOD)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    ledger = ledger_in(tmp_path)
    assert current(ledger).stage == "small_paper"
    if moment == "halt":
        assert go_back(ledger, BAD).stage == "paper"
    else:
        assert go_on(ledger, GOOD).stage == "live_hints"
