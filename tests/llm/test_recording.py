import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.llm import (
    ConstraintRefused,
    Message,
    NoAnswer,
    Recorder,
    Replayer,
    Reply,
    Request,
)
from agent_market.store import AppendLog

QUESTION = Request("m", (Message("user", "propose"),), max_tokens=50, seed=3)


def _answers(request: Request) -> Reply:
    if request.constraint:
        raise ConstraintRefused("unknown field", 0.125)
    if request.seed == 4:
        raise NoAnswer("it is down", 0.25)
    return Reply(f"héllo\u2028 {request.seed} \ud800", "stop", 5, 6, 0.1 + 0.2)


def test_that_a_record_answers_as_the_server_did(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "log.jsonl", _answers)
    first, second = recorder.ask(QUESTION), recorder.ask(replace(QUESTION, seed=5))
    with pytest.raises(NoAnswer, match="it is down"):
        recorder.ask(replace(QUESTION, seed=4))
    with pytest.raises(ConstraintRefused):
        recorder.ask(replace(QUESTION, constraint={"grammar": "g"}))
    replayer = Replayer(tmp_path / "log.jsonl")
    assert replayer.ask(replace(QUESTION, seed=5)) == second
    assert replayer.ask(replace(QUESTION, timeout_seconds=1)) == first
    with pytest.raises(NoAnswer, match="it is down") as caught:
        replayer.ask(replace(QUESTION, seed=4))
    assert caught.value.seconds == 0.25
    with pytest.raises(ConstraintRefused):
        replayer.ask(replace(QUESTION, constraint={"grammar": "g"}))


def test_that_equal_questions_get_their_answers_in_order(tmp_path: Path) -> None:
    texts = iter("abc")
    recorder = Recorder(tmp_path / "log", lambda _: Reply(next(texts), "stop", 1, 1, 0.5))
    assert [recorder.ask(QUESTION).text for _ in "abc"] == ["a", "b", "c"]
    replayer = Replayer(tmp_path / "log")
    assert [replayer.ask(QUESTION).text for _ in "abc"] == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="holds no answer to question"):
        replayer.ask(QUESTION)


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, seed=9),
        replace(QUESTION, model="other"),
        replace(QUESTION, max_tokens=49),
        replace(QUESTION, temperature=0.1),
        replace(QUESTION, constraint={"grammar": "g"}),
        replace(QUESTION, messages=(Message("user", "propose!"),)),
    ],
)
def test_that_another_question_has_no_answer(tmp_path: Path, other: Request) -> None:
    Recorder(tmp_path / "log", _answers).ask(QUESTION)
    with pytest.raises(ConfigError, match="Replay with the settings, the data and the version"):
        Replayer(tmp_path / "log").ask(other)


def test_that_an_edited_answer_is_found_out(tmp_path: Path) -> None:
    Recorder(tmp_path / "log", _answers).ask(QUESTION)
    _, (record,) = AppendLog.open(tmp_path / "log")
    log, _ = AppendLog.open(tmp_path / "edited")
    log.append({**record, "text": "another"})
    with pytest.raises(StateCorrupt, match="does not match its hash"):
        Replayer(tmp_path / "edited").ask(QUESTION)


def test_that_a_record_says_what_was_asked_and_when(tmp_path: Path) -> None:
    Recorder(tmp_path / "log", _answers).ask(QUESTION)
    _, (record,) = AppendLog.open(tmp_path / "log")
    assert json.loads(str(record["request"])) == QUESTION.content()
    assert record["request_sha256"] == QUESTION.sha256()
    assert str(record["started"]).startswith("20")


def test_that_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no record of exchanges"):
        Replayer(tmp_path / "none")
