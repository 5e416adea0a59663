"""Patches of configuration files: what may change, what wants a person, and how it is undone.

A patch is a JSON merge patch (RFC 7386): objects are merged, null removes a key, all else replaces.
The file is exchanged whole by one rename after a backup has been made, so a kill at any byte leaves
the old file or the new one.
"""

from __future__ import annotations

import difflib
import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from agent_market.decisions.advice import A, Advice, Clamp, Reading, judge, read_advice
from agent_market.decisions.bias import Bias, bias_clamp
from agent_market.decisions.event_mode import EventMode, event_clamp
from agent_market.errors import ConfigError
from agent_market.settings import PatchSettings, load_settings
from agent_market.store import write_with

Config = dict[str, Any]
Section = Literal["bias", "event_mode"]

PATCHABLE = (
    ("agent_market", "bias", "pinned"),
    ("agent_market", "event_mode", "pinned"),
    ("agent_market", "exits"),
    ("agent_market", "modes"),
    ("agent_market", "regime"),
    ("agent_market", "sizing"),
    ("exchange", "pair_blacklist"),
    ("exchange", "pair_whitelist"),
    ("max_open_trades",),
    ("minimal_roi",),
    ("stake_amount",),
    ("stoploss",),
    ("tradable_balance_ratio",),
    ("trailing_only_offset_is_reached",),
    ("trailing_stop",),
    ("trailing_stop_positive",),
    ("trailing_stop_positive_offset",),
)
"""Keys that a patch may change. Credentials, `dry_run`, caps and code are not among them."""

_NEUTRAL = {
    "position_multiplier": 1.0,
    "leverage": 1.0,
    "leverage_multiplier": 1.0,
    "take_profit_multiplier": 1.0,
    "stop_multiplier": 1.0,
}
_UNREVIEWED = ("id", "version", "created_at", "expires_at", "confidence", "direction")
_BACKUP = re.compile(r"backup-(\d{4,})")


