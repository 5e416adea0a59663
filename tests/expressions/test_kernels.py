"""Every operator on its own: the reference, missing values, windows, and the last bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_market.expressions import Call, Constant, Evaluator, Feature, Panel
from agent_market.expressions.kernels import KERNELS
from agent_market.expressions.operators import OPERATORS, Group, Kind, Operator
from tests.expressions.expression_market import as_market, same_bits
from tests.expressions.reference import Reference

WINDOWS = (2, 3, 5, 8, 13, 37)
TIME = [operator for operator in OPERATORS.values() if operator.group is Group.TIME]
SUMS = ("ts_mean", "ts_sum", "ts_decay", "ewm")
PATTERNS = ("none", "some", "blocks", "first", "one pair", "all")


def calls(operator: Operator, windows: tuple[int, ...] = WINDOWS) -> list[Call]:
    """Return calls of an operator on x and y, and on a number where it may take one."""
    names = ("x", "y", "x")[: operator.n_series]
    series = tuple(Feature(name) for name in names)
    kinds = [argument.kind for argument in operator.arguments]
    if Kind.WINDOW in kinds:
        least = next(int(a.low) for a in operator.arguments if a.kind is Kind.WINDOW)
        shares = (0.0, 0.1, 0.5, 0.77, 1.0) if Kind.NUMBER in kinds else (None,)
        return [
            Call(operator.name, (*series, *(Constant(v) for v in (n, q) if v is not None)))
            for n in windows
            if n >= least
            for q in shares
        ]
    if Kind.NUMBER in kinds:
        return [Call(operator.name, (*series, Constant(-0.5), Constant(1)))]
    found = [Call(operator.name, series)]
    if operator.group is Group.ELEMENTWISE and operator.n_series > 1:
        found += [Call(operator.name, (*series[:-1], Constant(0.5)))]
        found += [Call(operator.name, (Constant(0), *series[1:]))]
    return found


def missing(pattern: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    lost = np.zeros(shape, bool)
    if pattern == "some":
        lost = rng.random(shape) < 0.02
    elif pattern == "blocks":
        lost[:, 40:52] = True
        lost[1, 90:] = True
    elif pattern == "first":
        lost[:, 0] = True
        lost[2, :60] = True
    elif pattern == "one pair":
        lost[0] = True
    elif pattern == "all":
        lost[:] = True
    return lost


@cache
def panel_of(pattern: str, rows: int = 120) -> Panel:
    """Two series with ties, zeros, a flat stretch and steps of a million."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 4, rows))
    x[1] = rng.integers(-1, 2, rows)
    x[2, 30:80] = 0.1
    x[3] = 1e5 + x[3].round(2)
    x[0, rows // 2 :] *= 1e6
    y[1] = rng.integers(0, 3, rows)
    for values in (x, y):
        values[missing(pattern, values.shape, rng)] = np.nan
    return Panel(("A", "B", "C", "D"), "5m", 0, {"close": x}, {"x": x, "y": y})


def test_that_every_operator_has_a_kernel() -> None:
    assert list(KERNELS) == list(OPERATORS)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_that_an_operator_equals_the_reference(operator: Operator, pattern: str) -> None:
    panel = panel_of(pattern)
    reference = Reference(as_market(panel))
    nodes = calls(operator)
    with np.errstate(all="ignore"):
        for node, values in zip(nodes, Evaluator(panel).evaluate(nodes), strict=True):
            expected = reference.values(node).to_numpy().T
            np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9, err_msg=str(node))


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_that_a_value_depends_on_its_window_alone(operator: Operator) -> None:
    """To the last bit, wherever the array begins, ends, or is cut among threads and chunks."""
    windows = (2, 3, 24, 127, 130, 257, 400)
    whole = panel_of("some", rows=3000)
    nodes = calls(operator, windows)
    everything = list(Evaluator(whole).evaluate(nodes))
    for start, stop in ((1, 3000), (1500, 2999), (2517, 2800)):
        part = Evaluator(whole.rows(start, stop))
        live = part.evaluate_last(nodes)
        for k, (node, values) in enumerate(zip(nodes, part.evaluate(nodes), strict=True)):
            window = next((int(a.value) for a in node.args if isinstance(a, Constant)), 0)
            known = operator.rows_before(window) if operator.group is Group.TIME else 0
            expected = everything[k][:, start + known : stop]
            assert same_bits(values[:, known:], expected), (node, start)
            if known < stop - start:
                assert same_bits(live[k], expected[:, -1]), (node, start)


