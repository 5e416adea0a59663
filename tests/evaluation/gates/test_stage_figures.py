import math
from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.errors import DataError
from agent_market.evaluation.gates import Evidence, measure
from tests.evaluation.gates.gate_trades import BALANCE, FEE, START, evidence, trade


def _figures(trades, days=30.0, seed=7):
    found = evidence(trades, days)
    return measure(found, found.start, found.end, seed)


def test_that_figures_are_those_worked_out_by_hand():
    figures = _figures([trade(10, 0), trade(-4, 1), trade(2, 2, funding=-1.0)])
    assert (figures.trades, figures.days, figures.net_profit) == (3, 30.0, 8.0)
    assert figures.hit_rate == pytest.approx(2 / 3)
    fees = 3 * 200 * FEE
    assert figures.cost_share == pytest.approx((fees + 1) / (8 + fees + 1))
    assert figures.max_drawdown == pytest.approx(4 / 1010)


def test_that_a_trade_under_water_counts_although_it_closed_with_a_profit_or_is_open():
    assert _figures([trade(5, 0, low=70.0)]).max_drawdown == pytest.approx(30 / BALANCE)
    assert _figures([trade(0, 0, hours=None, low=70.0)]).max_drawdown == pytest.approx(0.03)
    short = trade(0, 0, hours=None, low=60.0, is_short=True)
    assert _figures([short]).max_drawdown == pytest.approx(0.04)


def test_that_two_trades_open_at_once_are_under_water_together_and_two_in_turn_are_not():
    together = [trade(0, 0, hours=5, low=80.0), trade(0, 0.1, hours=5, low=80.0)]
    in_turn = [trade(0, 0, hours=2, low=80.0), trade(0, 1, hours=2, low=80.0)]
    assert _figures(together).max_drawdown == pytest.approx(0.04)
    assert _figures(in_turn).max_drawdown == pytest.approx(0.02)


def test_that_trades_of_an_earlier_stage_count_for_the_balance_only():
    found = evidence([trade(100, 0), trade(-11, 10)])
    figures = measure(found, START + timedelta(days=5), found.end, 7)
    assert (figures.trades, figures.net_profit) == (1, -11.0)
    assert figures.max_drawdown == pytest.approx(11 / 1100)


def test_that_a_trade_closed_after_the_end_is_open():
    found = evidence([trade(5, 0), trade(50, 9.99)], days=10)
    figures = measure(found, found.start, found.end, 7)
    assert (figures.trades, figures.net_profit) == (1, 5.0)


def test_that_no_trades_give_no_ratio_and_no_drawdown():
    figures = _figures([])
    assert (figures.trades, figures.max_drawdown) == (0, 0.0)
    assert math.isnan(figures.sharpe) and math.isnan(figures.hit_rate)
    assert math.isnan(figures.cost_share) and math.isnan(figures.sharpe_interval.low)


def test_that_costs_above_a_gross_loss_are_an_infinite_share():
    assert _figures([trade(-10, 0)]).cost_share == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_that_one_profit_that_is_not_finite_leaves_no_figure(value):
    figures = _figures([trade(10, day) for day in range(20)] + [trade(value, 21)])
    assert figures.trades == 21
    for each in (figures.max_drawdown, figures.sharpe, figures.hit_rate, figures.cost_share):
        assert math.isnan(each)


def test_that_an_order_that_waits_costs_nothing():
    waiting = trade(10, 0)
    waiting["orders"][1]["order_filled_timestamp"] = None
    figures = _figures([waiting])
    assert figures.cost_share == pytest.approx(100 * FEE / (10 + 100 * FEE))


def test_that_trades_without_their_columns_are_refused_by_name():
    with pytest.raises(DataError, match="min_rate"):
        Evidence("x.zip", pd.DataFrame([trade(1, 0)]).drop(columns="min_rate"), START, START, 1.0)


_TRADES = st.lists(
    st.builds(
        trade,
        st.floats(-20, 20),
        st.floats(0, 29),
        st.one_of(st.none(), st.floats(0.1, 48)),
        st.floats(60, 100),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(_TRADES)
def test_that_the_drawdown_is_never_below_that_of_realized_equity(trades):
    found = evidence(trades, days=40)
    closed = sorted(
        (t for t in trades if t["close_date"] is not pd.NaT), key=lambda t: t["close_date"]
    )
    equity = peak = BALANCE
    worst = 0.0
    for each in closed:
        equity += each["profit_abs"]
        peak = max(peak, equity)
        worst = max(worst, 1 - equity / peak)
    assert measure(found, found.start, found.end, 7).max_drawdown >= worst - 1e-9


@settings(max_examples=40)
@given(_TRADES, st.integers(0, 5))
def test_that_equal_seeds_give_equal_figures_in_any_order_of_trades(trades, seed):
    there, back = _figures(trades, 40, seed), _figures(trades[::-1], 40, seed)
    for name, value in vars(there).items():
        assert vars(back)[name] == pytest.approx(value, nan_ok=True, rel=1e-9, abs=1e-9)
    assert repr(there) == repr(_figures(trades, 40, seed))
