"""What a campaign keeps of each trial and each decision, as flat records of a log."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from agent_market.evaluation.expressions.scoring import Score
from agent_market.store.append_log import Record, Value

_FOLD = "ic_fold_"
_FIGURES = ("ic", "ic_error", "gls_ic", "icir", "t", "coverage")


class Trial(NamedTuple):
    """A scored expression: canonical form's hash and text, and its score on the search folds."""

    expression_hash: str
    formula: str
    score: Score


class Decision(NamedTuple):
    """What became of a candidate, and by which figures; NaN for what was not looked at any more.

    reason : "accepted", or what it failed at: "score", "likeness", "gain", "confirmation", or
        "no confirmations left".
    """

    expression_hash: str
    formula: str
    is_accepted: bool = False
    reason: str = ""
    t: float = math.nan
    t_threshold: float = math.nan
    n_trials: int = 0
    nearest: str = ""
    correlation: float = math.nan
    gain_ic: float = math.nan
    gain_t: float = math.nan
    confirmation_ic: float = math.nan
    confirmation_t: float = math.nan
    confirmation_threshold: float = math.nan

    @property
    def used_a_confirmation(self) -> bool:
        """Whether the confirmation rows were looked at."""
        return self.is_accepted or self.reason == "confirmation"


def trial_record(trial: Trial) -> Record:
    """Return a trial as a flat record."""
    score = trial.score
    return {
        "expression_hash": trial.expression_hash,
        "formula": trial.formula,
        **{name: getattr(score, name) for name in _FIGURES},
        **{f"{_FOLD}{k}": ic for k, ic in enumerate(score.fold_ics, 1)},
    }


def read_trial(record: Record) -> Trial:
    """Return the trial of a record; what is null there is NaN."""
    folds = [_number(value) for name, value in record.items() if name.startswith(_FOLD)]
    ic, error, gls_ic, icir, t, coverage = (_number(record[name]) for name in _FIGURES)
    score = Score(ic, error, gls_ic, icir, t, coverage, tuple(folds))
    return Trial(str(record["expression_hash"]), str(record["formula"]), score)


def decision_record(decision: Decision) -> Record:
    """Return a decision as a flat record."""
    return decision._asdict()


def read_decision(record: Record) -> Decision:
    """Return the decision of a record; what is null there is NaN."""
    values: dict[str, Any] = {k: _number(v) if v is None else v for k, v in record.items()}
    return Decision(**values)


def _number(value: Value) -> float:
    return math.nan if value is None else float(value)
