import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.llm import ConstraintRefused, Form, Message, NoAnswer, Reply, Request
from agent_market.llm.forms import FormedAsk, list_schema, read_texts

QUESTION = Request("m", (Message("user", "propose"),), max_tokens=50, seed=3)
CONSTRAINTS = {Form.GRAMMAR: {"grammar": "g"}, Form.JSON_SCHEMA: {"response_format": "s"}}
LIST = '{"expressions": ["close"]}'


class Server:
    """Says yes to some constraints and writes down what it was asked."""

    def __init__(self, offers: Callable[[Mapping[str, Any]], str | None]) -> None:
        self.offers = offers
        self.asked: list[Mapping[str, Any]] = []

    def ask(self, request: Request) -> Reply:
        self.asked.append(request.constraint)
        text = self.offers(request.constraint)
        if text is None:
            raise ConstraintRefused("unknown field")
        return Reply(text, "stop", 1, 1, 0.1)


def test_that_the_strongest_form_offered_is_found_once_and_remembered() -> None:
    server = Server(lambda constraint: None if "grammar" in constraint else LIST)
    asking = FormedAsk(server.ask, CONSTRAINTS)
    assert asking.ask(QUESTION)[1] is Form.JSON_SCHEMA
    assert asking.ask(QUESTION)[1] is Form.JSON_SCHEMA
    assert [list(constraint) for constraint in server.asked] == [
        ["grammar"],
        ["response_format"],
        ["response_format"],
    ]


def test_that_a_server_that_ignores_a_constraint_is_found_out_by_its_answer() -> None:
    server = Server(lambda constraint: LIST if "response_format" in constraint else "Sure! Here")
    asking = FormedAsk(server.ask, CONSTRAINTS)
    assert asking.ask(QUESTION)[1] is Form.GRAMMAR
    assert asking.ask(QUESTION)[1] is Form.JSON_SCHEMA


def test_that_a_server_without_any_constraint_is_asked_freely() -> None:
    asking = FormedAsk(Server(lambda constraint: None if constraint else "hm").ask, CONSTRAINTS)
    assert asking.ask(QUESTION) == (Reply("hm", "stop", 1, 1, 0.1), Form.FREE)


def test_that_a_form_that_was_asked_for_is_the_only_one_tried() -> None:
    asking = FormedAsk(Server(lambda _: None).ask, CONSTRAINTS, "grammar")
    with pytest.raises(NoAnswer, match="unknown field"):
        asking.ask(QUESTION)


def test_that_a_server_that_is_broken_for_once_keeps_its_forms() -> None:
    answers = iter([None, None])

    def ask(request: Request) -> Reply:
        if next(answers, LIST) is None and request.constraint:
            raise ConstraintRefused("HTTP 500")
        if not request.constraint:
            raise NoAnswer("HTTP 500")
        return Reply(LIST, "stop", 1, 1, 0.1)

    asking = FormedAsk(ask, CONSTRAINTS)
    with pytest.raises(NoAnswer, match="HTTP 500"):
        asking.ask(QUESTION)
    assert asking.ask(QUESTION)[1] is Form.GRAMMAR


@pytest.mark.parametrize(
    "answer",
    [
        '{"expressions": ["a + b", "rank(c)"]}',
        '["a + b", "rank(c)"]',
        'Sure! Here you are:\n```json\n["a + b", "rank(c)"]\n```\nEnjoy',
        '{"expressions": ["a + b", "rank(c)", "cut off in the mid',
        "1. a + b\n2) rank(c)",
        "- `a + b`\n* `rank(c)`;\n",
    ],
)
def test_that_a_list_is_read_however_it_is_wrapped(answer: str) -> None:
    assert read_texts(answer, 10, 50) == ["a + b", "rank(c)"]


def test_that_long_answers_are_read_within_bounds() -> None:
    answer = json.dumps({"expressions": ["x" * 1000] * 1000})
    texts = read_texts(answer, 8, 50)
    assert [len(text) for text in texts] == [51] * 8


@given(st.text() | st.text(alphabet='"\\[]{}expressions:,`-1. \n', max_size=200))
def test_that_any_answer_is_read_without_an_error(answer: str) -> None:
    assert len(read_texts(answer, 5, 10)) <= 5


def test_that_deep_nesting_is_read_without_an_error() -> None:
    assert read_texts("[" * 200_000, 5, 10) == ["[" * 11]


def test_that_the_schema_fixes_the_number_of_texts() -> None:
    schema = list_schema(4)["response_format"]["json_schema"]["schema"]
    listed = schema["properties"]["expressions"]
    assert (listed["minItems"], listed["maxItems"]) == (4, 4)
