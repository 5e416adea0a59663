"""Many looks at the validation rows of one training: which is kept, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent_market.rl.paths import Floats
from agent_market.rl.policies.ground import Features, Ground, Span
from agent_market.rl.policies.problem import Choices

BOTH, EARLIER, LATER = "both", "earlier", "later"


@dataclass
class Looks:
    """The values of a net that each half of the validation rows, and both together, like best.

    judgments : sum of both halves, one a look.
    """

    judgments: list[float] = field(default_factory=list)
    _best: dict[str, float] = field(default_factory=dict)
    _values: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The first look that both halves together like best."""
        return int(np.argmax(self.judgments))

    def add(self, earlier: float, later: float, state_dict: dict[str, Any]) -> None:
        """Note the judgments of a look; `state_dict` is copied if one of them is the best."""
        self.judgments.append(earlier + later)
        judgments = {BOTH: earlier + later, EARLIER: earlier, LATER: later}
        better = [kind for kind, each in judgments.items() if each > self._best.get(kind, -np.inf)]
        copied = {name: each.clone() for name, each in state_dict.items()} if better else {}
        for kind in better:
            self._best[kind], self._values[kind] = judgments[kind], copied

    def values(self, chosen_by: str) -> dict[str, Any]:
        """Return the values that `BOTH`, `EARLIER` or `LATER` like best."""
        found: dict[str, Any] = self._values[chosen_by]
        return found


def judge_halves(ground: Ground, judge: Callable[[Span], float]) -> tuple[float, float]:
    """Return what a judge of spans says of the two halves of the validation rows."""
    earlier, later = (sum(map(judge, spans)) for spans in ground.halves)
    return earlier, later


def earned_unchosen(
    ground: Ground, take: Callable[[str], object], choices: Callable[[Features], Choices]
) -> Floats:
    """Return what each half of the validation rows earns by the values that the other has chosen.

    Chosen and judged by the same rows, the best of many looks would earn something by luck alone.

    Parameters
    ----------
    ground : Ground
    take : callable
        Takes over the values chosen by `EARLIER`, `LATER` or `BOTH`; these are taken at last.
    choices : callable
        Of features, by the values taken over.
    """
    earned = []
    for chosen_by, spans in zip((LATER, EARLIER), ground.halves, strict=True):
        take(chosen_by)
        earned.append(ground.earned_by(choices, spans))
    take(BOTH)
    return np.concatenate(earned)
