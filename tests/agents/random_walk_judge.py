"""A judge without any alpha: what it accepts is luck, but it is computed for real."""

from collections.abc import Sequence

import numpy as np

from agent_market.expressions import Node
from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.panel import panel_of_candles
from agent_market.llm import Feedback
from tests.candles import random_candles


class RandomWalkJudge:
    """Correlations with the next return of a random walk; the two highest are accepted."""

    def __init__(self) -> None:
        frames = {f"P{k}/USDT": random_candles(300, seed=k) for k in range(3)}
        panel = panel_of_candles(frames, "5m")
        close = panel.series["close"]
        self._next = np.full(close.shape, np.nan)
        self._next[:, :-1] = close[:, 1:] / close[:, :-1] - 1
        self._evaluator = Evaluator(panel)
        self._scores: dict[Node, float] = {}

    def score(self, nodes: Sequence[Node]) -> list[Feedback]:
        return [
            Feedback(node, self._score(node, values))
            for node, values in zip(nodes, self._evaluator.evaluate(nodes), strict=True)
        ]

    def accept(self) -> list[Node]:
        return sorted(self._scores, key=lambda node: -abs(self._scores[node]))[:2]

    def _score(self, node: Node, values: np.ndarray) -> float | None:
        known = np.isfinite(values) & np.isfinite(self._next)
        if known.sum() < 30 or np.ptp(values[known]) == 0:
            return None
        self._scores[node] = float(np.corrcoef(values[known], self._next[known])[0, 1])
        return self._scores[node]
