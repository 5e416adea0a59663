"""Search without a language model: seeded, resumable, finds what is there and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.evaluation.expressions.campaign import Campaign
from agent_market.evaluation.expressions.layout import layout_of
from agent_market.evaluation.expressions.neighborhood import Neighborhood
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.evaluation.expressions.search import STATE, Search, SearchSettings, _niches
from agent_market.evaluation.expressions.vault import open_vault
from agent_market.expressions import ExpressionBounds, parse_expression
from agent_market.expressions.panel import Panel
from benchmarks.expression_search import count_of_pools, planted_search
from tests.evaluation.expressions.conftest import DESIGN, make_walk
from tests.evaluation.expressions.test_expression_campaign import with_other_rows_from

SETTINGS = SearchSettings(seed=3, max_evaluations=300, n_islands=2, island_size=30)


def searched(folder: Path, panel: Panel, settings: SearchSettings = SETTINGS, threads: int = 1):
    campaign = Campaign(folder, panel, DESIGN, threads=threads)
    search = Search(campaign, settings)
    return campaign, search, list(search.run())


def bytes_of(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "trials.jsonl").read_bytes(), (folder / STATE).read_bytes()


def test_one_seed_gives_the_same_bytes_on_one_thread_or_two(tmp_path: Path) -> None:
    panel = make_walk(1)
    for name, threads in (("one", 1), ("two", 2)):
        searched(tmp_path / name, panel, threads=threads)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_another_seed_searches_elsewhere(tmp_path: Path) -> None:
    panel = make_walk(1)
    one, _, _ = searched(tmp_path / "one", panel)
    other, _, _ = searched(tmp_path / "other", panel, SETTINGS.model_copy(update={"seed": 4}))
    assert len(set(one.trials) & set(other.trials)) < 60


def test_every_evaluation_is_another_expression_and_all_are_counted(tmp_path: Path) -> None:
    campaign, search, progress = searched(tmp_path, make_walk(2))
    assert len(campaign.trials) == search.n_evaluations == SETTINGS.max_evaluations
    assert [each.n_evaluations for each in progress] == [240, 300]
    assert progress[-1].best == search.best


def test_the_best_is_bettered_where_there_is_something(tmp_path: Path) -> None:
    truth = parse_expression("-demean(ts_zscore(ts_mean(close, 3), 12))")
    settings = SETTINGS.model_copy(update={"max_evaluations": 600})
    _, _, progress = searched(tmp_path, plant_expression(make_walk(3), truth, 0.15), settings)
    bounds = [each.best.score.shrunk_ic for each in progress if each.best is not None]
    assert bounds[-1] > bounds[0]


def test_a_search_begun_again_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    panel = make_walk(4)
    searched(tmp_path / "one", panel)
    for stop in (1, 1, None):
        campaign = Campaign(tmp_path / "parts", panel, DESIGN)
        for n_generations, _ in enumerate(Search(campaign, SETTINGS).run(), 1):
            if n_generations == stop:
                break
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "parts")


def test_trials_of_others_in_between_change_nothing_that_is_drawn(tmp_path: Path) -> None:
    """A language model may propose to the same campaign between two searches' lives."""
    panel = make_walk(4)
    campaign = Campaign(tmp_path, panel, DESIGN)
    next(Search(campaign, SETTINGS).run())
    campaign.score([campaign.parse("ts_zscore(volume, 77)")])
    search = Search(Campaign(tmp_path, panel, DESIGN), SETTINGS)
    list(search.run())
    assert search.n_evaluations == SETTINGS.max_evaluations
    assert len(Campaign(tmp_path, panel, DESIGN).trials) == SETTINGS.max_evaluations + 1


def test_no_row_after_the_search_changes_what_is_drawn(tmp_path: Path) -> None:
    panel = make_walk(5)
    layout = layout_of(panel.shape[1], panel.timeframe, DESIGN)
    searched(tmp_path / "one", panel)
    searched(tmp_path / "other", with_other_rows_from(panel, layout.search.stop))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")


