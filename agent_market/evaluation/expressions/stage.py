"""One stage of a campaign: a panel that ends where the stage does, and what is scored on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent_market.evaluation.expressions.description import Description, describe
from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    Layout,
    ScoredFold,
    known_labels,
)
from agent_market.evaluation.expressions.scoring import Double, FloatArray, Score, Scorer
from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import Panel

MEMORY_BYTES = 1 << 28


class Stage:
    """Rows below `stop`, as if no others were known.

    Parameters
    ----------
    panel : Panel
        Of all rows; those below `stop` are copied.
    labels : ndarray of shape (n_pairs, n_rows)
        Those that use rows from `stop` on are left out.
    stop : int
    folds : sequence of ScoredFold
        Below `stop`.
    design : CampaignDesign
    threads : int
        Of the evaluator.
    """

    def __init__(
        self,
        panel: Panel,
        labels: Double,
        stop: int,
        folds: Sequence[ScoredFold],
        design: CampaignDesign,
        threads: int = 1,
    ) -> None:
        self.panel = panel.rows(0, stop)
        self.labels = known_labels(labels, stop, design.horizon_candles)
        self.folds = tuple(folds)
        self.scorer = Scorer(self.labels, folds)
        self._design = design
        self._evaluator = Evaluator(self.panel, MEMORY_BYTES, threads)

    def values(self, nodes: Sequence[Node]) -> Iterator[FloatArray]:
        """Yield the values of each expression, of shape (n_pairs, stop)."""
        return self._evaluator.evaluate(nodes)

    def scores(self, nodes: Sequence[Node]) -> Iterator[Score]:
        """Yield the score of each expression."""
        return map(self.scorer.score, self.values(nodes))

    def measures(self, nodes: Sequence[Node]) -> Iterator[tuple[Score, Double]]:
        """Yield the score of each expression, and what each block earned."""
        return map(self.scorer.measure, self.values(nodes))

    def positions(self, node: Node) -> Double:
        """Return the positions of an expression, of shape (n_pairs, stop)."""
        return self.scorer.positions(next(self.values([node])))

    def describe(self, node: Node, sign: float) -> Description:
        """Return what is told of an expression beside its score; `sign` is the search's."""
        return describe(
            next(self.values([node])),
            self.panel,
            self.labels,
            self.folds,
            self._design.horizon_candles,
            self._design.cost_bps,
            sign,
        )


def search_stage(
    panel: Panel, labels: Double, layout: Layout, design: CampaignDesign, threads: int
) -> Stage:
    """Return the stage that searches see."""
    return Stage(panel, labels, layout.search.stop, layout.folds, design, threads)


def confirmation_stage(
    panel: Panel, labels: Double, layout: Layout, design: CampaignDesign
) -> Stage:
    """Return the stage of the rows between search and vault."""
    return Stage(panel, labels, layout.confirmation.stop, [layout.confirmation_fold], design)


def vault_stage(panel: Panel, labels: Double, layout: Layout, design: CampaignDesign) -> Stage:
    """Return the stage of all rows, which scores the vault."""
    return Stage(panel, labels, layout.vault.stop, [layout.vault_fold], design)
