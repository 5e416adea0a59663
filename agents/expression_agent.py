"""The expression agent: a model or search proposes, a judge scores, every round is written down.

A round always has as many new expressions as it should: what the model does not give, because it
is down, slow, hostile or repeats itself, is drawn by search, and the round says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from agent_market.expressions import Node, Scope, expression_hash, format_expression
from agent_market.expressions.variation import Variation
from agent_market.llm import ExpressionProposer, Feedback
from agent_market.llm.proposer import Proposals, Tally
from agent_market.store import write_json

logger = logging.getLogger(__name__)


class Judge(Protocol):
    """Scores what is proposed, and decides in the end what is accepted."""

    def score(self, nodes: Sequence[Node]) -> Sequence[Feedback]:
        """Return a feedback on each expression, from rows that the search may see."""

    def accept(self) -> Sequence[Node]:
        """Return the expressions of the pool."""


_DRAWS_A_PROPOSAL, _PARENTS = 50, 10
_DEPTH = 4


class Proposal(NamedTuple):
    """One expression of a round and who proposed it."""

    node: Node
    origin: Literal["model", "search"]


@dataclass
class Round:
    """What one round did.

    form : how the model's last answer was bound; None where there was no answer.
    tally : what its answers held.
    fallback : why search had to propose; empty where it had not.
    expressions : formula, origin and score.
    """

    number: int
    form: str | None
    tally: Tally
    fallback: str
    expressions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class AgentRun:
    """All rounds of a run, the feedback on what was proposed, and what was accepted."""

    rounds: list[Round] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    pool: list[Node] = field(default_factory=list)

    def shares(self) -> dict[str, float | None]:
        """Return the shares of valid and of new texts among all that the model wrote."""
        texts = sum(each.tally.texts for each in self.rounds)
        valid = sum(each.tally.valid for each in self.rounds)
        old = sum(each.tally.copied + each.tally.repeated for each in self.rounds)
        if not texts:
            return {"valid": None, "new": None}
        return {"valid": valid / texts, "new": (valid - old) / texts}

    def content(self) -> dict[str, Any]:
        """Return the run as JSON; it holds no time, so that a replay gives the same bytes."""
        return {
            "schema": 1,
            "rounds": [asdict(each) for each in self.rounds],
            "shares": self.shares(),
            "pool": [format_expression(node) for node in self.pool],
        }


def run_rounds(
    proposer: ExpressionProposer | None,
    judge: Judge,
    scope: Scope,
    *,
    n_rounds: int,
    n: int,
    seed: int,
    known: Sequence[Feedback] = (),
    notes: Sequence[str] = (),
    absent: str = "no language model is set",
    path: Path | None = None,
    on_round: Callable[[Round], object] = lambda _: None,
) -> AgentRun:
    """Propose, score and record `n_rounds` rounds of `n` expressions.

    Parameters
    ----------
    proposer : ExpressionProposer, optional
        None: every round is search, and `absent` says why.
    judge : Judge
        Accepts after the last round, so that no proposal follows from what was accepted.
    known : sequence of Feedback
        On what was scored before on the same rows: not proposed again.
    notes : sequence of str
        Texts of others for the prompt.
    path : Path, optional
        Where the run is written, atomically, after every round.

    Returns
    -------
    AgentRun
        Seed, scores and answers decide every byte of its content.
    """
    run = AgentRun(feedback=list(known))
    seen = {expression_hash(entry.node) for entry in known}
    for number in range(n_rounds):
        proposals = _ask(proposer, number, run.feedback, notes, absent)
        drawn = _drawn(np.random.default_rng([seed, number]), scope, run.feedback, n)
        chosen = list(_chosen(proposals.nodes, drawn, n, seen))
        feedback = list(judge.score([proposal.node for proposal in chosen]))
        run.feedback += feedback
        done = _describe(number, proposals, chosen, feedback, n)
        run.rounds.append(done)
        if done.fallback:
            logger.warning("round %d: search proposes: %s", number, done.fallback)
        _store(run, path)
        on_round(done)
    run.pool = list(judge.accept())
    _store(run, path)
    return run


def _store(run: AgentRun, path: Path | None) -> None:
    if path is not None:
        write_json(path, run.content())


def _ask(
    proposer: ExpressionProposer | None,
    number: int,
    feedback: Sequence[Feedback],
    notes: Sequence[str],
    absent: str,
) -> Proposals:
    if proposer is None:
        return Proposals([], Tally(), None, absent)
    return proposer.propose(number, feedback, notes)


def _drawn(
    rng: np.random.Generator, scope: Scope, feedback: Sequence[Feedback], n: int
) -> Iterator[Node]:
    """Yield new drawings and variations of the best, in turn; more than anybody should need."""
    vary = Variation(rng, scope)
    scored = [entry for entry in feedback if entry.score is not None]
    best = sorted(scored, key=lambda entry: -abs(entry.score or 0))[:_PARENTS]
    for _ in range(_DRAWS_A_PROPOSAL * n):
        yield vary.sample(_DEPTH)
        if best:
            parent, donor = (best[int(k)].node for k in rng.integers(len(best), size=2))
            for child in (vary.crossover(parent, donor), vary.mutate_subtree(parent)):
                if child is not None:
                    yield child


def _chosen(
    offered: Sequence[Node], drawn: Iterator[Node], n: int, seen: set[str]
) -> Iterator[Proposal]:
    """Yield `n` expressions not in `seen`: those offered, then drawn ones; add them to it."""
    by_model = (Proposal(node, "model") for node in offered)
    by_search = (Proposal(node, "search") for node in drawn)
    missing = n
    for proposal in chain(by_model, by_search):
        key = expression_hash(proposal.node)
        if key not in seen:
            seen.add(key)
            missing -= 1
            yield proposal
        if missing == 0:
            return


def _describe(
    number: int,
    proposals: Proposals,
    chosen: Sequence[Proposal],
    feedback: Sequence[Feedback],
    n: int,
) -> Round:
    by_model = sum(proposal.origin == "model" for proposal in chosen)
    fallback = proposals.failure
    if not fallback and by_model < n:
        fallback = f"the model gave {by_model} new expressions of {n}"
    form = None if proposals.form is None else proposals.form.value
    expressions = [
        {
            "formula": format_expression(proposal.node),
            "origin": proposal.origin,
            "score": entry.score,
        }
        for proposal, entry in zip(chosen, feedback, strict=True)
    ]
    return Round(number, form, proposals.tally, fallback, expressions)
