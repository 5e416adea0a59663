"""A patch and its revert killed at every file operation: the old file or the new one, and valid."""

import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_market.bridge.config_check import check_config
from agent_market.decisions.patches import advice_patch, backups_of
from agent_market.flow.configuration import load_config_files
from agent_market.flow.patching import (
    Plan,
    audit_trail,
    carry_out,
    plan_patch,
    plan_revert,
    utc_now,
)
from agent_market.settings import load_settings
from tests.patched_config import event_now, write_config_in

_WRITES = ("open", "os.rename", "os.remove", "os.chmod")


def killed_at(operation: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do `work` in a child that kills itself at its nth file operation; say whether it did."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in _WRITES and str(arguments[0]).startswith(str(folder)):
                count += 1
                if count == operation:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def do(plan: Plan | None) -> None:
    if plan is not None:
        carry_out(plan, check_config, who="test", why="test")


def patched(path: Path) -> Plan:
    config = load_config_files([path])
    patch = advice_patch(config, "event_mode", event_now(position_multiplier=1.5))
    return plan_patch([path], patch, None, utc_now())


def test_that_a_patch_killed_at_any_file_operation_leaves_a_valid_file(tmp_path: Path) -> None:
    seen, operation, was_killed = set(), 0, True
    while was_killed:
        operation += 1
        folder = tmp_path / str(operation)
        folder.mkdir()
        path = write_config_in(folder)
        plan = patched(path)
        was_killed = killed_at(operation, folder, lambda plan=plan: do(plan))
        content = path.read_bytes()
        assert content in (plan.old, plan.new)
        seen.add(content == plan.new)
        check_config([path])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert all(backup.read_bytes() == plan.old for backup in backups_of(path))
        if backups_of(path):
            do(plan_revert([path]))
        assert path.read_bytes() == plan.old, "reverted to the byte"
        assert backups_of(path) == []
        states = [e.state for e in audit_trail(load_settings(plan.merged)).entries()]
        assert content == plan.old or states[0] in ("begun", "done"), "nothing is unrecorded"
    assert seen == {True, False}
    assert operation > 10


def test_that_a_revert_killed_at_any_file_operation_can_be_done_again(tmp_path: Path) -> None:
    operation, was_killed = 0, True
    while was_killed:
        operation += 1
        folder = tmp_path / str(operation)
        folder.mkdir()
        path = write_config_in(folder)
        plan = patched(path)
        do(plan)
        was_killed = killed_at(operation, folder, lambda path=path: do(plan_revert([path])))
        assert path.read_bytes() in (plan.old, plan.new)
        check_config([path])
        if backups_of(path):
            do(plan_revert([path]))
        assert path.read_bytes() == plan.old
        assert [each.name for each in folder.iterdir() if each.name != "state"] == ["config.json"]
    assert operation > 5


def test_that_a_temporary_file_cut_at_any_byte_is_swept_away(tmp_path: Path) -> None:
    path = write_config_in(tmp_path)
    plan = patched(path)
    for length in range(len(plan.new)):
        (tmp_path / f".config.json.{length}-1.tmp").write_bytes(plan.new[:length])
    do(plan)
    assert path.read_bytes() == plan.new
    assert not list(tmp_path.glob(".config.json*"))


@pytest.mark.parametrize("edit", ['"max_open_trades": 5', '"max_open_trades": 6'])
def test_that_a_revert_says_when_it_undoes_an_edit_by_hand(tmp_path: Path, edit: str) -> None:
    path = write_config_in(tmp_path)
    do(patched(path))
    path.write_text(path.read_text().replace('"max_open_trades": 5', edit))
    plan = plan_revert([path])
    assert plan is not None
    said = any("was edited since it was patched" in point for point in plan.points)
    assert said == ("6" in edit)
