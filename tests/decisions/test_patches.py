"""Merge patches: what they may change, what a person should look at, and the way back."""

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.decisions.patches import (
    advice_patch,
    backups_of,
    check_patch,
    check_pinned,
    config_diff,
    exposure_of,
    make_backup,
    merge_difference,
    merge_patch,
    points_to_review,
    restore_backup,
    without_expired,
    write_config,
)
from agent_market.errors import ConfigError
from agent_market.settings import PatchSettings
from tests.decisions.advice_samples import START, bias_of, event_of

PATCHES = PatchSettings()
LATER = START + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_that_a_merge_patch_does_what_its_standard_says(
    target: Any, patch: Any, expected: Any
) -> None:
    assert merge_patch(target, patch) == expected


scalars = st.one_of(st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers()))
configs = st.recursive(
    st.dictionaries(st.sampled_from("abc"), scalars, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(scalars, inner), max_size=3),
)


@given(old=configs, new=configs)
def test_that_a_difference_turns_the_old_into_the_new(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert merge_patch(old, merge_difference(old, new)) == new


@pytest.mark.parametrize(
    "patch",
    [
        {"dry_run": False},
        {"exchange": {"key": "x"}},
        {"exchange": None},
        {"strategy_path": "elsewhere"},
        {"agent_market": None},
        {"agent_market": {"patches": {"max_exposure": 100}}},
        {"agent_market": {"bias": {"max_leverage": 100}}},
        {"agent_market": {"state_dir": "elsewhere"}},
        {"max_open_trades": 4, "api_server": {"enabled": True}},
    ],
)
def test_that_a_patch_may_not_touch_keys_caps_and_code(patch: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a patch may not change this key"):
        check_patch(patch)


def test_that_a_patch_may_set_stakes_pairs_and_pinned_advice() -> None:
    check_patch({"tradable_balance_ratio": 0.5, "exchange": {"pair_whitelist": ["BTC/USDT"]}})
    check_patch(advice_patch({}, "bias", bias_of()))
    check_patch(advice_patch({}, "event_mode", None))


@pytest.mark.parametrize(
    ("before", "after", "point"),
    [
        ({"max_open_trades": 5}, {"max_open_trades": 6}, None),
        ({"max_open_trades": 5}, {"max_open_trades": 4}, None),
        ({"max_open_trades": 5}, {"max_open_trades": 7}, "5 -> 7, a change of 40%"),
        ({"stake_amount": 100}, {"stake_amount": "unlimited"}, "a number that comes or goes"),
        ({}, {"stoploss": -0.1}, "absent -> -0.1"),
        ({"trailing_stop": False}, {"trailing_stop": True}, None),
        ({"trailing_stop_positive": 0}, {"trailing_stop_positive": 0.1}, "from 0"),
    ],
)
def test_that_a_change_of_more_than_a_fifth_is_to_be_looked_at(
    before: dict[str, Any], after: dict[str, Any], point: str | None
) -> None:
    points = points_to_review(before, after, PATCHES)
    assert len(points) == (point is not None)
    assert point is None or point in points[0]


@pytest.mark.parametrize(
    ("values", "n_points"),
    [
        ({"position_multiplier": 1.0}, 0),
        ({"position_multiplier": 0.85}, 0),
        ({"position_multiplier": 0.5}, 1),
        ({"leverage_multiplier": 1.3}, 2),  # the change, and the exposure
    ],
)
def test_that_an_event_mode_counts_against_the_neutral_one(
    values: dict[str, Any], n_points: int
) -> None:
    after = merge_patch({}, advice_patch({}, "event_mode", event_of(**values)))
    assert len(points_to_review({}, after, PATCHES)) == n_points


def test_that_the_exposure_is_balance_times_leverage_times_stake() -> None:
    config: dict[str, Any] = {
        "tradable_balance_ratio": 0.5,
        "agent_market": {"sizing": {"leverage_buckets": [1, 2]}},
    }
    assert exposure_of(config) == 1
    pinned = merge_patch(config, advice_patch(config, "bias", bias_of(leverage=3)))
    assert exposure_of(pinned) == 1.5
    event = event_of(leverage_multiplier=2, position_multiplier=1.5)
    assert exposure_of(merge_patch(pinned, advice_patch(pinned, "event_mode", event))) == 4.5


def test_that_pinning_a_bias_leaves_nothing_of_the_one_before() -> None:
    old = merge_patch({}, advice_patch({}, "bias", bias_of(leverage=2)))
    new = bias_of(START + timedelta(minutes=5)).model_copy(update={"pairs": {}})
    assert merge_patch(old, advice_patch(old, "bias", new)) == merge_patch(
        {}, advice_patch({}, "bias", new)
    )


def test_that_pinned_advice_that_would_be_ignored_is_refused() -> None:
    config = merge_patch({}, advice_patch({}, "event_mode", event_of(hours=0.5)))
    check_pinned(config, LATER)
    with pytest.raises(ConfigError, match=r"event_mode\.pinned: event-120000 expired"):
        check_pinned(config, START + timedelta(hours=1))
    config["agent_market"]["event_mode"]["pinned"]["position_multiplier"] = 1e9
    with pytest.raises(ConfigError, match="max_position_multiplier"):
        check_pinned(config, LATER)


def test_that_only_what_is_over_is_removed() -> None:
    config = merge_patch({}, advice_patch({}, "event_mode", event_of(hours=0.5)))
    config = merge_patch(config, advice_patch(config, "bias", bias_of(minutes=60)))
    assert without_expired(config, LATER) == {}
    left = merge_patch(config, without_expired(config, START + timedelta(minutes=40)))
    assert left["agent_market"]["event_mode"] == {}
    assert left["agent_market"]["bias"] == config["agent_market"]["bias"]


def test_that_the_diff_shows_old_and_new_values() -> None:
    diff = config_diff({"max_open_trades": 5}, {"max_open_trades": 6}, "config.json")
    assert '-    "max_open_trades": 5' in diff
    assert '+    "max_open_trades": 6' in diff


def test_that_backups_are_numbered_and_undo_one_patch_each(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b"{}", b'{"a": 1}'):
        path.write_bytes(content)
        make_backup(path)
        assert make_backup(path) == backups_of(path)[-1], "not twice for one content"
    write_config(path, b'{"a": 2}', path, lambda temporary: None)
    for expected in (b'{"a": 1}', b"{}"):
        restore_backup(path, backups_of(path)[-1], lambda temporary: None)
        assert path.read_bytes() == expected
    assert backups_of(path) == []


def test_that_a_file_of_keys_stays_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.touch(mode=0o600)
    modes = []

    def look(temporary: Path) -> None:
        modes.append(stat.S_IMODE(temporary.stat().st_mode))

    write_config(path, b"{}", path, look)
    write_config(tmp_path / "copy.json", b"{}", path, look)
    written = [path, tmp_path / "copy.json", make_backup(path)]
    assert modes == [0o600, 0o600]
    assert [stat.S_IMODE(each.stat().st_mode) for each in written] == [0o600] * 3


def test_that_a_refused_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"{}")

    def refuse(temporary: Path) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        write_config(path, b'{"a": 1}', path, refuse)
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]
