import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.expressions import Scope, check_expression, format_expression
from agent_market.expressions.units import PLAIN
from agent_market.llm import (
    Ask,
    Budget,
    ChatClient,
    ExpressionProposer,
    Recorder,
    Replayer,
)
from agent_market.settings import LlmSettings
from agents.expression_agent import AgentRun, Round, run_rounds
from tests.agents.random_walk_judge import RandomWalkJudge
from tests.llm.fault_server import SERVER_FAULTS, Behave, answering, sending, serve
from tests.llm.hostile import ANSWERS, HEADLINE

KEY = "sk-0123456789abcdef-agent"
SCOPE = Scope(inputs=frozenset({"open", "high", "low", "close", "volume", "vwap", "returns"}))
N, ROUNDS = 3, 2
GOOD = json.dumps(
    {"expressions": ["ts_zscore(close, 12)", "rank(volume)", "returns - ts_mean(returns, 6)"]}
)


def _settings(url: str, **change: object) -> LlmSettings:
    given = {"base_url": url, "tries": 1, "max_tokens": 200, "timeout_seconds": 20, **change}
    return LlmSettings.model_validate(given)


def _run(settings: LlmSettings, ask: Ask, path: Path, notes: Sequence[str] = ()) -> AgentRun:
    budget = Budget(ask, settings.budget_tokens, settings.budget_seconds)
    proposer = ExpressionProposer(budget.ask, settings, SCOPE, n=N, seed=5)
    return run_rounds(
        proposer,
        RandomWalkJudge(),
        SCOPE,
        n_rounds=ROUNDS,
        n=N,
        seed=5,
        notes=notes,
        path=path,
    )


def _require_complete(campaign: AgentRun) -> None:
    """The campaign ended: every round has its expressions, all different, and a valid pool."""
    assert [len(each.expressions) for each in campaign.rounds] == [N] * ROUNDS
    formulas = [entry["formula"] for each in campaign.rounds for entry in each.expressions]
    assert len(set(formulas)) == N * ROUNDS
    assert len(campaign.pool) == 2
    for node in campaign.pool:
        assert check_expression(node, SCOPE).unit == PLAIN


