"""An agent that climbs on its feedback finds nothing where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.expression_search import count_of_agent_pools


def test_an_agent_that_climbs_on_its_feedback_leaves_the_pool_empty(tmp_path: Path) -> None:
    found = count_of_agent_pools(tmp_path, seeds=range(3), n_rounds=20, n=10)
    assert found["proposed_by_agent"] > 0.9, "by the agent, not by the search that fills in"
    first = found["median_of_highest_t_in_first_round"]
    assert found["median_of_highest_t"] > first + 0.2, "it climbs on chance, as on anything"
    assert found["not_empty"] == 0, found


@pytest.mark.slow
def test_an_agent_leaves_the_pool_empty_on_twenty_markets(tmp_path: Path) -> None:
    found = count_of_agent_pools(tmp_path, seeds=range(20))
    assert found["not_empty"] <= 1, found
