"""A campaign: what is fixed beforehand, every trial counted, every decision kept.

A candidate enters the pool if, in this order,

1. its t value on the search folds passes Bonferroni's threshold for all trials counted so far;
2. no feature and no member of the pool is more alike than the design allows;
3. the pooled linear model gains by it on the search folds;
4. it has the same sign on the confirmation rows, with a t value past Bonferroni's threshold for all
   confirmations that the design allows.

The confirmation comes last, because it is what is scarce, and it is what the promise rests on: a
search that climbs on its scores finds sums of lucky parts, for which the number of trials is no
bound. The confirmation rows answer one bit a candidate, and on a market without alpha every answer
before the first false acceptance is no. So the candidates up to it are settled by the search rows
alone, and Bonferroni holds for them: the pool stays empty but for `family_error`, whatever
proposes the candidates.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from agent_market.errors import (
    ConfigError,
    DataError,
    ExpressionError,
    GateRejected,
    StateCorrupt,
)
from agent_market.evaluation.expressions.description import Description
from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    forward_returns,
    layout_of,
    scope_of,
)
from agent_market.evaluation.expressions.pool import Pool
from agent_market.evaluation.expressions.records import (
    Decision,
    Trial,
    decision_record,
    read_decision,
    read_trial,
    trial_record,
)
from agent_market.evaluation.expressions.scoring import Double, t_threshold
from agent_market.evaluation.expressions.stage import confirmation_stage, search_stage
from agent_market.expressions.accepted import (
    AcceptedExpression,
    AcceptedExpressions,
    expression_name,
    write_accepted,
)
from agent_market.expressions.canonical import canonical_form
from agent_market.expressions.nodes import Feature, Node, walk
from agent_market.expressions.panel import Panel
from agent_market.expressions.parser import check_expression, parse_expression
from agent_market.expressions.printer import format_expression
from agent_market.expressions.units import PLAIN
from agent_market.settings import Section
from agent_market.store import AppendLog, hash_bytes, hash_json, read_json, write_json

VAULT = "vault.json"
ALIKE = 3
"""Expressions that differ in their numbers alone, and are looked at side by side."""
COMPLEXITY = 3e-4
"""Information coefficient that a node must be worth."""

_DESIGN, _TRIALS, _DECISIONS = "design.json", "trials.jsonl", "decisions.jsonl"
_BATCH = 256
_CONSIDERED = 1000
_NUMBER = re.compile(r"-?[0-9.]+")


class FixedDesign(Section):
    """`design.json`: the design, and the data it was made for."""

    campaign: str
    data_hash: str
    design: CampaignDesign


class Campaign:
    """Scores expressions and decides on them; the rows of the vault are cut off at once.

    Parameters
    ----------
    folder : Path
        Of its state; one process uses it at a time.
    panel : Panel
        All rows.
    design : CampaignDesign
        A stored one must be the same.
    labels : ndarray of shape (n_pairs, n_rows), optional
        Row t uses rows t to t + horizon_candles; NaN where unknown. None: the forward return.
    threads : int
        Of the evaluator; no figure depends on it.

    Raises
    ------
    ConfigError
        The folder holds a campaign of another design or other data, or there are too few rows.

    Notes
    -----
    What was returned is on the disk: a killed process loses no trial and no decision.
    """

    def __init__(
        self,
        folder: Path,
        panel: Panel,
        design: CampaignDesign,
        *,
        labels: Double | None = None,
        threads: int = 1,
    ) -> None:
        labels = labels_of(panel, design, labels)
        layout = layout_of(panel.shape[1], panel.timeframe, design)
        self.folder, self.design = folder, design
        self.fixed = fix_design(folder, panel, labels, design)
        self.scope = scope_of(panel, design.bounds)
        self._search = search_stage(panel, labels, layout, design, threads)
        self._confirmation = confirmation_stage(panel, labels, layout, design)
        self._trial_log, records = AppendLog.open(folder / _TRIALS)
        self._trials = {trial.expression_hash: trial for trial in map(read_trial, records)}
        self._earned: dict[str, npt.NDArray[np.float32]] = {}
        self._decision_log, records = AppendLog.open(folder / _DECISIONS)
        self._decisions = {each.expression_hash: each for each in map(read_decision, records)}
        self._pool = self._filled_pool()

    @property
    def trials(self) -> Mapping[str, Trial]:
        """Every expression scored, by its hash, in the order they were counted."""
        return MappingProxyType(self._trials)

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Every candidate that was submitted, by its hash, in their order."""
        return MappingProxyType(self._decisions)

    @property
    def pool(self) -> tuple[Decision, ...]:
        """Those that were accepted."""
        return tuple(each for each in self._decisions.values() if each.is_accepted)

    @property
    def confirmations_left(self) -> int:
        """How many candidates may still be tried on the confirmation rows."""
        used = sum(each.used_a_confirmation for each in self._decisions.values())
        return self.design.max_confirmations - used

    @property
    def t_threshold(self) -> float:
        """The |t| that a candidate must exceed for the trials counted so far."""
        n_blocks = self._search.scorer.n_blocks
        return t_threshold(self.design.family_error, len(self._trials), n_blocks)

    def score(self, nodes: Iterable[Node]) -> list[Trial]:
        """Return the trial of each expression; those that are new are computed, and counted.

        Expressions that say the same are one trial. Only the search rows are read.

        Raises
        ------
        ExpressionError
            An expression is not one of the campaign's scope, or no plain number.
        GateRejected
            The vault is open: the campaign is over.
        """
        self._require_sealed()
        forms = [canonical_form(node) for node in nodes]
        texts = [format_expression(form) for form in forms]
        hashes = [hash_bytes(text.encode()) for text in texts]
        new = {
            digest: (form, text)
            for digest, form, text in zip(hashes, forms, texts, strict=True)
            if digest not in self._trials
        }
        for form, _ in new.values():
            _require_plain(form, check_expression(form, self.scope).unit)
        for batch in _batches(list(new.items())):
            measures = self._search.measures([form for _, (form, _) in batch])
            made = []
            for (digest, (_, text)), (score, earned) in zip(batch, measures, strict=True):
                made.append(Trial(digest, text, score))
                self._earned[digest] = earned.astype(np.float32)
            self._trial_log.extend(map(trial_record, made))
            self._trials.update({trial.expression_hash: trial for trial in made})
        return [self._trials[digest] for digest in hashes]

    def earned(self, trial: Trial) -> npt.NDArray[np.float32]:
        """Return what each block of the search rows earned: how alike two trials are shows in it.

        The sums of the t value; zeros where there is no score. Kept in memory, not on the disk.
        """
        if trial.expression_hash not in self._earned:
            _, earned = next(self._search.measures([self.parse(trial.formula)]))
            self._earned[trial.expression_hash] = earned.astype(np.float32)
        return self._earned[trial.expression_hash]

    def submit(self, nodes: Iterable[Node]) -> list[Decision]:
        """Return what becomes of each candidate, in their order; one decided keeps its decision.

        Raises
        ------
        ExpressionError, GateRejected
            As `score`.
        """
        decided = []
        for trial in self.score(nodes):
            if trial.expression_hash not in self._decisions:
                decision = self._decide(trial)
                self._decision_log.append(decision_record(decision))
                self._decisions[trial.expression_hash] = decision
                if decision.is_accepted:
                    self._add_to_pool(self._pool, decision)
            decided.append(self._decisions[trial.expression_hash])
        return decided

    def candidates(self, most: int | None = None, complexity: float = COMPLEXITY) -> list[Node]:
        """Return trials worth submitting, best first, none like another or like the pool.

        The 1000 best are considered, of those that differ in their numbers alone the best three.

        Parameters
        ----------
        most : int, optional
            How many; None: as many as there are confirmations left.
        complexity : float
            Taken from the coefficient for each node of an expression.
        """
        most = self.confirmations_left if most is None else most
        near = self._filled_pool()
        found: list[Node] = []
        for trial, node in self._promising(complexity):
            if len(found) >= most:
                break
            positions = self._search.positions(node)
            if near.likeness(positions).correlation <= self.design.max_correlation:
                near.add(trial.expression_hash, positions)
                found.append(node)
        return found

    def accepted(self) -> AcceptedExpressions:
        """Return the pool with its record, as `freqai_expressions.json` holds it."""
        return self._as_file(self.pool)

    def unconfirmed(self) -> AcceptedExpressions:
        """Return what the search rows alone would accept now, in the form of `accepted`.

        Nothing is decided, and the confirmation rows are not read.
        """
        pool, able = self._filled_pool(), list[Decision]()
        for trial in self.score(self.candidates()):
            decision = self._weigh(trial, pool)
            if not decision.reason:
                self._add_to_pool(pool, decision)
                able.append(decision)
        return self._as_file(able)

    def write_accepted(self, path: Path) -> None:
        """Write the pool to `path`, atomically."""
        write_accepted(path, self.accepted())

    def parse(self, formula: str) -> Node:
        """Return an expression of the campaign's scope."""
        return parse_expression(formula, self.scope)

    def require_data(self, panel: Panel, labels: Double) -> None:
        """Raise `ConfigError` where panel and labels are not those of the campaign."""
        fix_design(self.folder, panel, labels, self.design)

    def _promising(self, complexity: float) -> Iterator[tuple[Trial, Node]]:
        """Yield undecided trials past the threshold, best first, few of one form."""
        threshold = self.t_threshold
        able = [
            (trial, self.parse(trial.formula))
            for trial in self._trials.values()
            if abs(trial.score.t) > threshold and trial.expression_hash not in self._decisions
        ]
        able.sort(key=lambda each: -fitness(each[0], each[1], complexity))
        forms: Counter[str] = Counter()
        for trial, node in able[:_CONSIDERED]:
            form = form_of(trial.formula)
            forms[form] += 1
            if forms[form] <= ALIKE:
                yield trial, node

    def _as_file(self, decisions: Iterable[Decision]) -> AcceptedExpressions:
        return AcceptedExpressions(
            campaign=self.fixed.campaign,
            data_hash=self.fixed.data_hash,
            timeframe=self.scope.timeframe,
            horizon_candles=self.design.horizon_candles,
            cost_bps=self.design.cost_bps,
            n_trials=len(self._trials),
            expressions=tuple(
                _record(decision, self._trials[decision.expression_hash], self._describe(decision))
                for decision in decisions
            ),
        )

    def _decide(self, trial: Trial) -> Decision:
        decision = self._weigh(trial, self._pool)
        if decision.reason:
            return decision
        if self.confirmations_left < 1:
            return decision._replace(reason="no confirmations left")
        return self._confirm(self.parse(trial.formula), decision)

    def _weigh(self, trial: Trial, pool: Pool) -> Decision:
        """Return what the search rows say beside a pool; the reason is empty if all is well."""
        decision = Decision(
            trial.expression_hash,
            trial.formula,
            t=trial.score.t,
            t_threshold=self.t_threshold,
            n_trials=len(self._trials),
        )
        if not abs(trial.score.t) > decision.t_threshold:
            return decision._replace(reason="score")
        positions = self._search.positions(self.parse(trial.formula))
        likeness = pool.likeness(positions)
        decision = decision._replace(nearest=likeness.name, correlation=likeness.correlation)
        if likeness.correlation > self.design.max_correlation:
            return decision._replace(reason="likeness")
        gain = pool.gain(positions)
        decision = decision._replace(gain_ic=gain.ic_with - gain.ic_without, gain_t=gain.t)
        return decision if gain.t > self.design.least_gain_t else decision._replace(reason="gain")

    def _confirm(self, node: Node, decision: Decision) -> Decision:
        stage = self._confirmation
        found = next(stage.scores([node]))
        # one-sided: the sign is the search's
        error = 2 * self.design.family_error
        threshold = t_threshold(error, self.design.max_confirmations, stage.scorer.n_blocks)
        is_accepted = found.t * math.copysign(1.0, decision.t) > threshold
        return decision._replace(
            is_accepted=is_accepted,
            reason="accepted" if is_accepted else "confirmation",
            confirmation_ic=found.ic,
            confirmation_t=found.t,
            confirmation_threshold=threshold,
        )

    def _filled_pool(self) -> Pool:
        pool = Pool(self._search.scorer)
        for name in sorted(self.scope.features or ()):
            pool.add(name, self._search.positions(Feature(name)))
        for decision in self.pool:
            self._add_to_pool(pool, decision)
        return pool

    def _add_to_pool(self, pool: Pool, decision: Decision) -> None:
        name = expression_name(decision.expression_hash)
        pool.add(name, self._search.positions(self.parse(decision.formula)))

    def _describe(self, decision: Decision) -> Description:
        return self._search.describe(self.parse(decision.formula), math.copysign(1.0, decision.t))

    def _require_sealed(self) -> None:
        if (self.folder / VAULT).exists():
            raise GateRejected(
                f"the vault of campaign {self.fixed.campaign} is open ({self.folder / VAULT}): "
                "what is scored now could be chosen by it. Begin a campaign on newer data."
            )