@pytest.mark.parametrize("name", ["ts_quantile", "ts_median"])
def test_that_an_order_knows_one_zero(name: str) -> None:
    """Which of two equal zeros stands first depends on rows that have left the window."""
    x = np.random.default_rng(4).choice([-1.0, -0.0, 0.0, 1.0], (1, 3000))
    panel = Panel(("A",), "5m", 0, {"close": x}, {"x": x, "y": x})
    nodes = calls(OPERATORS[name], (4, 5, 12, 127, 450))
    late = Evaluator(panel.rows(1234, 3000)).evaluate(nodes)
    for node, values, whole in zip(nodes, late, Evaluator(panel).evaluate(nodes), strict=True):
        assert same_bits(values[:, 450:], whole[:, 1234 + 450 :]), node


@pytest.mark.parametrize("operator", TIME, ids=lambda operator: operator.name)
def test_that_a_window_that_does_not_fit_is_missing(operator: Operator) -> None:
    panel = panel_of("none")
    nodes = calls(operator, (37, 120, 121, 5000))
    for node, values in zip(nodes, Evaluator(panel).evaluate(nodes), strict=True):
        window = next(int(a.value) for a in node.args if isinstance(a, Constant))
        assert np.isnan(values[:, : operator.rows_before(window)]).all()


@settings(max_examples=60)
@example(value=2134323.362157047, sign=-1, n=270)
@given(
    value=st.floats(1e-8, 1e8),
    sign=st.sampled_from((-1, 1)),
    n=st.integers(3, 300),
)
def test_that_a_flat_window_is_flat_and_nothing_else(value: float, sign: int, n: int) -> None:
    x = np.full((1, 700), sign * value)
    y = np.random.default_rng(0).normal(size=(1, 700))
    panel = Panel(("A",), "5m", 0, {"close": x}, {"x": x, "y": y})

    def values(name: str, *names: str) -> np.ndarray:
        series = tuple(map(Feature, names or ("x",)))
        found = next(Evaluator(panel).evaluate([Call(name, (*series, Constant(n)))]))
        return found[0, OPERATORS[name].rows_before(n) :]

    for name in ("ts_mean", "ts_median", "ts_decay", "ewm", "ts_min", "delay"):
        assert (values(name) == sign * value).all(), name
    for name in ("ts_std", "ts_slope", "delta", "ts_argmax"):
        assert (values(name) == 0).all(), name
    assert (values("ts_cov", "x", "y") == 0).all()
    for name in ("ts_zscore", "ts_skew"):
        assert np.isnan(values(name)).all(), name
    assert np.isnan(values("ts_corr", "x", "y")).all()
    assert (values("ts_rank") == 0.5).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e9, 1e150, 1e300])
def test_that_nothing_is_infinite_and_scale_is_only_scale(scale: float) -> None:
    x = np.random.default_rng(1).normal(size=(3, 300))
    nodes = [node for operator in OPERATORS.values() for node in calls(operator, (7,))]
    arrays = {"x": x * scale, "y": x[::-1] * scale}
    panel = Panel(("A", "B", "C"), "5m", 0, {"close": x}, arrays)
    for node, values in zip(nodes, Evaluator(panel).evaluate(nodes), strict=True):
        assert not np.isinf(values).any(), node
    free = [calls(OPERATORS[name], (7,))[0] for name in ("ts_zscore", "ts_rank", "rank", "ts_corr")]
    one = Evaluator(Panel(("A", "B", "C"), "5m", 0, {"close": x}, {"x": x, "y": x[::-1].copy()}))
    if 1e-100 < scale < 1e100:
        for a, b in zip(Evaluator(panel).evaluate(free), one.evaluate(free), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_that_a_deviation_survives_a_large_mean() -> None:
    """The classic failure of sum of squares less square of sum."""
    x = np.random.default_rng(2).integers(-4000, 4000, (1, 500)) / 1024  # exact beside the mean
    panel = Panel(("A",), "5m", 0, {"close": x}, {"x": x + 2.0**30, "y": x})
    for name in ("ts_std", "ts_zscore", "ts_skew", "ts_slope"):
        far, near = Evaluator(panel).evaluate(
            [Call(name, (Feature(each), Constant(20))) for each in ("x", "y")]
        )
        np.testing.assert_allclose(far, near, rtol=1e-5, atol=1e-5)


def test_that_an_outlier_leaves_nothing_behind() -> None:
    x = np.random.default_rng(2).normal(size=(1, 500))
    hit = x.copy()
    hit[0, 250] = 1e200
    nodes = [node for operator in TIME for node in calls(operator, (20,))]
    clean, struck = (
        Evaluator(Panel(("A",), "5m", 0, {"close": v}, {"x": v, "y": x})).evaluate(nodes)
        for v in (x, hit)
    )
    for node, a, b in zip(nodes, clean, struck, strict=True):
        known = OPERATORS[node.operator].rows_before(20)
        assert same_bits(a[:, 251 + known :], b[:, 251 + known :]), node
        assert same_bits(a[:, :250], b[:, :250]), node
