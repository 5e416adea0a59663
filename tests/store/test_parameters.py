"""Versions of parameters: added, never changed, and readable as of any moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.store.database import database_url, open_database
from agent_market.store.parameters import ParameterStore, Version, version_at

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> ParameterStore:
    return ParameterStore(open_database(database_url(tmp_path, None)))


def _add(store: ParameterStore, share: float, hours: float, name: str = "budgets") -> Version:
    moment = START + hours * HOUR
    return store.add(
        name, {"macro": share}, who="mo", why="test", effective_at=moment, recorded_at=START
    )


def test_that_each_moment_has_the_version_that_held_then(store: ParameterStore) -> None:
    assert store.versions("budgets") == []
    for share, hours in ((0.5, 1), (0.1, 3), (0.2, 3)):
        _add(store, share, hours)
    _add(store, 0.9, 2, "other")
    versions = store.versions("budgets")
    held = [version_at(versions, START + hours * HOUR) for hours in (0, 1, 2.9, 3, 99)]
    assert [each and each.values["macro"] for each in held] == [None, 0.5, 0.5, 0.2, 0.2]
    assert [each.number for each in versions] == [1, 2, 3]
    assert (versions[0].who, versions[0].why) == ("mo", "test")
    assert versions[0].effective_at == START + HOUR and versions[0].recorded_at == START


def test_that_each_version_carries_the_hash_of_the_one_before(store: ParameterStore) -> None:
    first, second = _add(store, 0.5, 1), _add(store, 0.5, 2)
    assert (first.previous, second.previous) == ("", first.hash)
    assert store.versions("budgets") == [first, second]
    assert first.hash != second.hash


def test_that_the_past_is_not_changed(store: ParameterStore) -> None:
    _add(store, 0.5, 2)
    with pytest.raises(ConfigError, match="would change the past: version 1 holds from"):
        _add(store, 0.1, 1)
    assert len(store.versions("budgets")) == 1


def test_that_times_of_another_zone_are_stored_in_utc(store: ParameterStore) -> None:
    moment = datetime.fromisoformat("2026-01-05T20:00:00+08:00")
    store.add("budgets", {}, who="mo", why="test", effective_at=moment, recorded_at=moment)
    (version,) = store.versions("budgets")
    assert version.effective_at == START and version.effective_at.tzinfo is UTC


@pytest.mark.parametrize(
    "tampering",
    [
        'UPDATE parameter_versions SET "values" = \'{"macro": 0.9}\' WHERE number = 1',
        "UPDATE parameter_versions SET effective_at = recorded_at WHERE number = 2",
        "DELETE FROM parameter_versions WHERE number = 1",
    ],
)
def test_that_a_version_that_was_changed_or_removed_is_found_out(
    store: ParameterStore, tmp_path: Path, tampering: str
) -> None:
    for hours in (1, 2, 3):
        _add(store, 0.5, hours)
    with open_database(database_url(tmp_path, None)).begin() as connection:
        connection.execute(text(tampering))
    with pytest.raises(StateCorrupt, match="is not what was stored"):
        store.versions("budgets")


def test_that_of_two_writers_at_once_one_is_told(
    store: ParameterStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ParameterStore(open_database(database_url(tmp_path, None)))
    _add(store, 0.5, 1)
    seen = store.versions("budgets")
    _add(other, 0.4, 2)
    monkeypatch.setattr(store, "versions", lambda name: seen)  # read before the other wrote
    with pytest.raises(ConfigError, match="somebody else has just set version 2"):
        _add(store, 0.3, 3)
    assert [each.values["macro"] for each in other.versions("budgets")] == [0.5, 0.4]