def fitness(trial: Trial, node: Node, complexity: float) -> float:
    """Return the coefficient shrunk by what is not sure of it, less what size costs.

    The t value alone would prefer what is measured precisely to what predicts well, and the
    coefficient alone what is lucky. Rows without a value earn nothing: they would be charged no
    less by the confirmation, which refuses what has too few. Minus infinity where there is no
    score.
    """
    if not trial.score.is_valid:
        return -math.inf
    return trial.score.coverage * trial.score.shrunk_ic - complexity * sum(1 for _ in walk(node))


def form_of(formula: str) -> str:
    """Return a formula without its numbers."""
    return _NUMBER.sub("#", formula)


def labels_of(panel: Panel, design: CampaignDesign, labels: Double | None) -> Double:
    """Return the labels of a campaign, of the panel's shape."""
    if labels is None:
        return forward_returns(panel, design.horizon_candles)
    if labels.shape != panel.shape:
        raise DataError(
            f"labels have the shape {labels.shape}, the panel has {panel.shape}. Give one label a "
            "pair and row, NaN where it is unknown."
        )
    return labels


def fix_design(folder: Path, panel: Panel, labels: Double, design: CampaignDesign) -> FixedDesign:
    """Store the design where none is stored; return it.

    Raises
    ------
    ConfigError
        Another design is stored, or one for other data.
    """
    data_hash = hash_of_data(panel, labels)
    campaign = hash_json([data_hash, design.model_dump(mode="json")])[:16]
    fixed = FixedDesign(campaign=campaign, data_hash=data_hash, design=design)
    path = folder / _DESIGN
    if not path.exists():
        write_json(path, fixed.model_dump(mode="json"))
        return fixed
    try:
        stored = FixedDesign.model_validate(read_json(path))
    except ValidationError as error:
        raise StateCorrupt(
            f"{path} is no design of a campaign ({error.error_count()} faults). Restore a backup, "
            "or begin a campaign in another folder."
        ) from error
    if stored != fixed:
        what = "other data" if stored.data_hash != data_hash else "another design"
        raise ConfigError(
            f"{path} is campaign {stored.campaign}, made for {what}. A campaign keeps its design "
            "and its data: give those, or begin another in an empty folder."
        )
    return fixed