FAULTS = {
    **SERVER_FAULTS,
    "words": (answering("I think that you should buy Bitcoin."), "0 new expressions of 3"),
    "hostile": (answering("\n".join(ANSWERS)), "0 new expressions of 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_that_a_campaign_goes_on_by_search_and_says_why(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behave, reason = FAULTS[fault]
    with serve(behave) as server, caplog.at_level(logging.WARNING):
        settings = _settings(server.url, timeout_seconds=1 if fault == "slow" else 20)
        campaign = _run(settings, ChatClient(settings).ask, tmp_path / "campaign.json")
    _require_complete(campaign)
    for each in campaign.rounds:
        assert reason in each.fallback
        assert {entry["origin"] for entry in each.expressions} == {"search"}
    assert f"round 1: search proposes: {campaign.rounds[1].fallback}" in caplog.text


def test_that_without_a_model_every_round_is_search(tmp_path: Path) -> None:
    settings = LlmSettings(base_url="http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY_HERE")
    with pytest.raises(ModelUnavailable, match="NO_SUCH_KEY_HERE holds no key") as missing:
        ChatClient(settings, {})
    campaign = run_rounds(
        None,
        RandomWalkJudge(),
        SCOPE,
        n_rounds=ROUNDS,
        n=N,
        seed=5,
        absent=str(missing.value),
        path=tmp_path / "campaign.json",
    )
    _require_complete(campaign)
    assert all("NO_SUCH_KEY_HERE" in each.fallback for each in campaign.rounds)


def test_that_what_a_model_lacks_is_made_up_by_search(tmp_path: Path) -> None:
    with serve(answering(GOOD)) as server:
        settings = _settings(server.url)
        campaign = _run(settings, ChatClient(settings).ask, tmp_path / "campaign.json")
    _require_complete(campaign)
    first, second = campaign.rounds
    assert first.fallback == "" and first.form == "grammar"
    assert [entry["origin"] for entry in first.expressions] == ["model"] * 3
    assert second.fallback == "the model gave 0 new expressions of 3"
    assert second.tally.repeated == 3
    assert campaign.shares() == {"valid": 1.0, "new": 0.5}


def _flaky() -> Behave:
    """Return a server that refuses a grammar, answers once, and is broken from then on."""
    behaviors: Iterator[Behave] = iter(
        [sending([b"unknown: grammar"], status=400), answering(GOOD[:80], finish="length")]
    )
    broken = sending([b"out of memory"], status=503)
    return lambda handler: next(behaviors, broken)(handler)


@pytest.mark.parametrize(
    "behave", [_flaky, lambda: answering(GOOD), lambda: SERVER_FAULTS["endless"][0]]
)
def test_that_a_replay_without_the_server_gives_the_same_bytes(
    behave: Callable[[], Behave], tmp_path: Path
) -> None:
    log, first, second = (tmp_path / name for name in ("log.jsonl", "first.json", "second.json"))
    with serve(behave()) as server:
        settings = _settings(server.url)
        _run(settings, Recorder(log, ChatClient(settings).ask).ask, first)
    recorded = log.read_bytes()
    _run(settings, Replayer(log).ask, second)
    assert first.read_bytes() == second.read_bytes()
    assert log.read_bytes() == recorded
    with pytest.raises(ConfigError, match="holds no answer to question"):
        _run(settings, Replayer(log).ask, tmp_path / "third.json", notes=["other news"])


def test_that_the_key_is_in_no_file_no_log_and_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    echoes = [
        sending([KEY.encode()], status=400, x_echo=KEY),
        answering(f'["{KEY}", "rank(close) + {KEY}"]', KEY),
        sending([f"bad key {KEY}".encode()], status=401),
    ]
    behaviors = iter(echoes)
    monkeypatch.setenv("THE_KEY", KEY)
    with (
        serve(lambda handler: next(behaviors, echoes[2])(handler)) as server,
        caplog.at_level(1),
    ):
        settings = _settings(server.url, api_key_env="THE_KEY", tries=2)
        recorder = Recorder(tmp_path / "log.jsonl", ChatClient(settings).ask)
        campaign = _run(settings, recorder.ask, tmp_path / "campaign.json")
    assert len(server.requests) >= 4
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers, _ in server.requests)
    _require_complete(campaign)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 2
    assert not any(KEY.encode() in path.read_bytes() for path in written)
    assert not any(KEY in f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert KEY not in f"{campaign} {settings} {settings.model_dump_json()}"
    assert KEY not in os.fsdecode(b"".join(path.read_bytes() for path in written))


def test_that_a_hostile_headline_changes_nothing_but_a_quoted_line(tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    with serve(answering(GOOD)) as server:
        settings = _settings(server.url)
        ask = ChatClient(settings).ask
        told = _run(settings, ask, tmp_path / "a.json", notes=[f"headline: {HEADLINE}"])
        plain = _run(settings, ask, tmp_path / "b.json")
    assert told.content() == plain.content()
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"a.json", "b.json"}
    for _, body in server.requests:
        assert set(body) <= {
            "grammar",
            "max_tokens",
            "messages",
            "model",
            "seed",
            "stream",
            "stream_options",
            "temperature",
        }
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert "<|" not in body["messages"][1]["content"]


def test_that_a_spent_budget_ends_the_questions_and_not_the_campaign(tmp_path: Path) -> None:
    with serve(answering(GOOD)) as server:
        settings = _settings(server.url, budget_tokens=16)
        campaign = _run(settings, ChatClient(settings).ask, tmp_path / "campaign.json")
    _require_complete(campaign)
    assert "the budget is spent" in campaign.rounds[1].fallback
    assert len(server.requests) == 1


def test_that_rounds_are_on_the_disk_as_they_end(tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    seen: list[int] = []

    def on_round(_: Round) -> None:
        seen.append(len(json.loads(path.read_text())["rounds"]))

    campaign = run_rounds(
        None, RandomWalkJudge(), SCOPE, n_rounds=3, n=2, seed=1, path=path, on_round=on_round
    )
    assert seen == [1, 2, 3]
    content = json.loads(path.read_text())
    assert content["pool"] == [format_expression(node) for node in campaign.pool]
