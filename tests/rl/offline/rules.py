"""Policies that are rules, so that their value is known."""

from collections.abc import Sequence

import numpy as np

from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.policy import Features, Policy
from agent_market.rl.policies.problem import Choices, TradingProblem


class Threshold(Policy):
    """Long above a threshold of the first feature, short below its negative, else as it is."""

    name = "threshold"

    def __init__(self, threshold: float, *, sign: int = 1) -> None:
        super().__init__()
        self.threshold, self.sign, self.n_features = threshold, sign, 4

    def fit(self, paths: Sequence[PricePath], *, cost: float, seed: int = 0) -> None:
        raise NotImplementedError

    def choices(self, features: Features) -> Choices:
        signal = self.sign * features[:, 0]
        kept = np.tile(np.arange(3), (len(features), 1))
        wanted = np.select([signal > self.threshold, signal < -self.threshold], [2, 0], -1)
        return np.where(wanted[:, None] < 0, kept, wanted[:, None])

    def dump(self) -> bytes:
        raise NotImplementedError

    def parse(self, payload: bytes) -> None:
        raise NotImplementedError


class Always(Threshold):
    """One position, whatever is seen."""

    def __init__(self, index: int) -> None:
        super().__init__(0.0)
        self.index = index

    def choices(self, features: Features) -> Choices:
        return np.full((len(features), 3), self.index)


def exact_value(
    policy: Policy, problem: TradingProblem, held: Choices, gains: Floats, discount: float
) -> float:
    """Return (1 - discount) times the policy's mean value over rows and the positions held there.

    Exact, for prices do not depend on positions: one backward pass over all positions.
    """
    choices = policy.choices(problem.features)
    positions = np.arange(len(problem.positions))
    values = np.zeros(len(positions))
    first = np.empty(len(held))
    for t in range(len(problem) - 1, -1, -1):
        chosen = choices[t]
        values = gains[t, chosen] - problem.costs[positions, chosen] + discount * values[chosen]
        if t < len(held):
            first[t] = values[held[t]]
    return float((1 - discount) * first.mean())
