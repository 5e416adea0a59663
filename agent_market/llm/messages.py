"""What is asked of a language model, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from agent_market.errors import ModelUnavailable
from agent_market.store import hash_json


class Message(NamedTuple):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    max_tokens : at most so many in the answer.
    constraint : fields of the body that bind the form of the answer; empty: it is free.
    timeout_seconds : after which the answer is given up; not a part of `content`.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    seed: int
    temperature: float | None = None
    constraint: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 60.0

    def content(self) -> dict[str, Any]:
        """Return everything that decides the answer, as JSON values."""
        return {
            "model": self.model,
            "messages": [message._asdict() for message in self.messages],
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "temperature": self.temperature,
            "constraint": dict(self.constraint),
        }

    def sha256(self) -> str:
        """Return the hash that a record of the exchange is found by."""
        return hash_json(self.content())


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    finish_reason : `stop`, `length`, or whatever else the server says.
    prompt_tokens, completion_tokens : as the server says, or a token for three characters.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class NoAnswer(ModelUnavailable):
    """The server is down, slow, or answers what is no answer: go on without one.

    seconds : that went by.
    """

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class ConstraintRefused(NoAnswer):
    """The server does not take the constraint: ask for another form of answer."""


Ask: TypeAlias = Callable[[Request], Reply]
"""Asks a model, or a record of its answers; raises `NoAnswer`."""