def test_the_last_evaluations_are_neighbors_of_what_was_found(tmp_path: Path) -> None:
    changes = {"max_evaluations": 100, "n_islands": 1, "island_size": 20, "local": 0.0}
    settings = SETTINGS.model_copy(update={**changes, "climbing": 0.2})
    campaign, _, _ = searched(tmp_path, make_walk(5), settings)
    near = Neighborhood(campaign.scope)
    formulas = [trial.formula for trial in campaign.trials.values()]
    known = [near.of(campaign.parse(formula)) for formula in formulas[:80]]
    is_neighbor = [any(digest in each for each in known) for digest in campaign.trials]
    assert all(is_neighbor[80:])
    assert not all(is_neighbor[60:80]), "before, chance draws farther"


def test_climbing_tries_all_neighbors_of_the_best_before_those_of_another(tmp_path: Path) -> None:
    design = DESIGN.model_copy(update={"bounds": ExpressionBounds(max_depth=2, max_nodes=3)})
    campaign = Campaign(tmp_path, make_walk(5), design)
    changes = {"max_evaluations": 400, "n_islands": 1, "island_size": 40, "local": 1.0}
    search = Search(campaign, SETTINGS.model_copy(update=changes))
    list(search.run())
    assert search.best is not None
    near = Neighborhood(campaign.scope).of(campaign.parse(search.best.formula))
    assert set(near) <= set(campaign.trials)


def test_no_island_is_full_of_what_earns_on_the_same_days(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_evaluations": 600})
    _, search, _ = searched(tmp_path, make_walk(3), settings)
    for island in search._islands:
        niches = _niches(island)
        assert len(niches) >= 8
        assert max(map(len, niches)) <= 3, "a tenth of the island"


def test_a_search_ends_where_there_is_nothing_new(tmp_path: Path) -> None:
    design = DESIGN.model_copy(update={"bounds": ExpressionBounds(max_depth=1, max_nodes=1)})
    campaign = Campaign(tmp_path, make_walk(6), design)
    list(Search(campaign, SETTINGS).run())
    assert [trial.formula for trial in campaign.trials.values()] == ["returns"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    campaign, _, _ = searched(tmp_path, make_walk(1))
    with pytest.raises(ConfigError, match="a search with other settings"):
        Search(campaign, SETTINGS.model_copy(update={"pressure": 2.0}))


def test_a_damaged_state_is_reported(tmp_path: Path) -> None:
    campaign, _, _ = searched(tmp_path, make_walk(1))
    (tmp_path / STATE).write_text("{}")
    with pytest.raises(StateCorrupt, match="no state of a search"):
        Search(campaign, SETTINGS)


def test_a_planted_formula_is_found(tmp_path: Path) -> None:
    """On a small market; the full search is slow, and `benchmarks/expression_search.py` runs it."""
    truth = parse_expression("-demean(ts_zscore(ts_mean(close, 3), 12))")
    panel = plant_expression(make_walk(1, 6000), truth, 0.15)
    settings = SETTINGS.model_copy(update={"max_evaluations": 2500, "island_size": 60})
    campaign, _, _ = searched(tmp_path / "search", panel, settings)
    campaign.submit(campaign.candidates(3))
    found = open_vault(campaign, panel).expressions[0]
    known = Campaign(tmp_path / "known", panel, DESIGN)
    known.submit([truth])
    best = open_vault(known, panel).expressions[0]
    assert found.ic is not None and best.ic is not None
    assert abs(found.ic) >= 0.9 * abs(best.ic), (found, best)


@pytest.mark.slow
def test_a_planted_formula_is_found_with_nine_tenths_of_its_coefficient(tmp_path: Path) -> None:
    found = planted_search(tmp_path, seed=1, threads=2)
    assert found["share_of_truth"] >= 0.9, found
    assert found["seconds"] <= 180, found


def test_markets_without_alpha_leave_the_pool_empty(tmp_path: Path) -> None:
    found = count_of_pools(tmp_path, seeds=range(10), max_evaluations=200)
    assert found["not_empty"] <= 1, found


@pytest.mark.slow
def test_a_hundred_markets_without_alpha_leave_the_pool_empty(tmp_path: Path) -> None:
    found = count_of_pools(tmp_path, seeds=range(100))
    assert found["not_empty"] <= 5, found