def hash_of_data(panel: Panel, labels: Double) -> str:
    """Return the SHA-256 of all that a campaign's figures depend on."""
    arrays = {**panel.series, **{f"feature {k}": v for k, v in panel.features.items()}}
    arrays["label"] = labels
    content = {name: hash_bytes(arrays[name].tobytes()) for name in sorted(arrays)}
    return hash_json([list(panel.pairs), panel.timeframe, panel.first_candle, content])


def _batches(
    items: list[tuple[str, tuple[Node, str]]],
) -> Iterator[Sequence[tuple[str, tuple[Node, str]]]]:
    for first in range(0, len(items), _BATCH):
        yield items[first : first + _BATCH]


def _require_plain(node: Node, unit: object) -> None:
    if unit != PLAIN:
        raise ExpressionError(
            f"{format_expression(node)} is {unit}, not a plain number, so pairs and times cannot "
            "be compared. Take a ratio, a rank or a z-score."
        )


def _record(decision: Decision, trial: Trial, described: Description) -> AcceptedExpression:
    score = trial.score
    return AcceptedExpression(
        name=expression_name(decision.expression_hash),
        formula=decision.formula,
        expression_hash=decision.expression_hash,
        ic=score.ic,
        icir=_or_none(score.icir),
        rank_ic=_or_none(described.rank_ic),
        fold_ics=score.fold_ics,
        t=decision.t,
        t_threshold=decision.t_threshold,
        confirmation_ic=_or_none(decision.confirmation_ic),
        confirmation_t=_or_none(decision.confirmation_t),
        confirmation_threshold=_or_none(decision.confirmation_threshold),
        nearest=decision.nearest,
        correlation=decision.correlation,
        gain_ic=decision.gain_ic,
        gain_t=decision.gain_t,
        turnover=described.turnover,
        gross_bps=described.gross_bps,
        net_bps=described.net_bps,
        decay={horizon: _or_none(ic) for horizon, ic in described.decay.items()},
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
