"""Patch a configuration file: plan, show, ask, check, record, write; and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_market.decisions.audit import Action, AuditTrail
from agent_market.decisions.patches import (
    Change,
    backups_of,
    changes_between,
    check_patch,
    check_pinned,
    config_diff,
    config_text,
    make_backup,
    merge_patch,
    points_to_review,
    restore_backup,
    write_config,
)
from agent_market.errors import AgentMarketError, ConfigError, GateRejected
from agent_market.flow.configuration import load_config_files, parse_config_file
from agent_market.settings import AgentMarketSettings, load_settings
from agent_market.store import hash_bytes
from agent_market.store.database import database_url, open_database

Config = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is going to be written, and what a person should know before it is.

    source, target : the file that is read, and the one that is written; one where in place.
    others : configuration files below it.
    old, new : bytes of the source, and of the target after.
    merged : the whole configuration that follows.
    points : why a person should agree.
    backup : what a revert restores.
    """

    source: Path
    target: Path
    others: tuple[Path, ...]
    old: bytes
    new: bytes
    merged: Config
    changes: list[Change]
    diff: str
    points: list[str]
    backup: Path | None = None

    @property
    def loses_comments(self) -> bool:
        """Whether the file holds comments, or another order of writing, that the new one lacks."""
        return self.backup is None and _has_comments(self.old)


def audit_trail(settings: AgentMarketSettings) -> AuditTrail:
    """Return the audit trail in the database that the settings name."""
    return AuditTrail(open_database(database_url(settings.state_dir, settings.flow.database_url)))


def plan_patch(
    files: Sequence[Path], patch: Mapping[str, Any], output: Path | None, now: datetime
) -> Plan:
    """Return what a merge patch does to the last of the configuration files.

    Parameters
    ----------
    files : sequence of Path
        As the bot is given them; the last one, which wins, is patched.
    patch : mapping
        RFC 7386.
    output : Path or None
        The copy to write; None patches the file in place.

    Raises
    ------
    ConfigError
        The patch changes nothing or a key it may not, or the result is not valid for us.
    """
    check_patch(patch)
    source = files[-1].resolve()
    target = source if output is None else output.resolve()
    before, old = parse_config_file(source), source.read_bytes()
    after = merge_patch(before, patch)
    merged_before = load_config_files(files)
    merged = merge_patch(merged_before, patch)
    settings = load_settings(merged)
    check_pinned(merged, now)
    changes = changes_between(merged_before, merged)
    if not changes:
        raise ConfigError(f"{source}: the patch changes nothing.")
    return Plan(
        source=source,
        target=target,
        others=tuple(files[:-1]),
        old=old,
        new=config_text(_moved(after, source.parent, target.parent)).encode(),
        merged=merged,
        changes=changes,
        diff=config_diff(before, after, source.name),
        points=points_to_review(merged_before, merged, settings.patches),
    )


def plan_revert(files: Sequence[Path]) -> Plan | None:
    """Return what taking back the newest patch of the last file does; None: nothing is to do.

    A patch or a revert that was killed may have left a backup equal to the file; it is removed.
    """
    source = files[-1].resolve()
    old = source.read_bytes()
    found = backups_of(source)
    if not found:
        raise ConfigError(f"{source} has no backup beside it: no patch in place is to be reverted.")
    backup, new = found[-1], found[-1].read_bytes()
    if new == old:
        backup.unlink()
        return None
    before, after = parse_config_file(source), parse_config_file(backup)
    merged_before = load_config_files(files)
    merged = load_config_files([*files[:-1], backup])
    settings = load_settings(merged)
    points = points_to_review(merged_before, merged, settings.patches)
    done = [e for e in audit_trail(settings).entries(str(source)) if e.state != "failed"]
    if not done or done[-1].after_hash != hash_bytes(old):
        points.append("the file was edited since it was patched; that is undone as well")
    return Plan(
        source=source,
        target=source,
        others=tuple(files[:-1]),
        old=old,
        new=new,
        merged=merged,
        changes=changes_between(merged_before, merged),
        diff=config_diff(before, after, source.name),
        points=points,
        backup=backup,
    )


def without_points(plan: Plan) -> Plan:
    """Return the plan as one that no person need agree to: what it takes away is over."""
    return replace(plan, points=[])


def require_consent(
    points: Sequence[str], *, yes: bool, understood: bool, ask: Callable[[str], bool]
) -> None:
    """Return if the change may be made.

    Raises
    ------
    GateRejected
        The person said no, or `yes` came without `understood` where something is to be reviewed.
    """
    if yes and points and not understood:
        raise GateRejected(
            f"--yes does not cover {len(points)} point(s) above. Nothing was written. Look at "
            "them, then add --i-understand, or leave --yes out to be asked."
        )
    if not yes and not ask("Write this?"):
        raise GateRejected("not confirmed. Nothing was written.")


def carry_out(
    plan: Plan, check_config: Callable[[Sequence[Path]], None], *, who: str, why: str
) -> None:
    """Write what was planned: record it, keep a backup, check, exchange the file, mark it done.

    Killed at any byte, the file is the old one or the new one, and the record says `begun`.

    Parameters
    ----------
    plan : Plan
    check_config : callable
        Freqtrade's own check, `agent_market.bridge.config_check.check_config`.

    Raises
    ------
    ConfigError
        The new file is not valid, or the old one has changed meanwhile; nothing is written.
    """
    _remove_litter(plan.target)

    def check(temporary: Path) -> None:
        if plan.source.read_bytes() != plan.old:
            raise ConfigError(f"{plan.source} has changed meanwhile. Look at the diff again.")
        files = [*plan.others, temporary]
        if _compared(load_config_files(files)) != _compared(plan.merged):
            raise ConfigError(
                f"{plan.source}: another configuration file, one it includes, or a FREQTRADE__ "
                "variable overrules the patch. Patch that one."
            )
        check_config(files)

    action: Action = "patch" if plan.backup is None else "revert"
    hashes = (hash_bytes(plan.old), hash_bytes(plan.new))
    trail = audit_trail(load_settings(plan.merged))
    number = trail.begin(action, str(plan.target), plan.changes, hashes, who=who, why=why)
    try:
        _write(plan, check)
    except (AgentMarketError, OSError):
        trail.finish(number, "failed")
        raise
    trail.finish(number, "done")


def _write(plan: Plan, check: Callable[[Path], None]) -> None:
    if plan.backup is not None:
        restore_backup(plan.source, plan.backup, check)
        return
    if plan.target == plan.source:
        make_backup(plan.source)
    write_config(plan.target, plan.new, plan.source, check)


def _remove_litter(path: Path) -> None:
    """Remove what killed writers left: it may hold keys."""
    for leftover in path.parent.glob(f".{path.name}*.tmp"):
        leftover.unlink()


def _moved(config: Config, source: Path, target: Path) -> Config:
    """Return a configuration for another folder: included files are found from there too."""
    if source == target or "add_config_files" not in config:
        return config
    return {**config, "add_config_files": [str(source / f) for f in config["add_config_files"]]}


def _compared(config: Mapping[str, Any]) -> Config:
    return {key: value for key, value in config.items() if key != "add_config_files"}


def _has_comments(content: bytes) -> bool:
    text = content.decode()
    return "/*" in text or any(line.strip().startswith("//") for line in text.splitlines())


def utc_now() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(UTC)
