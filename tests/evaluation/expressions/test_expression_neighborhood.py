"""Neighbors: one step away, well-formed, each once, the same for everyone."""

from __future__ import annotations

import pytest

from agent_market.evaluation.expressions.campaign import form_of
from agent_market.evaluation.expressions.neighborhood import Neighborhood
from agent_market.expressions import (
    ExpressionBounds,
    Scope,
    check_expression,
    expression_hash,
    format_expression,
    parse_expression,
)
from agent_market.expressions.canonical import canonical_form
from agent_market.expressions.units import PLAIN

SERIES = frozenset({"open", "high", "low", "close", "volume", "vwap", "returns"})
BOUNDS = ExpressionBounds(max_depth=5, max_nodes=12, max_window=96, max_lookback=200)
SCOPE = Scope("5m", inputs=SERIES, features=frozenset({"%-rsi"}), bounds=BOUNDS)
START = "demean(ts_corr(ts_decay(returns, 2), volume, 36))"


def neighbors(formula: str) -> set[str]:
    near = Neighborhood(SCOPE).of(canonical_form(parse_expression(formula, SCOPE)))
    return {format_expression(node) for node in near.values()}


@pytest.mark.parametrize(
    "step",
    [
        "demean(ts_corr(ts_decay(returns, 2), volume, 24))",  # a window
        "demean(ts_corr(ts_decay(returns, 2), volume, 37))",
        "zscore(ts_corr(ts_decay(returns, 2), volume, 36))",  # an operator
        "demean(ts_corr(ts_mean(returns, 2), volume, 36))",
        "demean(ts_corr(ts_decay(returns, 2), close, 36))",  # a series
        'demean(ts_corr(ts_decay(feature("%-rsi"), 2), volume, 36))',
        "ts_corr(ts_decay(returns, 2), volume, 36)",  # a part left out
        "demean(ts_corr(returns, volume, 36))",
        "demean(ts_corr(ts_decay(returns, 2), ts_rank(volume, 24), 36))",  # a part put in
        "tanh(demean(ts_corr(ts_decay(returns, 2), volume, 36)))",
        "demean(ts_corr(ts_decay(returns, 2), volume / ts_mean(volume, 24), 36))",
    ],
)
def test_every_kind_of_step_is_among_the_neighbors(step: str) -> None:
    assert format_expression(canonical_form(parse_expression(step, SCOPE))) in neighbors(START)


def test_neighbors_are_plain_numbers_within_the_bounds_and_never_the_expression_itself() -> None:
    start = canonical_form(parse_expression(START, SCOPE))
    near = Neighborhood(SCOPE).of(start)
    assert len(near) > 100
    assert start not in near.values()
    for digest, node in near.items():
        assert check_expression(node, SCOPE).unit == PLAIN
        assert digest == expression_hash(node)
        assert canonical_form(node) == node


def test_windows_and_nesting_stop_at_the_bounds() -> None:
    deep = "demean(ts_zscore(ts_mean(tanh(returns), 96), 96))"
    assert "demean(ts_zscore(ts_mean(tanh(returns), 80), 96))" in neighbors(deep)
    assert not any("), 97)" in text or "), 115)" in text for text in neighbors(deep))
    near = Neighborhood(SCOPE).of(canonical_form(parse_expression(deep, SCOPE)))
    assert max(check_expression(node, SCOPE).depth for node in near.values()) == 5


def test_two_neighborhoods_give_the_same_neighbors_in_the_same_order() -> None:
    node = canonical_form(parse_expression(START, SCOPE))
    assert list(Neighborhood(SCOPE).of(node)) == list(Neighborhood(SCOPE).of(node))


def test_a_single_series_has_neighbors_too() -> None:
    assert {"tanh(returns)", "ts_mean(returns, 24)", "demean(returns)"} <= neighbors("returns")


def test_tuning_changes_one_number_and_nothing_else() -> None:
    node = canonical_form(parse_expression(START, SCOPE))
    near = Neighborhood(SCOPE)
    tuned = near.tuned(node)
    assert set(tuned) < set(near.of(node))
    assert {form_of(format_expression(each)) for each in tuned.values()} == {form_of(START)}


@pytest.mark.parametrize(
    "formula",
    [
        "ts_zscore(close, 24)",
        "zscore(ts_zscore(close, 24))",
        "ts_corr(close, volume, 96)",
        "delta(close, 6) / close",  # what has a unit is divided by its series
        "zscore(delta(close, 6) / close)",
        "ts_std(volume, 24) / volume",
    ],
)
def test_the_small_expressions_are_all_there(formula: str) -> None:
    assert canonical_form(parse_expression(formula, SCOPE)) in Neighborhood(SCOPE).shallow()
