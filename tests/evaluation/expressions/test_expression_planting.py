"""A planted market follows its expression: of the prices it has, not of those it had."""

from __future__ import annotations

import numpy as np
import pytest

from agent_market.evaluation.expressions.layout import forward_returns
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.expressions import parse_expression
from agent_market.expressions.evaluator import Evaluator
from tests.evaluation.expressions.conftest import make_walk


@pytest.mark.parametrize(
    "formula", ["-ts_zscore(close, 24)", "rank(delta(close, 12) / ts_std(close, 48))"]
)
def test_every_return_gains_what_the_expression_of_the_planted_candles_says(formula: str) -> None:
    panel, node = make_walk(1, 1000), parse_expression(formula)
    planted = plant_expression(panel, node, 0.1)
    values = next(Evaluator(panel).evaluate([node]))
    center, deviation = (f(values, axis=1, keepdims=True) for f in (np.nanmean, np.nanstd))
    u = np.clip((next(Evaluator(planted).evaluate([node])) - center) / deviation, -3, 3)
    returns, before = (np.diff(np.log(p.series["close"]), axis=1) for p in (planted, panel))
    gain = 0.1 * before.std(axis=1, keepdims=True) * np.nan_to_num(u)[:, :-1]
    assert np.allclose(returns - before, gain, rtol=0, atol=1e-12)


def test_planted_candles_are_candles() -> None:
    planted = plant_expression(make_walk(2, 800), parse_expression("ts_mean(returns, 6)"), 0.3)
    series = planted.series
    for name in ("open", "close"):
        assert (series["high"] >= series[name] * (1 - 1e-12)).all()
        assert (series["low"] <= series[name] * (1 + 1e-12)).all()
    gaps = series["open"][:, 1:] / series["close"][:, :-1] - 1
    assert np.abs(gaps).max() < 1e-9, "the walk has no gaps, and none was made"


def test_the_coefficient_over_one_candle_is_about_the_strength() -> None:
    node = parse_expression("rank(volume)")
    planted = plant_expression(make_walk(3, 20_000), node, 0.1)
    u = next(Evaluator(planted).evaluate([node]))[:, :-1]
    label = forward_returns(planted, 1)[:, :-1]
    each = [np.corrcoef(x, y)[0, 1] for x, y in zip(u, label, strict=True)]
    assert np.mean(each) == pytest.approx(0.1, abs=0.015)
