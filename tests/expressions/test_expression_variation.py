"""Mutation and crossover: whatever comes out is of the language, plain, and within bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent_market.expressions import (
    ExpressionBounds,
    Node,
    Scope,
    canonical_form,
    check_expression,
    format_expression,
    parse_expression,
)
from agent_market.expressions.nodes import walk
from agent_market.expressions.units import PLAIN, PRICE
from agent_market.expressions.variation import Variation, replace_at, sites

SCOPE = Scope(
    features=frozenset({"%-rsi"}),
    bounds=ExpressionBounds(max_depth=6, max_nodes=24, max_window=288, max_lookback=600),
)
KINDS = ("crossover", "mutate_subtree", "mutate_point", "mutate_literal", "hoist", "wrap")


def varied(kind: str, seed: int) -> tuple[Node, Node | None]:
    vary = Variation(np.random.default_rng(seed), SCOPE)
    parent, donor = vary.sample(5), vary.sample(5)
    make: Callable[..., Node | None] = getattr(vary, kind)
    return parent, make(parent, donor) if kind == "crossover" else make(parent)


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_out_is_well_formed_canonical_and_new(kind: str) -> None:
    made = [varied(kind, seed) for seed in range(400)]
    children = [(parent, child) for parent, child in made if child is not None]
    assert len(children) > 200
    for parent, child in children:
        assert check_expression(child, SCOPE).unit == PLAIN
        assert canonical_form(child) == child
        assert child != parent


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_one_child(kind: str) -> None:
    for seed in range(30):
        assert varied(kind, seed) == varied(kind, seed)


def test_a_moved_window_leaves_the_rest_alone() -> None:
    vary = Variation(np.random.default_rng(1), SCOPE)
    parent = parse_expression("ts_zscore(close, 96)", SCOPE)
    windows = set()
    for _ in range(200):
        child = vary.mutate_literal(parent)
        assert child is not None
        text = format_expression(child)
        assert text.startswith("ts_zscore(close, ")
        windows.add(int(text.removeprefix("ts_zscore(close, ").rstrip(")")))
    assert len(windows) > 40
    assert min(windows) >= 2 and max(windows) <= 288 and 96 not in windows


def test_sites_are_every_series_with_its_unit() -> None:
    node = parse_expression("ts_mean(close / open, 12) + 2 * at('1h', close - open) / close")
    found = {format_expression(site.node): site.unit for site in sites(node)}
    assert found["close - open"] == PRICE
    assert found["close / open"] == PLAIN
    assert "2" not in found and "12" not in found
    for site in sites(node):
        assert replace_at(node, site.path, site.node) == node


def test_crossover_brings_parts_of_the_donor() -> None:
    vary = Variation(np.random.default_rng(2), SCOPE)
    parent = parse_expression("ts_zscore(returns, 12)", SCOPE)
    donor = parse_expression("rank(ts_sum(volume, 7))", SCOPE)
    texts = {format_expression(c) for _ in range(60) if (c := vary.crossover(parent, donor))}
    assert "rank(ts_sum(volume, 7))" in texts
    assert "ts_zscore(rank(ts_sum(volume, 7)), 12)" in texts
    assert "ts_zscore(volume, 12)" in texts, "a z-score takes any unit"
    assert "volume" not in texts, "a volume is no plain number"


def test_wrapping_and_hoisting_reach_parts_of_every_unit() -> None:
    vary = Variation(np.random.default_rng(5), SCOPE)
    plain = parse_expression("ts_corr(returns, volume, 36)", SCOPE)
    wrapped = {format_expression(c) for _ in range(1500) if (c := vary.wrap(plain))}
    assert any(text.startswith("ts_corr(returns, ts_rank(volume, ") for text in wrapped)
    made = parse_expression("ts_corr(returns, ts_rank(volume, 48), 36)", SCOPE)
    hoisted = {format_expression(c) for _ in range(60) if (c := vary.hoist(made))}
    assert hoisted == {"returns", "ts_rank(volume, 48)", "ts_corr(returns, volume, 36)"}


def test_a_variation_knows_only_the_series_of_its_scope() -> None:
    scope = Scope(inputs=frozenset({"close", "returns"}), bounds=SCOPE.bounds)
    vary = Variation(np.random.default_rng(3), scope)
    node = vary.sample(4)
    for _ in range(300):
        node = vary.mutate_point(node) or vary.mutate_subtree(node) or vary.sample(4)
        assert check_expression(node, scope).unit == PLAIN
    assert sum(1 for _ in walk(node)) <= 24
