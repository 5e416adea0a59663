"""Expressions as FreqAI's columns: each candle its value, and no later candle in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agent_market.expressions import Node, parse_expression
from agent_market.expressions.columns import expression_columns


def frame_of(seed: int, n_rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, n_rows)))
    opened = np.append(100.0, close[:-1])
    return pd.DataFrame(
        {
            "date": pd.date_range("2025-01-01", periods=n_rows, freq="5min", tz="UTC"),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(5, 1, n_rows),
            "%-own": rng.normal(size=n_rows),
        }
    )


@pytest.fixture
def candles() -> dict[str, pd.DataFrame]:
    return {f"{name}/USDT:USDT": frame_of(seed) for seed, name in enumerate("ABC")}


@pytest.fixture
def expressions() -> dict[str, Node]:
    return {
        "expr_1": parse_expression("close / ts_mean(close, 10) - 1"),
        "expr_2": parse_expression('rank(returns) + feature("%-own")'),
        "expr_3": parse_expression('at("15m", returns)'),
    }


def test_each_pair_gets_its_values_on_its_own_index(
    candles: dict[str, pd.DataFrame], expressions: dict[str, Node]
) -> None:
    candles["B/USDT:USDT"].index += 1000
    found = expression_columns(candles, "5m", expressions)
    for pair, frame in candles.items():
        assert list(found[pair]) == ["%-expr_1", "%-expr_2", "%-expr_3"]
        expected = frame["close"] / frame["close"].rolling(10).mean() - 1
        pd.testing.assert_series_equal(found[pair]["%-expr_1"], expected, check_names=False)


def test_a_pair_that_lacks_candles_keeps_the_others_in_place(
    candles: dict[str, pd.DataFrame], expressions: dict[str, Node]
) -> None:
    whole = expression_columns(candles, "5m", expressions)
    pair = "C/USDT:USDT"
    candles[pair] = candles[pair].iloc[50:].drop(index=[200, 201])
    found = expression_columns(candles, "5m", expressions)
    assert list(found[pair].index) == list(candles[pair].index)
    assert np.isnan(found[pair].loc[202, "%-expr_1"]), "one of the ten closes is missing"
    assert found[pair].loc[399, "%-expr_1"] == whole[pair].loc[399, "%-expr_1"]
    assert found["A/USDT:USDT"]["%-expr_1"].equals(whole["A/USDT:USDT"]["%-expr_1"])


def test_no_column_knows_a_later_candle(
    candles: dict[str, pd.DataFrame], expressions: dict[str, Node]
) -> None:
    whole = expression_columns(candles, "5m", expressions)
    cut = {pair: frame.iloc[:301] for pair, frame in candles.items()}
    for pair, columns in expression_columns(cut, "5m", expressions).items():
        pd.testing.assert_frame_equal(columns, whole[pair].iloc[:301], check_exact=True)


def test_no_expression_is_no_column(candles: dict[str, pd.DataFrame]) -> None:
    found = expression_columns(candles, "5m", {})
    assert all(columns.shape == (400, 0) for columns in found.values())
