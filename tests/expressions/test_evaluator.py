"""Batches of expressions: equal to the reference, to their own prefix, and to a live candle."""

from __future__ import annotations

import threading
import tracemalloc
from functools import cache

import numpy as np
import pytest

from agent_market.errors import ConfigError, ExpressionError
from agent_market.expressions import (
    Evaluator,
    Node,
    Panel,
    canonical_form,
    check_expression,
    format_expression,
    parse_expression,
    sample_expression,
)
from agent_market.expressions.kernels import KERNELS
from tests.expressions.expression_market import (
    ROWS,
    SCOPE,
    as_market,
    same_bits,
    small_panel,
)
from tests.expressions.reference import Market, Reference

N_RANDOM = 1000
UNDETERMINED = 2e-4
"""Share of values that may turn on the last bit of a sum, such as the rank of equal skews."""


@cache
def panel() -> Panel:
    return small_panel()


@cache
def random_nodes() -> list[Node]:
    """Expressions of depth 2 to 5, `at` and features among them."""
    return [
        sample_expression(np.random.default_rng(seed), SCOPE, depth=2 + seed % 4)
        for seed in range(N_RANDOM)
    ]


@cache
def random_values() -> list[np.ndarray]:
    return list(Evaluator(panel()).evaluate(random_nodes()))


def wrong_values(node: Node, values: np.ndarray, reference: Reference) -> np.ndarray:
    expected = reference.values(node).to_numpy().T
    return ~np.isclose(values, expected, rtol=1e-6, atol=1e-6, equal_nan=True)


def is_determined(node: Node, market: Market) -> np.ndarray:
    """Whether each value stays when every step is off by a share of 1e-13."""
    shaken = [Reference(market, seed).values(node).to_numpy().T for seed in range(20)]
    return np.all(
        [np.isclose(shaken[0], each, rtol=1e-6, atol=1e-6, equal_nan=True) for each in shaken],
        axis=0,
    )


def test_that_random_expressions_equal_the_reference() -> None:
    market, undetermined = as_market(panel()), 0
    reference = Reference(market)
    for node, values in zip(random_nodes(), random_values(), strict=True):
        wrong = wrong_values(node, values, reference)
        if wrong.any():  # unless the definition itself does not tell
            wrong_and_steady = int((wrong & is_determined(node, market)).sum())
            assert wrong_and_steady == 0, format_expression(node)
            undetermined += int(wrong.sum())
    size = sum(values.size for values in random_values())
    assert undetermined < UNDETERMINED * size


def test_that_random_expressions_are_mostly_known() -> None:
    assert np.mean([np.isfinite(values).mean() for values in random_values()]) > 0.6


def test_that_the_future_does_not_change_the_past() -> None:
    for rows in (1, 97, 151):
        prefix = Evaluator(panel().rows(0, rows)).evaluate(random_nodes())
        for node, values, whole in zip(random_nodes(), prefix, random_values(), strict=True):
            assert same_bits(values, whole[:, :rows]), format_expression(node)


def test_that_a_late_start_does_not_change_the_present() -> None:
    for start in (7, 40):
        late = Evaluator(panel().rows(start, ROWS)).evaluate(random_nodes())
        for node, values, whole in zip(random_nodes(), late, random_values(), strict=True):
            known = check_expression(node, SCOPE).lookback
            assert same_bits(values[:, known:], whole[:, start + known :]), format_expression(node)


def test_that_a_live_candle_equals_the_batch() -> None:
    for newest in (ROWS - 1, ROWS - 20):
        live = Evaluator(panel().rows(0, newest + 1)).evaluate_last(random_nodes())
        for node, values, whole in zip(random_nodes(), live, random_values(), strict=True):
            assert same_bits(values, whole[:, newest]), format_expression(node)


def test_that_a_live_candle_needs_no_more_than_the_lookback() -> None:
    for node, whole in zip(random_nodes(), random_values(), strict=True):
        first = ROWS - 1 - check_expression(node, SCOPE).lookback
        live = Evaluator(panel().rows(first, ROWS)).evaluate_last([node])
        assert same_bits(live[0], whole[:, -1]), format_expression(node)


def test_that_the_canonical_form_has_the_same_values() -> None:
    """The evaluator takes the canonical form: spelled out, the operators must agree."""
    plain = _Literal(panel())
    for node, values in zip(random_nodes(), random_values(), strict=True):
        if canonical_form(node) != node:
            spelled = next(plain.evaluate([node]))
            assert np.array_equal(spelled, values, equal_nan=True), format_expression(node)


class _Literal(Evaluator):
    """Evaluates expressions as they are written."""

    def _canonical(self, node: Node) -> Node:
        return node


def test_that_threads_give_the_same_bytes() -> None:
    large = _large_panel(20_000)
    nodes = random_nodes()[:60]
    one, three = (list(Evaluator(large, threads=n).evaluate(nodes)) for n in (1, 3))
    for node, a, b in zip(nodes, one, three, strict=True):
        assert same_bits(a, b), format_expression(node)


