import pytest

from agent_market.llm import Budget, Message, NoAnswer, Reply, Request

QUESTION = Request("m", (Message("user", "propose"),), max_tokens=50, seed=3, timeout_seconds=10)


def test_that_no_answer_may_take_more_than_is_left() -> None:
    asked: list[Request] = []

    def ask(request: Request) -> Reply:
        asked.append(request)
        return Reply("x", "stop", 10, request.max_tokens, 4.0)

    budget = Budget(ask, tokens=100, seconds=100)
    budget.ask(QUESTION)
    budget.ask(QUESTION)
    with pytest.raises(NoAnswer, match="budget is spent: 110 of 100 tokens"):
        budget.ask(QUESTION)
    assert [request.max_tokens for request in asked] == [50, 40]


def test_that_time_that_failures_take_is_spent_as_well() -> None:
    timeouts: list[float] = []

    def ask(request: Request) -> Reply:
        timeouts.append(request.timeout_seconds)
        raise NoAnswer("it is slow", request.timeout_seconds)

    budget = Budget(ask, tokens=1000, seconds=25)
    for _ in range(3):
        with pytest.raises(NoAnswer, match="it is slow"):
            budget.ask(QUESTION)
    with pytest.raises(NoAnswer, match="25 of 25 s"):
        budget.ask(QUESTION)
    assert timeouts == [10, 10, 5]
