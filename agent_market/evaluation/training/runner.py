"""Train every model at every horizon, pair and window, and put the predictions in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan, Window
from agent_market.learning.window_tasks import WindowOutcome, WindowTask

Execute = Callable[[Sequence[WindowTask]], Iterator[WindowOutcome]]
Plans = Mapping[int, Sequence[PairPlan]]


@dataclass(frozen=True)
class Candidate:
    """A model to train at one horizon.

    name : what the report calls it. horizon : a key of the plans, in candles.
    """

    name: str
    horizon: int
    spec: ModelSpec

    @property
    def key(self) -> str:
        """Name and horizon, which tell it from every other candidate of a run."""
        return f"{self.name} h{self.horizon}"


@dataclass(frozen=True)
class PairPredictions:
    """What a candidate predicted out of sample for one pair.

    frame : one row a predicted candle, in order of time, indexed by its row in `plan.candles`:
        `date`, `candle` (its number), `trained_at`, `trusted`, a column a label, and a classifier's
        probabilities. NaN (None for a class) where not trusted or where the window was not trained.
    outcomes : of the windows, by `trained_at`.
    """

    plan: PairPlan
    frame: pd.DataFrame
    outcomes: Mapping[int, WindowOutcome]

    @property
    def errors(self) -> list[str]:
        """Why windows were not trained."""
        return [outcome.error for outcome in self.outcomes.values() if outcome.error]


def candidate_tasks(candidate: Candidate, plans: Plans) -> Iterator[WindowTask]:
    """Yield a task for every window; its key tells candidate, pair and window."""
    for plan in plans[candidate.horizon]:
        for window in plan.windows:
            task = plan.task(window, candidate.spec)
            yield replace(task, key=_key(candidate, plan, window))


def run_candidates(
    candidates: Sequence[Candidate],
    plans: Plans,
    execute: Execute,
    on_outcome: Callable[[WindowOutcome], object] = lambda _: None,
) -> dict[str, list[PairPredictions]]:
    """Return the predictions of every candidate (by `Candidate.key`), one entry a pair.

    All windows of all candidates are handed over at once, so that no process waits for the end of
    a candidate. The result does not depend on the order in which they come back.
    """
    tasks = [task for candidate in candidates for task in candidate_tasks(candidate, plans)]
    outcomes = {}
    for outcome in execute(tasks):
        outcomes[outcome.key] = outcome
        on_outcome(outcome)
    return {
        candidate.key: [_collect(candidate, plan, outcomes) for plan in plans[candidate.horizon]]
        for candidate in candidates
    }


def _key(candidate: Candidate, plan: PairPlan, window: Window) -> str:
    return f"{candidate.key}/{plan.key(window)}"


def _collect(
    candidate: Candidate, plan: PairPlan, outcomes: Mapping[str, WindowOutcome]
) -> PairPredictions:
    windows = sorted(plan.windows, key=lambda window: window.predict)
    own = {window.trained_at: outcomes[_key(candidate, plan, window)] for window in windows}
    return PairPredictions(plan, _join(_parts(plan, windows, own), plan.label_names), own)


def _parts(
    plan: PairPlan, windows: Iterable[Window], outcomes: Mapping[int, WindowOutcome]
) -> Iterator[pd.DataFrame]:
    for window in windows:
        rows = np.arange(*window.predict)
        part = pd.DataFrame(
            {
                "date": plan.candles["date"].array[rows],  # to_numpy makes an object a row
                "candle": plan.table.index[rows],
                "trained_at": window.trained_at,
                "trusted": False,
            },
            index=rows,
        )
        prediction = outcomes[window.trained_at].predictions.get(plan.pair)
        if prediction is not None:
            part = part.assign(**prediction.outputs, trusted=prediction.trusted)
        yield part


def _join(parts: Iterable[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    frame = pd.concat(list(parts))
    for label in labels:  # where no window at all could be trained
        if label not in frame:
            frame[label] = np.nan
    return frame
