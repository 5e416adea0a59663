"""The command that sets parameters: shown, agreed to, recorded, taken back."""

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_market.decisions.budgets import ENGINE_BUDGETS, BudgetFeed, parameter_store
from agent_market.errors import ConfigError, GateRejected
from agent_market.settings import AgentMarketSettings
from tests.freqtrade_process import PROJECT

SET = ["set", "engine_budgets"]
REASON = ["--why", "the macro model fails"]


def _app() -> Any:
    spec = importlib.util.spec_from_file_location("parameters", PROJECT / "scripts/parameters.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@pytest.fixture
def settings(tmp_path: Path) -> AgentMarketSettings:
    section = {"state_dir": str(tmp_path / "state")}
    (tmp_path / "config.json").write_text(json.dumps({"agent_market": section}))
    return AgentMarketSettings(state_dir=tmp_path / "state")


def _run(settings: AgentMarketSettings, *words: str, answer: str = "") -> str:
    config = settings.state_dir.parent / "config.json"
    result = CliRunner().invoke(_app(), [*words, "-c", str(config)], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def _shares(settings: AgentMarketSettings, moment: datetime | None = None) -> dict[str, float]:
    feed = BudgetFeed(settings, "5m", live=False)
    return dict(feed.at(moment or datetime.now(UTC)).shares)


def test_that_a_budget_is_shown_agreed_to_and_taken_back(settings: AgentMarketSettings) -> None:
    said = _run(settings, *SET, "macro=0.1", *REASON, "--who", "mo", answer="y\n")
    assert "Look: macro: 0.5 -> 0.1, a change of 80%" in said
    assert "version 1 holds from" in said
    assert _shares(settings) == {"macro": 0.1}
    _run(settings, *SET, "intraday=0.9", "--yes", *REASON)
    assert _shares(settings) == {"macro": 0.1, "intraday": 0.9}
    assert '"intraday": 0.9' in _run(settings, "show", "engine_budgets")
    _run(settings, "revert", "engine_budgets", "--yes")
    assert _shares(settings) == {"macro": 0.1}
    _run(settings, "revert", "engine_budgets", "--to", "0", "--yes", "--i-understand")
    assert _shares(settings) == {}
    listed = _run(settings, "history", "engine_budgets")
    assert listed.count("the macro model") == 2 and "mo" in listed
    assert [each.number for each in parameter_store(settings).versions(ENGINE_BUDGETS)] == [
        1, 2, 3, 4,
    ]  # fmt: skip


def test_that_nothing_is_set_without_consent(settings: AgentMarketSettings) -> None:
    with pytest.raises(GateRejected, match="not confirmed"):
        _run(settings, *SET, "macro=0.1", *REASON, answer="n\n")
    with pytest.raises(GateRejected, match="--yes does not cover 1 point"):
        _run(settings, *SET, "macro=0.1", *REASON, "--yes")
    assert _shares(settings) == {}


def test_that_what_holds_in_the_past_wants_a_person(settings: AgentMarketSettings) -> None:
    since = ["--effective-at", "2026-01-05T12:00:00Z"]
    said = _run(settings, *SET, "macro=0.5", *since, *REASON, "--yes", "--i-understand")
    assert "which is past: no bot has read it then" in said
    start = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert _shares(settings, start - timedelta(seconds=1)) == {}
    assert _shares(settings, start) == {"macro": 0.5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SET, "macro=2", *REASON], "macro: input should be less than or equal to 1"),
        ([*SET, "micro=0.5", *REASON], "Its keys: macro, intraday"),
        ([*SET, "macro", *REASON], "'macro', without = is not KEY=NUMBER"),
        ([*SET, "macro=0.5"], "Pass --why"),
        (["set", "budgets", "macro=0.5", *REASON], "Did you mean 'engine_budgets'"),
        ([*SET, "macro=0.5", *REASON, "--effective-at", "2026-01-05"], "Add Z for UTC"),
        (["revert", "engine_budgets", "--to", "7"], "has no version 7"),
        (["show", "engine_budget"], "Did you mean 'engine_budgets'"),
    ],
)
def test_that_a_mistake_is_named(
    settings: AgentMarketSettings, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _run(settings, *words)
