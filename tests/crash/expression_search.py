"""A search over alpha expressions that prints its generations until it is done or killed.

`python -m tests.crash.expression_search FOLDER`
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.search import Search, SearchSettings
from tests.evaluation.expressions.conftest import DESIGN, make_walk

SETTINGS = SearchSettings(seed=5, max_evaluations=900, n_islands=2, island_size=30)


def run(folder: Path) -> None:
    """Run the search in `folder`, from wherever it is, and submit what it found."""
    campaign = Campaign(folder, make_walk(7), DESIGN)
    for progress in Search(campaign, SETTINGS).run():
        print("generation", progress.generation, flush=True)  # noqa: T201 - to the test
    campaign.submit(campaign.candidates(3))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
    print("done", flush=True)  # noqa: T201