def test_that_a_thread_that_does_not_come_is_not_waited_for_and_holds_no_array() -> None:
    large, nodes, come = _large_panel(20_000), random_nodes()[:60], threading.Event()
    array = large.series["close"].nbytes
    alone, two = (Evaluator(large, memory_bytes=12 * array, threads=n) for n in (1, 2))
    expected = [values.sum(where=np.isfinite(values)) for values in alone.evaluate(nodes)]
    assert two._pool is not None
    busy = two._pool.submit(come.wait)
    tracemalloc.start()
    try:
        found = [values.sum(where=np.isfinite(values)) for values in two.evaluate(nodes)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        come.set()
    assert busy.result()
    assert found == expected
    assert peak < 15 * array  # the caller's own, and masks


def test_that_rows_half_filled_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    large = _large_panel(20_000)
    node = parse_expression("log(close / open)", SCOPE)
    expected = next(Evaluator(large).evaluate([node]))

    def fails_late(x: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
        if first > 10_000:
            raise MemoryError
        KERNELS["log"](x, out, first, last)

    evaluator = Evaluator(large, threads=2)
    with monkeypatch.context() as patch:
        patch.setattr("agent_market.expressions.evaluator.KERNELS", {**KERNELS, "log": fails_late})
        with pytest.raises(MemoryError):
            next(evaluator.evaluate([node]))
    assert same_bits(next(evaluator.evaluate([node])), expected)


def _large_panel(rows: int) -> Panel:
    repeats = -(-rows // ROWS)
    spread = {
        name: {key: np.tile(x, repeats)[:, :rows] for key, x in arrays.items()}
        for name, arrays in (("series", panel().series), ("features", panel().features))
    }
    return Panel(panel().pairs, "5m", panel().first_candle, **spread)


def test_that_memory_stays_within_the_bound() -> None:
    large = _large_panel(30_000)
    array = large.series["close"].nbytes
    nodes = random_nodes()[:80]
    bound = 12 * array
    evaluator = Evaluator(large, memory_bytes=bound)
    expected = Evaluator(large).evaluate(nodes)
    digests = [values.sum(where=np.isfinite(values)) for values in expected]
    del expected
    tracemalloc.start()
    try:
        found = [values.sum(where=np.isfinite(values)) for values in evaluator.evaluate(nodes)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == digests
    assert evaluator.peak_bytes <= bound
    assert peak < bound + 3 * array  # the caller's own, and masks


def test_that_a_bound_too_low_is_refused() -> None:
    node = parse_expression("ts_corr(returns, volume, 24)", SCOPE)
    with pytest.raises(ConfigError, match=r"memory_mb"):
        next(Evaluator(panel(), memory_bytes=10_000).evaluate([node]))


def test_that_common_parts_are_computed_once() -> None:
    texts = [f"ts_mean(log(close / open), {n})" for n in range(2, 12)]
    nodes = [parse_expression(text, SCOPE) for text in texts]
    evaluator = Evaluator(panel())
    list(evaluator.evaluate(nodes))
    assert evaluator.peak_bytes == 12 * panel().series["close"].nbytes


def test_that_a_later_batch_finds_what_an_earlier_one_computed() -> None:
    node = parse_expression("ts_mean(log(close / open), 5)", SCOPE)
    again = parse_expression("ts_mean(log(close / open), 5) * 2", SCOPE)
    evaluator = Evaluator(panel())
    first = next(evaluator.evaluate([node]))
    peak = evaluator.peak_bytes
    next(evaluator.evaluate([again]))
    assert evaluator.peak_bytes == peak + panel().series["close"].nbytes
    assert next(evaluator.evaluate([node])) is first


def test_that_values_cannot_be_changed_by_the_caller() -> None:
    for text in ("close", "close * 2"):
        values = next(Evaluator(panel()).evaluate([parse_expression(text, SCOPE)]))
        with pytest.raises(ValueError, match="read-only"):
            values[0, 0] = 1


def test_that_a_float32_panel_gives_float32_close_to_float64() -> None:
    half = Panel(
        panel().pairs,
        "5m",
        panel().first_candle,
        {name: x.astype(np.float32) for name, x in panel().series.items()},
    )
    exact = Panel(
        panel().pairs,
        "5m",
        panel().first_candle,
        {name: x.astype(np.float64) for name, x in half.series.items()},
    )
    texts = ["ts_zscore(close, 24)", "rank(ts_corr(close, volume, 9))", "ewm(high - low, 4)"]
    nodes = [parse_expression(text, SCOPE) for text in texts]
    for values, wide in zip(
        Evaluator(half).evaluate(nodes), Evaluator(exact).evaluate(nodes), strict=True
    ):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, wide, rtol=2e-3, atol=1e-4)


def test_that_a_missing_series_is_named() -> None:
    bare = Panel(panel().pairs, "5m", 0, {"close": panel().series["close"]})
    with pytest.raises(ExpressionError, match="no series 'volume'"):
        next(Evaluator(bare).evaluate([parse_expression("log(volume / volume)", SCOPE)]))
    with pytest.raises(ExpressionError, match="no feature '%-z'"):
        Evaluator(bare).evaluate_last([parse_expression('feature("%-z")', SCOPE)])


def test_that_a_part_of_constants_is_the_same_for_all_rows() -> None:
    texts = ("returns + log(2) * sqrt(3)", "where(log(2), 1, returns)", "tanh(3) + 0 * returns")
    nodes = [parse_expression(text, SCOPE) for text in texts]
    returns = next(Evaluator(panel()).evaluate([parse_expression("returns", SCOPE)]))
    expected = (returns + np.log(2) * np.sqrt(3), np.ones(panel().shape), np.tanh(3) + 0 * returns)
    for values, each in zip(Evaluator(panel()).evaluate(nodes), expected, strict=True):
        np.testing.assert_allclose(values, each, rtol=1e-15)
