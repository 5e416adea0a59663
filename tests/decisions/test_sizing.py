import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.decisions import exit_reason, leverage_for, stake_fraction
from agent_market.settings import ExitSettings, ModeSettings, SizingSettings

SIZING = SizingSettings()
anything = st.floats(allow_nan=True, allow_infinity=True)


@given(prediction=anything, volatility=anything)
def test_that_a_stake_share_stays_between_the_floor_and_one(
    prediction: float, volatility: float
) -> None:
    assert SIZING.floor <= stake_fraction(prediction, volatility, SIZING) <= 1


def test_that_the_stake_grows_with_the_prediction_and_shrinks_with_volatility() -> None:
    assert stake_fraction(0.003, 0.0025, SIZING) == 1
    assert stake_fraction(-0.0015, 0.0025, SIZING) == pytest.approx(0.5)
    assert stake_fraction(0.003, 0.005, SIZING) == pytest.approx(0.5)


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


def _exit(**changes: Any) -> str | None:
    trade: dict[str, Any] = {
        "direction": 1,
        "age_candles": 3,
        "prediction": 0.001,
        "trusted": True,
        "deviation_z": -1.0,
        "mode": "mean_reversion",
        "modes": ModeSettings(entry_edge_bps=10),
        "exits": ExitSettings(max_holding_candles=48),
    }
    return exit_reason(**(trade | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"age_candles": 48}, "time_stop"),
        ({"prediction": -0.001}, "prediction_reversed"),
        ({"prediction": -0.001, "trusted": False}, None),
        ({"prediction": float("nan")}, None),
        ({"deviation_z": 0.1}, "mean_reached"),
        ({"deviation_z": 0.1, "mode": "trend"}, None),
        ({"direction": -1, "deviation_z": -0.1, "prediction": -0.001}, "mean_reached"),
        ({"direction": -1, "prediction": 0.001, "mode": "trend"}, "prediction_reversed"),
    ],
)
def test_that_a_trade_is_closed_for_the_right_reason(
    changes: dict[str, Any], reason: str | None
) -> None:
    assert _exit(**changes) == reason
