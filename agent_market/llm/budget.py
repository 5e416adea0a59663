"""How many tokens and seconds a campaign may ask a model for."""

from __future__ import annotations

from dataclasses import replace

from agent_market.llm.messages import Ask, NoAnswer, Reply, Request

_LEAST_TOKENS, _LEAST_SECONDS = 16, 0.5


class Budget:
    """Lets questions through while tokens and seconds are left, and shortens the last ones.

    The time is what the exchanges say, not the clock, so that a replayed run ends where the
    recorded one did. An answer never takes more than is left; only its prompt may.
    """

    def __init__(self, ask: Ask, tokens: int, seconds: float) -> None:
        self._ask = ask
        self._tokens = tokens
        self._seconds = seconds
        self.spent_tokens = 0
        self.spent_seconds = 0.0

    def ask(self, request: Request) -> Reply:
        """Ask within the budget.

        Raises
        ------
        NoAnswer
            It is spent, or whatever the question itself raises.
        """
        tokens = min(request.max_tokens, self._tokens - self.spent_tokens)
        seconds = min(request.timeout_seconds, self._seconds - self.spent_seconds)
        if tokens < _LEAST_TOKENS or seconds < _LEAST_SECONDS:
            raise NoAnswer(
                f"the budget is spent: {self.spent_tokens:,} of {self._tokens:,} tokens, "
                f"{self.spent_seconds:.0f} of {self._seconds:.0f} s. Raise "
                "agent_market.llm.budget_tokens or budget_seconds."
            )
        try:
            reply = self._ask(replace(request, max_tokens=tokens, timeout_seconds=seconds))
        except NoAnswer as error:
            self.spent_seconds += error.seconds
            raise
        self.spent_tokens += reply.prompt_tokens + reply.completion_tokens
        self.spent_seconds += reply.seconds
        return reply
