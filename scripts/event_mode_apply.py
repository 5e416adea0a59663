#!/usr/bin/env python
"""Put an event mode into force, see it, or end it.

A running bot takes it at its next candle and drops it at its end, whether or not the process that
set it still lives. `--pin` writes it into a configuration instead, for a restart.
"""

from __future__ import annotations

import getpass
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_market.decisions.advice import Reading, judge, publish, read_advice
from agent_market.decisions.event_mode import EventMode, event_clamp
from agent_market.decisions.patches import (
    advice_patch,
    changes_between,
    config_diff,
    merge_patch,
    points_to_review,
)
from agent_market.decisions.strategy_advice import event_mode_path
from agent_market.errors import ConfigError
from agent_market.flow.configuration import load_config_files, parse_config_file
from agent_market.flow.options import ConfigOption
from agent_market.flow.patch_command import (
    InplaceOption,
    OutputOption,
    ReloadOption,
    UnderstandOption,
    WhoOption,
    YesOption,
    ask,
    config_files,
    copy_of,
    reload,
    run,
    say,
    settle,
    show_change,
)
from agent_market.flow.patching import audit_trail, plan_patch, require_consent, utc_now
from agent_market.settings import load_settings
from agent_market.store import hash_bytes

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def apply(
    patch: Annotated[
        Path | None, typer.Argument(help="What event_mode_patch.py made; none: show what is.")
    ] = None,
    config: ConfigOption = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the event mode now.")] = False,
    revert_expired: Annotated[
        bool, typer.Option("--revert-expired", help="Remove the file of one that is over.")
    ] = False,
    pin: Annotated[
        bool, typer.Option("--pin", help="Write it into a configuration, not beside the bot.")
    ] = False,
    output: OutputOption = None,
    inplace: InplaceOption = False,
    yes: YesOption = False,
    i_understand: UnderstandOption = False,
    who: WhoOption = None,
    reload_after: ReloadOption = False,
) -> None:
    """Put the patch's event mode into force."""
    files, now = config_files(config), utc_now()
    merged = load_config_files(files)
    path = event_mode_path(load_settings(merged))
    current = _read(merged, path)
    if stop:
        _stop(path, judge(current, now).advice, merged, now, who)
    elif revert_expired:
        _remove_expired(path, current, now)
    elif patch is None:
        _show(path, judge(current, now))
    elif pin or inplace or output:
        event = _event_of(merged, patch, now)
        plan = plan_patch(
            files,
            advice_patch(merged, "event_mode", event),
            None if inplace else output or copy_of(files[-1]),
            now,
        )
        settle(plan, yes=yes, understood=i_understand, who=who, why=event.reason)
        if reload_after:
            reload(merged)
    else:
        event = _event_of(merged, patch, now)
        before = _with(merged, judge(current, now).advice)
        after = _with(merged, event)
        points = points_to_review(before, after, load_settings(merged).patches)
        show_change(config_diff(_pinned(before), _pinned(after), path.name), points)
        require_consent(points, yes=yes, understood=i_understand, ask=ask)
        _publish(path, event, before, after, who=who)
        say(f"{event.id} is in force from the next candle until {event.expires_at.isoformat()}.")


def _read(config: dict[str, Any], path: Path) -> Reading[EventMode]:
    if not path.is_file():
        return Reading(None)
    clamp = event_clamp(load_settings(config).event_mode)
    return read_advice(EventMode, path.read_bytes(), clamp)


def _event_of(config: dict[str, Any], patch: Path, now: datetime) -> EventMode:
    """Return the event mode of a patch; ConfigError unless it would be in force now."""
    try:
        pinned = parse_config_file(patch)["agent_market"]["event_mode"]["pinned"]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{patch} is no patch of event_mode_patch.py: {error} missing."
        ) from error
    return _checked(config, pinned, patch, now)


def _checked(config: dict[str, Any], pinned: Any, patch: Path, now: datetime) -> EventMode:
    clamp = event_clamp(load_settings(config).event_mode)
    reading = judge(read_advice(EventMode, json.dumps(pinned).encode(), clamp), now)
    if reading.advice is None:
        raise ConfigError(f"{patch}: {' '.join(reading.reasons)} Make it anew.")
    return reading.advice


def _with(config: dict[str, Any], event: EventMode | None) -> dict[str, Any]:
    merged: dict[str, Any] = merge_patch(config, advice_patch(config, "event_mode", event))
    return merged


def _pinned(config: dict[str, Any]) -> dict[str, Any]:
    return dict(load_settings(config).event_mode.pinned or {})


def _publish(
    path: Path,
    event: EventMode,
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    who: str | None,
) -> None:
    """Record who and why, then put the event mode into force."""
    old = path.read_bytes() if path.is_file() else b""
    new = event.model_dump_json(indent=2) + "\n"
    trail = audit_trail(load_settings(after))
    number = trail.begin(
        "publish",
        str(path.resolve()),
        changes_between(before, after),
        (hash_bytes(old), hash_bytes(new.encode())),
        who=who or getpass.getuser(),
        why=event.reason,
    )
    publish(path, event, utc_now())  # not that of the diff: somebody may have read it for long
    trail.finish(number, "done")


def _stop(
    path: Path, event: EventMode | None, config: dict[str, Any], now: datetime, who: str | None
) -> None:
    if event is None:
        say(f"{path.name}: none in force.")
        return
    over = event.model_copy(update={"expires_at": now})
    _publish(path, over, _with(config, event), _with(config, None), who=who)
    say(f"{event.id} is over from the next candle on.")


def _remove_expired(path: Path, reading: Reading[EventMode], now: datetime) -> None:
    if path.is_file() and judge(reading, now).advice is None:
        path.unlink()
        say(f"Removed {path}: {' '.join(judge(reading, now).reasons)}")
    else:
        say(f"{path.name}: nothing is to be reverted.")


def _show(path: Path, reading: Reading[EventMode]) -> None:
    if reading.advice is None:
        say(f"{path.name}: {' '.join(reading.reasons) or 'none in force.'}")
    else:
        say(reading.advice.model_dump_json(indent=2))


if __name__ == "__main__":
    run(app)
