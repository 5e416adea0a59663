import math

import numpy as np
import pandas as pd
import pytest

from agent_market.evaluation.training.sign_strategy import strategy_figures, strategy_returns

START = pd.Timestamp("2024-01-01", tz="UTC")


def _candles(opens):
    dates = pd.date_range(START, periods=len(opens), freq="5min")
    return pd.DataFrame({"date": dates, "open": opens})


def _walk(n_rows, seed=0):
    steps = np.random.default_rng(seed).normal(0, 0.002, n_rows)
    return 100 * np.exp(np.cumsum(steps))


def test_that_the_returns_are_those_worked_out_by_hand():
    # signals at rows 1 (long) and 2 (short), held for two candles each
    opens = np.array([100.0, 100.0, 110.0, 99.0, 99.0, 108.9, 50.0])
    returns = strategy_returns(_candles(opens), np.array([1, 2]), np.array([0.3, -0.1]), 2, 10.0)
    # candle 2: half long; candle 3: half long, half short; candle 4: half short; candle 5: flat
    assert list(returns["position"]) == [0.5, 0.0, -0.5, 0.0]
    assert list(returns["turnover"]) == [0.5, 0.5, 0.5, 0.5]
    expected = [0.5 * (99 / 110 - 1), 0.0, -0.5 * (108.9 / 99 - 1), 0.0]
    assert np.allclose(returns["gross"], expected)
    assert np.allclose(returns["net"], np.array(expected) - 0.5 * 10 / 10_000)
    # each return is known at the open that ends its candle
    assert returns.index[0] == START + pd.Timedelta("15min")


def test_that_what_is_open_at_the_end_of_the_data_is_sold_at_cost():
    opens = np.array([100.0, 100.0, 100.0, 100.0])
    returns = strategy_returns(_candles(opens), np.array([0, 1, 2]), np.ones(3), 4, 100.0)
    bought, held = 0.5, 0.5
    assert returns["turnover"].sum() == pytest.approx(bought + held)
    assert returns["net"].sum() == pytest.approx(-(bought + held) * 0.01)


@pytest.mark.parametrize("horizon", [1, 6])
def test_that_a_signal_earns_what_comes_after_the_next_open_and_nothing_before(horizon):
    """The first candle after a signal cannot be traded: one row too early would show here."""
    opens = _walk(6000)
    rows = np.arange(6000)
    to_next_open = np.append(opens[1:] / opens[:-1] - 1, np.nan)  # close[t] is open[t + 1]
    after = np.full(6000, np.nan)
    after[: -horizon - 1] = opens[horizon + 1 :] / opens[1:-horizon] - 1

    def gross(score):
        return strategy_returns(_candles(opens), rows, score, horizon, 0.0)["gross"].sum()

    noise = 4 * 0.002 * math.sqrt(6000)
    assert abs(gross(to_next_open)) < noise  # known at the close, worth nothing after it
    assert gross(np.roll(to_next_open, -1)) > 1.5 * noise  # a peek at the row after it
    assert gross(after) > 1.5 * noise  # the oracle of what is held
    assert gross(-after) == pytest.approx(-gross(after))


def test_that_a_position_depends_on_earlier_scores_alone():
    opens, rows = _walk(300), np.arange(300)
    score = np.random.default_rng(1).normal(size=300)
    changed = score.copy()
    changed[200:] *= -1
    before, after = (
        strategy_returns(_candles(opens), rows, each, 5, 6.0) for each in (score, changed)
    )
    same = before.index <= START + pd.Timedelta(minutes=5 * 201)
    assert same.sum() == 200
    assert before[same].equals(after[same]) and not before.equals(after)


def test_that_zero_and_missing_scores_trade_nothing():
    score = np.array([np.nan, 0.0, np.nan])
    returns = strategy_returns(_candles(_walk(20)), np.array([3, 4, 5]), score, 3, 6.0)
    assert not returns[["gross", "net", "position", "turnover"]].to_numpy().any()


def test_that_the_figures_of_a_losing_strategy_are_losses():
    opens = _walk(3000)
    score = np.random.default_rng(2).normal(size=3000)
    part = strategy_returns(_candles(opens), np.arange(3000), score, 1, 6.0)
    figures = strategy_figures([part], 6.0)
    assert figures["net"]["return_percent"] < figures["gross"]["return_percent"]
    assert figures["net"]["return_percent"] < -30 and figures["net"]["sharpe"] < 0
    assert figures["net"]["max_drawdown_percent"] > 30
    assert figures["net"]["daily"]["equity"][-1] == pytest.approx(
        1 + figures["net"]["return_percent"] / 100
    )
    low, high = figures["net"]["sharpe_interval_95"]
    assert low < figures["net"]["sharpe"] < high or low == high


def test_that_two_pairs_share_the_capital():
    opens = _walk(600)
    part = strategy_returns(_candles(opens), np.arange(600), np.ones(600), 1, 0.0)
    hedge = strategy_returns(_candles(opens), np.arange(600), -np.ones(600), 1, 0.0)
    assert strategy_figures([part, hedge], 0.0)["net"]["return_percent"] == pytest.approx(0.0)
    alone, twice = strategy_figures([part], 0.0), strategy_figures([part, part], 0.0)
    assert twice["net"]["return_percent"] == pytest.approx(alone["net"]["return_percent"])
