"""Engine budgets: from the parameter store to the gate, as of each candle."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from agent_market.decisions.budgets import (
    ENGINE_BUDGETS,
    BudgetFeed,
    Budgets,
    check_parameters,
    parameter_store,
)
from agent_market.errors import ConfigError, StateCorrupt
from agent_market.settings import AgentMarketSettings
from agent_market.store.database import database_url, open_database

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
CANDLE = timedelta(minutes=5)
TAMPERING = "UPDATE parameter_versions SET who = 'mallory'"


def _settings(folder: Path) -> AgentMarketSettings:
    return AgentMarketSettings(state_dir=folder)


def _set(folder: Path, at: datetime, **shares: float | None) -> None:
    parameter_store(_settings(folder)).add(
        ENGINE_BUDGETS, shares, who="mo", why="calm", effective_at=at, recorded_at=at
    )


def _execute(folder: Path, statement: str) -> None:
    with open_database(database_url(folder, None)).begin() as connection:
        connection.execute(text(statement))


def test_that_without_a_store_the_configuration_decides_and_no_file_is_made(
    tmp_path: Path,
) -> None:
    for live in (False, True):
        feed = BudgetFeed(_settings(tmp_path), "5m", live=live)
        assert feed.refresh(START) is None
        assert feed.at(START) == Budgets()
    assert list(tmp_path.iterdir()) == []


def test_that_a_backtest_replays_what_a_bot_read_candle_by_candle(tmp_path: Path) -> None:
    live = BudgetFeed(_settings(tmp_path), "5m", live=True)
    changes = {3: {"macro": 0.1}, 4: {"macro": 0.2, "intraday": None}, 7: {"intraday": 0.0}}
    seen = []
    for number in range(10):
        close = START + number * CANDLE
        if number in changes:  # a minute before the close
            _set(tmp_path, close - CANDLE / 5, **changes[number])
        live.refresh(close + timedelta(seconds=3))
        seen.append(live.at(close))
    past = BudgetFeed(_settings(tmp_path), "5m", live=False)
    assert [past.at(START + number * CANDLE) for number in range(10)] == seen
    assert [dict(each.shares) for each in seen[2:8]] == [
        {}, {"macro": 0.1}, {"macro": 0.2}, {"macro": 0.2}, {"macro": 0.2}, {"intraday": 0.0},
    ]  # fmt: skip


def test_that_a_change_is_told_once(tmp_path: Path) -> None:
    feed = BudgetFeed(_settings(tmp_path), "5m", live=True)
    assert feed.refresh(START) is None
    _set(tmp_path, START, macro=0.1)
    assert feed.refresh(START + CANDLE / 2) is None, "read once a candle"
    assert feed.refresh(START + CANDLE) == "engine_budgets: version 1: macro 0.1 (calm)"
    assert feed.refresh(START + 2 * CANDLE) is None


def test_that_a_store_that_cannot_be_read_is_a_fault_live_and_stops_a_backtest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _set(tmp_path, START, macro=0.1)
    feed = BudgetFeed(_settings(tmp_path), "5m", live=True)
    feed.refresh(START)
    _execute(tmp_path, TAMPERING)
    with caplog.at_level(logging.WARNING):
        said = feed.refresh(START + CANDLE)
    assert said is not None and "the parameter store cannot be read" in said
    assert "is not what was stored" in caplog.text
    budgets = feed.at(START + CANDLE)
    assert budgets.shares == {} and budgets.fault is not None
    with pytest.raises(StateCorrupt):
        BudgetFeed(_settings(tmp_path), "5m", live=False).at(START)


def test_that_a_file_that_is_no_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "agent_market.sqlite").write_bytes(b"no database" * 1000)
    feed = BudgetFeed(_settings(tmp_path), "5m", live=True)
    assert "cannot be read" in str(feed.at(START).fault)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"macro": 1.1}, "macro: input should be less than or equal to 1, found 1.1"),
        ({"macro": float("nan")}, "macro: input should be a finite number"),
        ({"macro": "0.5"}, "macro: input should be a valid number"),
        ({"micro": 0.5}, "micro: extra inputs are not permitted"),
    ],
)
def test_that_a_share_is_one(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_parameters(ENGINE_BUDGETS, values)


def test_that_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'engine_budgets'"):
        check_parameters("engine_budget", {})
