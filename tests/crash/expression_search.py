"""A search over alpha expressions that prints its generations until it is done or killed.

`python -m tests.crash.expression_search FOLDER`
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.evaluation.expressions.search import Search, SearchSettings
from agent_market.expressions import parse_expression
from agent_market.expressions.panel import Panel
from tests.evaluation.expressions.conftest import DESIGN, make_walk

SETTINGS = SearchSettings(seed=5, max_evaluations=2000, n_islands=2, island_size=30)


def market() -> Panel:
    """Return a market with something to find."""
    truth = parse_expression("-demean(ts_zscore(close, 12))")
    return plant_expression(make_walk(7), truth, 0.15)


def run(folder: Path) -> None:
    """Run the search in `folder`, from wherever it is, and submit what it found."""
    campaign = Campaign(folder, market(), DESIGN)
    for progress in Search(campaign, SETTINGS).run():
        print("generation", progress.generation, flush=True)  # noqa: T201 - to the test
    campaign.submit(campaign.candidates(3))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
    print("done", flush=True)  # noqa: T201
