"""Questions to a server that speaks OpenAI's protocol, whatever it does.

An answer is read as a stream, so that one that is too long or takes too long is cut while it
arrives. Nothing is sent anywhere but to the address of the settings: no proxy, no redirect.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from agent_market.errors import ModelUnavailable
from agent_market.llm.messages import ConstraintRefused, NoAnswer, Reply, Request
from agent_market.settings import LlmSettings

_BYTES_A_TOKEN, _BYTES_BESIDE = 1024, 65_536
_CHARACTERS_A_TOKEN = 3
_SHOWN = 300
_SHORTEST_KEY = 8
_REFUSALS = frozenset({400, 404, 415, 422, 500, 501})
# a server may send the key back, and these log headers and bodies of answers
_CHATTY = ("openai", "httpx2", "httpcore2")


class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Delta = Field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0, le=10**9)
    completion_tokens: int = Field(ge=0, le=10**9)


class _Chunk(BaseModel):
    """The part of a chunk that is read; the openai client itself checks none of it."""

    choices: list[_Choice] = Field(default_factory=list)
    usage: _Usage | None = None


@dataclass
class _Answer:
    parts: list[str] = field(default_factory=list)
    finish_reason: str = ""
    usage: _Usage | None = None

    def add(self, chunk: object) -> None:
        read = _Chunk.model_validate(chunk, from_attributes=True)
        for choice in read.choices[:1]:
            self.parts.append(choice.delta.content or "")
            self.finish_reason = choice.finish_reason or self.finish_reason
        self.usage = read.usage or self.usage


class ChatClient:
    """Asks the server of `settings`; do not call it from inside a running event loop.

    Parameters
    ----------
    settings : LlmSettings
        With a `base_url`.
    environment : mapping, optional
        Where the key is read from: by its name, once, into memory only.

    Raises
    ------
    ModelUnavailable
        No address is set, the key's variable is empty, or the package `openai` is missing.
    """

    def __init__(self, settings: LlmSettings, environment: Mapping[str, str] | None = None) -> None:
        if settings.base_url is None:
            raise ModelUnavailable(
                "no language model is set. Give its address as agent_market.llm.base_url."
            )
        self._settings = settings
        self._key = _read_key(settings, os.environ if environment is None else environment)
        self._openai = _openai()
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)

    def ask(self, request: Request) -> Reply:
        """Return the answer to one question.

        Raises
        ------
        ConstraintRefused
            The server refused a question that has a constraint.
        NoAnswer
            It is down, slow, says no, or sends what is no answer. The key is in no message.
        """
        started = time.monotonic()
        try:
            answer = asyncio.run(self._answer(request))
        except NoAnswer as error:
            error.seconds = time.monotonic() - started
            raise
        text = self._without_key("".join(answer.parts))
        seconds = time.monotonic() - started
        if not text.strip():
            raise NoAnswer(self._say("the answer holds no text"), seconds)
        usage = answer.usage or _estimate(request, text)
        reason = self._without_key(answer.finish_reason)[:20]
        return Reply(text, reason, usage.prompt_tokens, usage.completion_tokens, seconds)

    async def _answer(self, request: Request) -> _Answer:
        openai = self._openai
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._read(request)
        except TimeoutError as error:
            after = f"no complete answer within {request.timeout_seconds:g} s"
            raise NoAnswer(self._say(after)) from error
        except NoAnswer as error:
            raise NoAnswer(self._say(str(error))) from None
        except openai.APIStatusError as error:
            refused = bool(request.constraint) and error.status_code in _REFUSALS
            kind = ConstraintRefused if refused else NoAnswer
            raise kind(self._say(f"HTTP {error.status_code}: {_body(error)}")) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise NoAnswer(self._say(f"{cause or type(cause).__name__}")) from None
        except openai.APIError as error:
            kind = ConstraintRefused if request.constraint else NoAnswer
            raise kind(self._say(f"an error in the answer: {error.message}")) from None
        except (ValueError, RecursionError) as error:
            found = "other fields" if isinstance(error, ValidationError) else "no JSON"
            raise NoAnswer(self._say(f"the answer is not of the protocol: {found}")) from None

    async def _read(self, request: Request) -> _Answer:
        import httpx2

        from agent_market.llm.transport import BoundedTransport

        max_bytes = _BYTES_BESIDE + _BYTES_A_TOKEN * request.max_tokens
        bounded = BoundedTransport(self._key, max_bytes)
        answer = _Answer()
        async with httpx2.AsyncClient(
            transport=bounded, trust_env=False, follow_redirects=False
        ) as http:
            client = self._openai.AsyncOpenAI(
                base_url=self._settings.base_url,
                api_key="the transport has it",
                max_retries=0,
                timeout=request.timeout_seconds,
                http_client=http,
            )
            stream = await client.chat.completions.create(**self._body(request))
            async for chunk in stream:
                answer.add(chunk)
        return answer

    def _body(self, request: Request) -> dict[str, Any]:
        extra = {self._settings.length_key: request.max_tokens, **request.constraint}
        if request.temperature is not None:
            extra["temperature"] = request.temperature
        return {
            "model": request.model,
            "messages": [message._asdict() for message in request.messages],
            "seed": request.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_body": extra,
        }

    def _say(self, what: str) -> str:
        plain = "".join(c if c.isprintable() else " " for c in self._without_key(what))
        return (
            f"language model at {self._settings.base_url}: {' '.join(plain.split())[:_SHOWN]}. "
            "See to the server, or to agent_market.llm."
        )

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def _read_key(settings: LlmSettings, environment: Mapping[str, str]) -> str | None:
    if settings.api_key_env is None:
        return None
    key = environment.get(settings.api_key_env, "").strip()
    if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable():
        raise ModelUnavailable(
            f"the environment variable {settings.api_key_env} holds no key. Export it, or "
            "leave out agent_market.llm.api_key_env if the server asks for none."
        )
    return key


def _openai() -> Any:
    try:
        return import_module("openai")
    except ImportError as error:
        raise ModelUnavailable(
            f"the package openai cannot be imported ({error}). Run "
            "`pip install -r requirements-llm.txt`."
        ) from error


def _body(error: Any) -> str:
    return str(error.body if error.body is not None else error.message)


def _estimate(request: Request, text: str) -> _Usage:
    asked = sum(len(message.content) for message in request.messages)
    return _Usage(
        prompt_tokens=asked // _CHARACTERS_A_TOKEN + 1,
        completion_tokens=len(text) // _CHARACTERS_A_TOKEN + 1,
    )