@dataclass(frozen=True)
class Change:
    """One key that a patch changes; None where it is absent."""

    key: str
    before: Any
    after: Any


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` with a JSON merge patch applied (RFC 7386); neither is changed."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return deepcopy(merged)


def check_patch(patch: Mapping[str, Any]) -> None:
    """Raise ConfigError if a patch touches a key that patches may not change."""
    for key in _keys(patch):
        if not any(key[: len(allowed)] == allowed for allowed in PATCHABLE):
            names = [".".join(allowed) for allowed in PATCHABLE]
            raise ConfigError(
                f"{'.'.join(key)}: a patch may not change this key. It may change "
                f"{', '.join(names)}. Edit the configuration by hand."
            )


def advice_patch(config: Mapping[str, Any], section: Section, advice: Advice | None) -> Config:
    """Return the patch that pins advice in a configuration until it expires.

    Parameters
    ----------
    config : mapping
        What the patch is for: what is pinned there gives way whole.
    section : {"bias", "event_mode"}
    advice : Advice or None
        None removes what is pinned.
    """
    pinned = getattr(load_settings(config), section).pinned
    new = None if advice is None else advice.model_dump(mode="json")
    value = new if new is None or pinned is None else merge_difference(pinned, new)
    return {"agent_market": {section: {"pinned": value}}}


def merge_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Config:
    """Return the merge patch that turns `old` into `new`, which holds no null."""
    patch: Config = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            patch[key] = merge_difference(before, value)
        elif key not in old or before != value:
            patch[key] = deepcopy(value)
    return patch


def without_expired(config: Mapping[str, Any], now: datetime) -> Config:
    """Return the patch that removes pinned advice which is over or malformed, {} for none."""
    over = {
        section: {"pinned": None}
        for section, reading in _pinned(config).items()
        if reading is not None and (reading.advice is None or reading.advice.expires_at <= now)
    }
    return {"agent_market": over} if over else {}


def check_pinned(config: Mapping[str, Any], now: datetime) -> None:
    """Raise ConfigError if advice that a configuration pins would be ignored, now or in part."""
    for section, reading in _pinned(config).items():
        if reading is None:
            continue
        reasons = judge(reading, now).reasons
        if reasons:
            raise ConfigError(
                f"agent_market.{section}.pinned: {' '.join(reasons)} Make it anew, or raise the "
                f"bound in agent_market.{section}."
            )


def _pinned(config: Mapping[str, Any]) -> dict[Section, Reading[Any] | None]:
    settings = load_settings(config)
    bias, event = settings.bias, settings.event_mode
    return {
        "bias": _read(Bias, bias.pinned, bias_clamp(bias)),
        "event_mode": _read(EventMode, event.pinned, event_clamp(event)),
    }


def _read(kind: type[A], pinned: Config | None, clamp: Clamp[A]) -> Reading[A] | None:
    if pinned is None:
        return None
    return read_advice(kind, json.dumps(pinned).encode(), clamp)


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the keys whose values differ, lists counted as one value, sorted by key."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        Change(".".join(key), old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def points_to_review(
    before: Mapping[str, Any], after: Mapping[str, Any], settings: PatchSettings
) -> list[str]:
    """Return why a person should agree to a change; empty where nothing stands out.

    A number changed by more than `review_change` of what it was, a number that comes or goes where
    there is no neutral value to compare it with, and an exposure above `max_exposure`.
    """
    points = numbers_to_review(before, after, settings)
    exposure = exposure_of(after)
    if exposure > settings.max_exposure:
        points.append(
            f"the exposure may reach {exposure:g} times the capital, above patches.max_exposure "
            f"({settings.max_exposure:g}); it is {exposure_of(before):g} now"
        )
    return points


def numbers_to_review(
    before: Mapping[str, Any], after: Mapping[str, Any], settings: PatchSettings
) -> list[str]:
    """Return the changes by more than `review_change`, and numbers that come or go."""
    return [
        point
        for change in changes_between(before, after)
        if (point := _point(change, settings.review_change))
    ]


def exposure_of(config: Mapping[str, Any]) -> float:
    """Return the most value of all positions over capital that a configuration allows.

    Share of the balance that may be traded, times the largest leverage (the strategy's buckets, or
    a pinned bias), times what a pinned bias and event mode multiply stake and leverage by, whether
    or not they have expired.
    """
    settings = load_settings(config)
    leverage, stake = max([1.0, *settings.sizing.leverage_buckets]), 1.0
    pinned = {section: r.advice for section, r in _pinned(config).items() if r is not None}
    if bias := pinned.get("bias"):
        leverage = max([leverage, *(pair.leverage for pair in bias.pairs.values())])
        stake = max([stake, *(pair.position_multiplier for pair in bias.pairs.values())])
    if event := pinned.get("event_mode"):
        leverage *= max(1.0, event.leverage_multiplier)
        stake *= max(1.0, event.position_multiplier)
    return float(config.get("tradable_balance_ratio", 0.99) * leverage * stake)


def config_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as it is written: indented JSON with a final newline."""
    return json.dumps(config, indent=4, ensure_ascii=False, allow_nan=False) + "\n"


def config_diff(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    """Return the change as a unified diff of the two written out alike, "" where there is none."""
    old, new = (config_text(config).splitlines(keepends=True) for config in (before, after))
    return "".join(difflib.unified_diff(old, new, name, f"{name} (patched)"))


def write_config(path: Path, content: bytes, like: Path, check: Callable[[Path], object]) -> None:
    """Put `content` at `path` atomically, once `check` has read it from a file beside it.

    The file gets the permissions of `like`, at no moment more: it may hold keys.
    """

    def write(temporary: Path) -> None:
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
        check(temporary)
        temporary.chmod(stat.S_IMODE(like.stat().st_mode))

    write_with(path, write)


def make_backup(path: Path) -> Path:
    """Keep the file's bytes beside it as `<name>.backup-0001` and so on; return the backup.

    A backup that already holds these bytes, left by a writer killed before its change, is taken.
    """
    content, found = path.read_bytes(), backups_of(path)
    if found and found[-1].read_bytes() == content:
        return found[-1]
    number = int(found[-1].name.rsplit("-", 1)[1]) + 1 if found else 1
    backup = path.with_name(f"{path.name}.backup-{number:04d}")
    write_config(backup, content, path, lambda temporary: None)
    return backup


def restore_backup(path: Path, backup: Path, check: Callable[[Path], object]) -> None:
    """Put the backup's bytes back atomically, then remove it and those after it."""
    write_config(path, backup.read_bytes(), backup, check)
    for each in backups_of(path):
        if each.name >= backup.name:
            each.unlink()


def backups_of(path: Path) -> list[Path]:
    """Return the backups of a file, oldest first."""
    prefix = f"{path.name}."
    return sorted(
        each
        for each in path.parent.glob(f"{path.name}.backup-*")
        if _BACKUP.fullmatch(each.name.removeprefix(prefix))
    )


def _keys(patch: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in patch.items():
        key = (*above, name)
        if isinstance(value, Mapping) and value and key not in PATCHABLE:
            yield from _keys(value, key)
        else:
            yield key


def _leaves(
    config: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in config.items():
        key = (*above, str(name))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, key)
        else:
            yield key, value


def _point(change: Change, share: float) -> str | None:
    name = change.key.rsplit(".", 1)[-1]
    neutral = _NEUTRAL.get(name) if ".pinned." in change.key else None
    before = _number(neutral if change.before is None else change.before)
    after = _number(neutral if change.after is None else change.after)
    if name in _UNREVIEWED or (before is None and after is None):
        return None
    shown = f"{change.key}: {_shown(change.before)} -> {_shown(change.after)}"
    if before is None or after is None:
        return f"{shown}, a number that comes or goes"
    if abs(after - before) <= share * abs(before) + 1e-12:
        return None
    size = f"{abs(after / before - 1):.0%}" if before else "from 0"
    return f"{shown}, a change of {size}"


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value)
