"""A language model of 135 M parameters behind a real llama.cpp server proposes expressions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_market.expressions import Scope, check_expression
from agent_market.expressions.units import PLAIN
from agent_market.llm import Budget, ChatClient, ExpressionProposer, Form, Recorder, Replayer
from agent_market.llm.messages import Ask
from agent_market.settings import LlmSettings
from agents.expression_agent import AgentRun, run_rounds
from tests.agents.random_walk_judge import RandomWalkJudge
from tests.llm.llama_server import launch_llama

SCOPE = Scope(inputs=frozenset({"open", "high", "low", "close", "volume", "vwap", "returns"}))
N, ROUNDS = 3, 1


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with launch_llama(tmp_path_factory.mktemp("llama") / "server.log") as url:
        yield url


def _settings(url: str, form: str) -> LlmSettings:
    given = {"constraint": form, "tries": 1, "max_tokens": 120, "timeout_seconds": 300}
    return LlmSettings.model_validate({"base_url": url, **given})


def _run(settings: LlmSettings, ask: Ask, path: Path) -> AgentRun:
    budget = Budget(ask, settings.budget_tokens, settings.budget_seconds)
    proposer = ExpressionProposer(budget.ask, settings, SCOPE, n=N, seed=1)
    return run_rounds(proposer, RandomWalkJudge(), SCOPE, n_rounds=ROUNDS, n=N, seed=1, path=path)


@pytest.mark.parametrize("form", ["grammar", "json_schema", "free"])
def test_that_a_campaign_ends_with_a_valid_pool_however_the_answer_is_bound(
    form: str, llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _settings(llama, form)
    recorder = Recorder(tmp_path / "log.jsonl", ChatClient(settings).ask)
    campaign = _run(settings, recorder.ask, tmp_path / "first.json")
    assert [len(each.expressions) for each in campaign.rounds] == [N] * ROUNDS
    assert len(campaign.pool) == 2
    assert all(check_expression(node, SCOPE).unit == PLAIN for node in campaign.pool)
    assert all(each.form == form and each.tally.answers == 1 for each in campaign.rounds)
    shares = campaign.shares()
    with capsys.disabled():
        print(f"\n{form}: shares of valid and new proposals {shares}")  # noqa: T201
    if form == "grammar":
        assert shares["valid"] == 1.0
        assert [each.tally.texts for each in campaign.rounds] == [N] * ROUNDS
        assert any(entry["origin"] == "model" for entry in campaign.rounds[0].expressions)
    _run(settings, Replayer(tmp_path / "log.jsonl").ask, tmp_path / "second.json")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


def test_that_llama_cpp_is_found_to_take_a_grammar(llama: str) -> None:
    settings = _settings(llama, "auto")
    proposals = ExpressionProposer(ChatClient(settings).ask, settings, SCOPE, n=2).propose(0)
    assert proposals.form is Form.GRAMMAR
    assert proposals.tally.valid == proposals.tally.texts == 2
