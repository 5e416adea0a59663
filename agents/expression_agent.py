"""The expression agent: a model or search proposes, a score judges, every round is written down.

A round always has as many new expressions as it should: what the model does not give, because it
is down, slow, hostile or repeats itself, is drawn by search, and the round says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from agent_market.expressions import (
    Node,
    Scope,
    expression_hash,
    format_expression,
    sample_expression,
)
from agent_market.llm import ExpressionProposer, Feedback
from agent_market.llm.proposer import Proposals, Tally
from agent_market.store import write_json

logger = logging.getLogger(__name__)

Score: TypeAlias = Callable[[Sequence[Node]], Sequence[Feedback]]
"""Judges new expressions on rows that the search may see, one feedback each, in their order."""

_DRAWS_A_PROPOSAL = 50
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
    expressions : formula, origin, score, and whether it was accepted.
    """

    number: int
    form: str | None
    tally: Tally
    fallback: str
    expressions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Campaign:
    """All rounds of a campaign, and the feedback on everything proposed in it."""

    rounds: list[Round] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)

    def pool(self) -> list[Node]:
        """Return the accepted expressions, oldest first."""
        return [entry.node for entry in self.feedback if entry.is_accepted]

    def shares(self) -> dict[str, float | None]:
        """Return the shares of valid and of new texts among all that the model wrote."""
        texts = sum(each.tally.texts for each in self.rounds)
        valid = sum(each.tally.valid for each in self.rounds)
        old = sum(each.tally.copied + each.tally.repeated for each in self.rounds)
        if not texts:
            return {"valid": None, "new": None}
        return {"valid": valid / texts, "new": (valid - old) / texts}

    def content(self) -> dict[str, Any]:
        """Return the campaign as JSON; it holds no time, so that a replay gives the same bytes."""
        return {
            "schema": 1,
            "rounds": [asdict(each) for each in self.rounds],
            "shares": self.shares(),
            "pool": [format_expression(node) for node in self.pool()],
        }


def run_campaign(
    proposer: ExpressionProposer | None,
    score: Score,
    scope: Scope,
    *,
    n_rounds: int,
    n: int,
    seed: int,
    notes: Sequence[str] = (),
    absent: str = "no language model is set",
    path: Path | None = None,
    on_round: Callable[[Round], object] = lambda _: None,
) -> Campaign:
    """Propose, score and record `n_rounds` rounds of `n` expressions.

    Parameters
    ----------
    proposer : ExpressionProposer, optional
        None: every round is search, and `absent` says why.
    score : callable
        Judges the expressions of a round; an error of it ends the campaign.
    notes : sequence of str
        Texts of others for the prompt.
    path : Path, optional
        Where the campaign is written, atomically, after every round.

    Returns
    -------
    Campaign
        Seed, scores and answers decide every byte of its content.
    """
    campaign = Campaign()
    seen: set[str] = set()
    for number in range(n_rounds):
        proposals = _ask(proposer, number, campaign.feedback, notes, absent)
        chosen = list(_chosen(proposals, n, scope, np.random.default_rng([seed, number]), seen))
        feedback = list(score([proposal.node for proposal in chosen]))
        campaign.feedback += feedback
        done = _describe(number, proposals, chosen, feedback, n)
        campaign.rounds.append(done)
        if done.fallback:
            logger.warning("round %d: search proposes: %s", number, done.fallback)
        if path is not None:
            write_json(path, campaign.content())
        on_round(done)
    return campaign


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


def _chosen(
    proposals: Proposals, n: int, scope: Scope, rng: np.random.Generator, seen: set[str]
) -> Iterator[Proposal]:
    """Yield up to `n` expressions not in `seen`: the model's, then drawn ones; add them to it."""
    offered = (Proposal(node, "model") for node in proposals.nodes)
    drawn = (
        Proposal(sample_expression(rng, scope, depth=_DEPTH), "search")
        for _ in range(_DRAWS_A_PROPOSAL * n)
    )
    missing = n
    for proposal in chain(offered, drawn):
        if missing == 0:
            return
        key = expression_hash(proposal.node)
        if key not in seen:
            seen.add(key)
            missing -= 1
            yield proposal


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
            "is_accepted": entry.is_accepted,
        }
        for proposal, entry in zip(chosen, feedback, strict=True)
    ]
    return Round(number, form, proposals.tally, fallback, expressions)
