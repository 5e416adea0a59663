"""Forms of an answer: bound by a grammar, by a JSON schema, or free and then read with patience."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Literal

from agent_market.llm.messages import Ask, ConstraintRefused, NoAnswer, Reply, Request

logger = logging.getLogger(__name__)

FIELD = "expressions"
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_MARKER = re.compile(r"^\s*(?:[-*+]\s+|\d{1,3}[.)]\s+)?")


class Form(Enum):
    """How an answer is bound, the strongest first."""

    GRAMMAR = "grammar"
    JSON_SCHEMA = "json_schema"
    FREE = "free"


class FormedAsk:
    """Asks for lists of texts in the strongest form that the server offers, found by trying.

    A form that the server refuses, or answers with something else, is not asked for again; a
    refused question is put in the next form. A server that refuses every form is broken, which
    says nothing of what it offers.

    Parameters
    ----------
    ask : Ask
        Where questions go.
    constraints : mapping of Form to fields of the body
        What binds the answer to each form.
    wanted : str
        `auto`, or the value of one form.
    """

    def __init__(
        self,
        ask: Ask,
        constraints: Mapping[Form, Mapping[str, Any]],
        wanted: Literal["auto", "grammar", "json_schema", "free"] = "auto",
    ) -> None:
        self._ask = ask
        self._constraints = constraints
        self._forms = [form for form in Form if wanted in ("auto", form.value)]

    def ask(self, request: Request) -> tuple[Reply, Form]:
        """Return the answer and the form it was asked for in.

        Raises
        ------
        NoAnswer
            As the question itself; a refused form is no failure while there is another.
        """
        before = list(self._forms)
        try:
            reply, form = self._ask_in_turn(request)
        except NoAnswer:
            self._forms = before
            raise
        is_other = reply.finish_reason == "stop" and _json_list(reply.text) is None
        if is_other and len(self._forms) > 1:
            self._give_up(form, "its answer is of another form")
        return reply, form

    def _ask_in_turn(self, request: Request) -> tuple[Reply, Form]:
        while True:
            form = self._forms[0]
            try:
                return self._ask(replace(request, constraint=self._constraints.get(form, {}))), form
            except ConstraintRefused as refusal:
                if len(self._forms) == 1:
                    raise
                self._give_up(form, str(refusal))

    def _give_up(self, form: Form, reason: str) -> None:
        self._forms.remove(form)
        logger.warning(
            "the server does not bind answers by %s (%s). The next form is %s.",
            form.value,
            reason,
            self._forms[0].value,
        )


def list_schema(n: int) -> dict[str, Any]:
    """Return the body's fields that bind an answer to `n` texts, as OpenAI has it."""
    texts = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": n,
        "maxItems": n,
    }
    schema = {
        "type": "object",
        "properties": {FIELD: texts},
        "required": [FIELD],
        "additionalProperties": False,
    }
    named = {"name": FIELD, "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def read_texts(answer: str, limit: int, max_characters: int) -> list[str]:
    """Return the texts that an answer lists: of JSON, else of what looks like it, else its lines.

    At most `limit` texts come back; one with more than `max_characters` is cut after one more, so
    that whoever reads it can refuse it.
    """
    found = _json_list(answer)
    if found is None:
        pieces: Iterator[str] = (match[1] for match in _QUOTED.finditer(answer))
        found = [_unescape(piece) for piece, _ in zip(pieces, range(4 * limit), strict=False)]
        found = [text for text in found if text != FIELD]
    if not found:
        found = [_MARKER.sub("", line).strip(" `,;") for line in answer.splitlines()[: 4 * limit]]
    texts = [text.strip() for text in found if text.strip()]
    return [text[: max_characters + 1] for text in texts[:limit]]


def _json_list(answer: str) -> list[str] | None:
    try:
        content = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        content = content.get(FIELD)
    if not isinstance(content, list):
        return None
    return [item for item in content if isinstance(item, str)]


def _unescape(piece: str) -> str:
    try:
        return str(json.loads(f'"{piece}"'))
    except ValueError:
        return piece
