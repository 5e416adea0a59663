import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.decisions import kelly_exposure, leverage_for, stake_fraction
from agent_market.settings import SizingSettings

SIZING = SizingSettings()
anything = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([5e-324, 1e300, 1e9])
)


@given(prediction=anything, volatility=anything, multiplier=st.floats(0, 2), bias=anything)
def test_that_a_stake_share_stays_between_nothing_and_one(
    prediction: float, volatility: float, multiplier: float, bias: float
) -> None:
    share = stake_fraction(
        prediction, volatility, SIZING, multiplier=multiplier, bias_multiplier=bias
    )
    assert 0 <= share <= 1
    if multiplier >= 1 and bias >= 1:
        assert share >= SIZING.floor


def test_that_the_stake_grows_with_the_prediction_and_shrinks_with_volatility() -> None:
    assert stake_fraction(0.003, 0.0025, SIZING) == 1
    assert stake_fraction(-0.0015, 0.0025, SIZING) == pytest.approx(0.5)
    assert stake_fraction(0.003, 0.005, SIZING) == pytest.approx(0.5)


def test_that_mode_and_bias_scale_the_stake_and_a_bias_of_nothing_takes_none() -> None:
    half = {"multiplier": 0.5}
    assert stake_fraction(0.003, 0.0025, SIZING, **half) == pytest.approx(0.5)
    assert stake_fraction(0.003, 0.0025, SIZING, **half, bias_multiplier=1.5) == pytest.approx(0.75)
    assert stake_fraction(0.003, 0.0025, SIZING, **half, bias_multiplier=1e9) == pytest.approx(1)
    assert stake_fraction(0.003, 0.0025, SIZING, bias_multiplier=0) == 0
    assert stake_fraction(0.003, 0.0025, SIZING, bias_multiplier=math.nan) == 0


@given(volatility=anything, cap=st.floats(1, 125))
def test_that_leverage_is_a_bucket_within_the_exchange_limit(volatility: float, cap: float) -> None:
    leverage = leverage_for(volatility, cap, SIZING)
    assert leverage in SIZING.leverage_buckets
    assert leverage <= cap


def test_that_leverage_keeps_volatility_at_its_target() -> None:
    target = SIZING.target_volatility_bps / 1e4
    assert leverage_for(target / 2.5, 100, SIZING) == 2
    assert leverage_for(target, 100, SIZING) == 1
    assert leverage_for(math.nan, 100, SIZING) == 1


def test_that_kelly_is_half_the_edge_after_costs_over_the_variance() -> None:
    assert kelly_exposure(0.0018, 0.004, 12, SIZING) == pytest.approx(0.5 * 0.0008 / (12 * 1.6e-5))
    assert kelly_exposure(-0.0018, 0.004, 12, SIZING) == kelly_exposure(0.0018, 0.004, 12, SIZING)


@pytest.mark.parametrize(
    ("prediction", "volatility"),
    [(0.0009, 0.004), (math.nan, 0.004), (math.inf, 0.004), (0.01, 0.0), (0.01, math.nan)],
)
def test_that_kelly_takes_nothing_below_costs_or_of_what_is_no_number(
    prediction: float, volatility: float
) -> None:
    assert kelly_exposure(prediction, volatility, 12, SIZING) == 0


def test_that_kelly_is_the_share_at_which_wealth_grows_fastest() -> None:
    """Against the growth of wealth itself, on a normal return."""
    mean, spread = 2e-4, 0.01
    points, weights = np.polynomial.hermite_e.hermegauss(41)
    growth = {
        share: float(weights @ np.log1p(share * (mean + spread * points)))
        for share in np.arange(0.5, 4.0, 0.125)
    }
    full = SizingSettings(kelly_fraction=1, cost_bps=0)
    best = max(growth, key=lambda share: growth[share])
    assert kelly_exposure(mean, spread, 1, full) == pytest.approx(best, abs=0.125)
