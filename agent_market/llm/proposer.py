"""Expressions that a language model proposes, each of them parsed, none of them twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from agent_market.errors import ExpressionError
from agent_market.expressions import (
    Node,
    Scope,
    check_expression,
    expression_hash,
    format_expression,
    parse_expression,
)
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.operators import OPERATORS
from agent_market.expressions.units import PLAIN
from agent_market.llm.forms import FIELD, Form, FormedAsk, list_schema, read_texts
from agent_market.llm.grammar import answer_grammar
from agent_market.llm.messages import Ask, Message, NoAnswer, Request
from agent_market.llm.prompts import fill_prompt
from agent_market.llm.quoting import as_data
from agent_market.settings import LlmSettings

EXAMPLES = (
    "rank(ts_mean(close / open - 1, 12))",
    "-ts_corr(close, volume, 24)",
    "delta(close, 6) / ts_std(close, 48)",
)
"""Shown with every question; a small model copies them, which counts as no proposal."""

_READ_MORE = 4
_SHOWN_TEXT, _SHOWN_REASON, _SHOWN_REFUSALS = 120, 160, 4
_SHOWN_BEST, _SHOWN_NEWEST, _SHOWN_NOTES = 8, 8, 12
_LONGEST_WINDOW = 288


class Feedback(NamedTuple):
    """What the search folds said of an expression; None where it has no score.

    Whether it was accepted is not in it: that depends on rows that no proposer may learn from.
    """

    node: Node
    score: float | None
    note: str = ""


@dataclass
class Tally:
    """What a round's answers held.

    valid : texts that are expressions of a plain number; of them, `copied` repeat an example of
        the prompt, `repeated` anything proposed before, and the others are new.
    """

    answers: int = 0
    texts: int = 0
    valid: int = 0
    copied: int = 0
    repeated: int = 0
    refused: list[str] = field(default_factory=list)


class Proposals(NamedTuple):
    """The new expressions of a round, how they came, and why there are no more of them.

    form : of the last answer; None where there was none.
    failure : why the model gave no (further) answer; empty where it gave all.
    """

    nodes: list[Node]
    tally: Tally
    form: Form | None
    failure: str


class ExpressionProposer:
    """Asks a model for expressions; what it answers is read as expressions or not at all.

    Parameters
    ----------
    ask : Ask
        A client, a recorder, a record, a budget.
    settings : LlmSettings
        Model, form, temperature, tries.
    scope : Scope
        What the expressions may name.
    n : int
        New expressions wanted a round.
    seed : int
        Of the model's sampling; a round adds its number.
    """

    def __init__(
        self, ask: Ask, settings: LlmSettings, scope: Scope, *, n: int, seed: int = 0
    ) -> None:
        constraints = {
            Form.GRAMMAR: {"grammar": answer_grammar(scope, n)},
            Form.JSON_SCHEMA: list_schema(n),
        }
        self._ask = FormedAsk(ask, constraints, settings.constraint)
        self._settings = settings
        self._scope = scope
        self._n = n
        self._seed = seed
        self._system = Message("system", _language(scope))
        shown = [_in_scope(text, scope) for text in EXAMPLES]
        self._examples = [node for node in shown if node is not None]
        self._copies = {expression_hash(node) for node in self._examples}
        self._seen: set[str] = set()

    def propose(
        self, number: int, feedback: Sequence[Feedback] = (), notes: Sequence[str] = ()
    ) -> Proposals:
        """Return new expressions for round `number`, at most `n`.

        Parameters
        ----------
        feedback : sequence of Feedback
            Of earlier rounds, on folds that the search may see.
        notes : sequence of str
            Texts of others, such as headlines: quoted, cut and never followed.

        Notes
        -----
        A model that fails raises nothing: what it gave until then is returned, and `failure` says
        why there is no more.
        """
        self._seen.update(expression_hash(entry.node) for entry in feedback)
        question = self._question(feedback, notes)
        tally, nodes = Tally(), list[Node]()
        form: Form | None = None
        text = question
        for attempt in range(self._settings.tries):
            try:
                reply, form = self._ask.ask(self._request(text, number, attempt))
            except NoAnswer as error:
                return Proposals(nodes, tally, form, str(error))
            refused = self._read(reply.text, tally, nodes)
            if len(nodes) >= self._n:
                break
            text = f"{question}\n\n{self._repair(refused, nodes)}"
        return Proposals(nodes[: self._n], tally, form, "")

    def _request(self, text: str, number: int, attempt: int) -> Request:
        return Request(
            model=self._settings.model,
            messages=(self._system, Message("user", text)),
            max_tokens=self._settings.max_tokens,
            seed=self._seed + number * self._settings.tries + attempt,
            temperature=self._settings.temperature,
            timeout_seconds=self._settings.timeout_seconds,
        )

    def _read(self, answer: str, tally: Tally, nodes: list[Node]) -> list[str]:
        """Add the new expressions of an answer to `nodes`; return what was refused, as data."""
        refused = []
        tally.answers += 1
        for text in read_texts(answer, _READ_MORE * self._n, self._scope.bounds.max_characters):
            tally.texts += 1
            try:
                node = _read_plain(text, self._scope)
            except ExpressionError as error:
                reason = str(error).split("\n", maxsplit=1)[0]
                refused.append(f"{as_data(text, _SHOWN_TEXT)}: {as_data(reason, _SHOWN_REASON)}")
                continue
            tally.valid += 1
            key = expression_hash(node)
            if key in self._copies:
                tally.copied += 1
            elif key in self._seen:
                tally.repeated += 1
            else:
                nodes.append(node)
            self._seen.add(key)
        tally.refused += refused[:_SHOWN_REFUSALS]
        return refused

    def _question(self, feedback: Sequence[Feedback], notes: Sequence[str]) -> str:
        examples = {FIELD: [format_expression(node) for node in self._examples]}
        lines = [_feedback_line(entry) for entry in _best_and_newest(feedback)]
        lines += [as_data(note, _SHOWN_REASON) for note in notes[:_SHOWN_NOTES]]
        return fill_prompt(
            "expressions_question",
            examples=json.dumps(examples),
            feedback="\n".join(lines) or "nothing yet",
            n=self._n,
        )

    def _repair(self, refused: Sequence[str], nodes: Sequence[Node]) -> str:
        known = [f"{format_expression(node)}: known by now" for node in nodes]
        lines = [*refused[:_SHOWN_REFUSALS], *known[:_SHOWN_REFUSALS]]
        text = "\n".join(lines) or "all of it: no expression, or one that stands above"
        return fill_prompt("expressions_repair", refused=text, n=self._n - len(nodes))


def _best_and_newest(feedback: Sequence[Feedback]) -> list[Feedback]:
    scored = [entry for entry in feedback if entry.score is not None]
    best = sorted(scored, key=lambda entry: -abs(entry.score or 0))[:_SHOWN_BEST]
    return [*best, *(entry for entry in scored[-_SHOWN_NEWEST:] if entry not in best)]


def _feedback_line(entry: Feedback) -> str:
    note = f", {as_data(entry.note, _SHOWN_REASON)}" if entry.note else ""
    return f"{format_expression(entry.node)}: score {entry.score:.4f}{note}"


def _read_plain(text: str, scope: Scope) -> Node:
    node = parse_expression(text, scope)
    unit = check_expression(node, scope).unit
    if unit != PLAIN:
        raise ExpressionError(
            f"the expression is {unit}, not a plain number. Take a ratio of two alike, or a rank."
        )
    return node


def _in_scope(text: str, scope: Scope) -> Node | None:
    try:
        return _read_plain(text, scope)
    except ExpressionError:
        return None


@cache
def _operators() -> str:
    lines = [
        f"{operator.signature}: {operator.definition}"
        for operator in OPERATORS.values()
        if operator.symbol is None
    ]
    return "\n".join(lines)


def _language(scope: Scope) -> str:
    names = [name for name in INPUTS if scope.inputs is None or name in scope.inputs]
    names += [f"feature({as_data(name, 60)})" for name in sorted(scope.features or ())[:48]]
    return fill_prompt(
        "expressions_system",
        series=", ".join(names),
        operators=_operators(),
        least_window=3,
        longest_window=min(_LONGEST_WINDOW, scope.bounds.max_window),
    )
