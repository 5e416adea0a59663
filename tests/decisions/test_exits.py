from dataclasses import replace
from typing import Any

import pytest

from agent_market.decisions import Holding, exit_reason, mode_rule, stop_gain
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import ExitSettings, MeanReversionMode, ModeSettings

AT_MEAN = ("time_stop", "prediction_reversed", "mean_reached")
MODES = ModeSettings(entry_edge_bps=10, mean_reversion=MeanReversionMode(exits=AT_MEAN))
EXITS = ExitSettings(max_holding_candles=48)
HOLDING = Holding(
    direction=1, age_candles=3, prediction=0.001, trusted=True, deviation_z=-1.0, trend=0.5
)


def _exit(mode: str, **changes: Any) -> str | None:
    return exit_reason(replace(HOLDING, **changes), mode_rule(MODES, mode), MODES, EXITS)


@pytest.mark.parametrize(
    ("mode", "changes", "reason"),
    [
        ("mean_reversion", {}, None),
        ("mean_reversion", {"age_candles": 48}, "time_stop"),
        ("mean_reversion", {"prediction": -0.001}, "prediction_reversed"),
        ("mean_reversion", {"prediction": -0.001, "trusted": False}, None),
        ("mean_reversion", {"prediction": float("nan")}, None),
        ("mean_reversion", {"deviation_z": 0.1}, "mean_reached"),
        ("mean_reversion", {"direction": -1, "deviation_z": -0.1}, "prediction_reversed"),
        ("trend", {"deviation_z": 0.1}, None),
        ("trend", {"direction": -1}, "prediction_reversed"),
        ("forced by hand", {"age_candles": 50}, "time_stop"),
        ("event", {"age_candles": 24}, "time_stop"),
        ("event", {"gain": 0.02}, "take_profit"),
        ("event", {"gain": 0.02, "take_profit_multiplier": 1.5}, None),
        ("squeeze", {"funding_bps": -4.0}, None),
        ("squeeze", {"funding_bps": 0.5}, "crowd_gone"),
        ("squeeze", {"funding_bps": float("nan")}, None),
        ("defensive", {"trend": -0.1}, "trend_ended"),
        ("trend", {"level": DegradeLevel.FLAT}, "degraded_to_flat"),
        ("trend", {"level": DegradeLevel.RULES}, None),
    ],
)
def test_that_a_trade_is_closed_for_the_right_reason(
    mode: str, changes: dict[str, Any], reason: str | None
) -> None:
    assert _exit(mode, **changes) == reason


@pytest.mark.parametrize(
    ("mode", "changes", "stop"),
    [
        ("trend", {"gain": 0.05}, None),
        ("event", {}, -0.012),
        ("event", {"stop_multiplier": 0.5}, -0.006),
        ("squeeze", {"gain": 0.011}, -0.015),
        ("squeeze", {"gain": 0.012}, 0.004),
        ("squeeze", {"gain": 0.03}, 0.022),
    ],
)
def test_that_a_stop_is_fixed_until_it_trails(
    mode: str, changes: dict[str, Any], stop: float | None
) -> None:
    found = stop_gain(replace(HOLDING, **changes), mode_rule(MODES, mode))
    assert found == (None if stop is None else pytest.approx(stop))
