import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.errors import DataError
from agent_market.evaluation.gates import compare
from agent_market.evaluation.gates.comparison import (
    FEE_MULTIPLES,
    SLIPPAGE_BPS,
    _interval,
    _resampled_days,
)
from tests.evaluation.gates.gate_trades import BALANCE, FEE, evidence, trade

DAYS = 40


def _daily(profits):
    return evidence([trade(float(p), day + 0.2) for day, p in enumerate(profits)], days=DAYS)


def test_that_the_difference_and_the_returns_are_those_worked_out_by_hand():
    nothing, five = evidence([], days=DAYS), _daily([5.0] + [0.0] * (DAYS - 1))
    case = compare(nothing, five, 7).cases[0]
    assert (case.fee_multiple, case.slippage_bps) == (1.0, 0.0)
    assert case.difference_bps == pytest.approx(5 / BALANCE / DAYS * 1e4)
    assert (case.first_return, case.second_return) == (0.0, pytest.approx(5 / BALANCE))


def test_that_what_moves_both_variants_cancels_out():
    common = np.random.default_rng(1).normal(0, 30, DAYS)
    extra = np.random.default_rng(2).normal(3, 1, DAYS)
    case = compare(_daily(common), _daily(common + extra), 7).cases[0]
    assert case.difference_interval.low > 0
    alone = compare(_daily(np.zeros(DAYS)), _daily(common + extra), 7).cases[0]
    assert alone.difference_interval.low < 0 < alone.difference_interval.high


def test_that_costs_take_fees_and_slippage_of_every_filled_order():
    found = compare(evidence([], days=DAYS), _daily([5.0]), 7)
    assert len(found.cases) == len(FEE_MULTIPLES) * len(SLIPPAGE_BPS)
    for case in found.cases:
        cost = 200 * ((case.fee_multiple - 1) * FEE + case.slippage_bps / 1e4)
        assert case.second_return == pytest.approx((5 - cost) / BALANCE)


def test_that_only_whole_days_of_both_count():
    first, second = evidence([trade(1, 30)], days=30.5), evidence([trade(9, 1)], days=DAYS)
    found = compare(first, second, 7)
    assert (found.days, found.first_trades, found.second_trades) == (30, 0, 1)


def test_that_a_trade_closed_at_the_very_end_belongs_to_the_last_day():
    last = evidence([trade(5, 19, hours=24.0)], days=20)
    case = compare(evidence([], days=20), last, 7).cases[0]
    assert case.second_return == pytest.approx(5 / BALANCE)


def test_that_too_few_days_and_figures_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="share 9 whole days"):
        compare(evidence([], days=9.9), evidence([], days=DAYS), 7)
    with pytest.raises(DataError, match="profit of a closed trade"):
        compare(_daily([float("nan")]), _daily([1.0]), 7)


def test_that_a_ruined_account_has_no_interval():
    case = compare(_daily([1.0, 1.0]), _daily([-2 * BALANCE, 1.0, 1.0]), 7).cases[0]
    assert np.isnan(case.difference_bps) and np.isnan(case.difference_interval.low)


_PROFITS = st.lists(st.floats(-20, 20), min_size=10, max_size=DAYS)


@settings(max_examples=20)
@given(_PROFITS, _PROFITS, st.integers(0, 3))
def test_that_equal_seeds_give_equal_comparisons_and_exchanged_variants_opposite_ones(a, b, seed):
    there, again = (compare(_daily(a), _daily(b), seed) for _ in range(2))
    assert repr(there) == repr(again)
    back = compare(_daily(b), _daily(a), seed)
    for case, other in zip(there.cases, back.cases, strict=True):
        assert other.difference_bps == pytest.approx(-case.difference_bps, abs=1e-9)
        assert other.difference_interval.low == pytest.approx(
            -case.difference_interval.high, abs=1e-9
        )


@pytest.mark.parametrize(("days", "most"), [(10, 0.15), (60, 0.11), (180, 0.09)])
def test_that_variants_alike_are_told_apart_as_seldom_as_the_documentation_says(days, most):
    rng = np.random.default_rng(1)
    draws = [rng.normal(0, 1, days) for _ in range(400)]
    intervals = [
        _interval(each[_resampled_days(days, seed)].mean(axis=1)) for seed, each in enumerate(draws)
    ]
    assert np.mean([low > 0 or high < 0 for low, high in intervals]) < most


def test_that_a_variant_against_itself_differs_by_nothing():
    same = _daily(np.random.default_rng(3).normal(0, 5, DAYS))
    for case in compare(same, same, 7).cases:
        assert case.difference_interval == (0.0, 0.0) and case.sharpe_interval == (0.0, 0.0)
