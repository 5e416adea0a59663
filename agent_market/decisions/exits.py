"""When a trade is closed, and where its stop stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent_market.learning.inference import DegradeLevel
from agent_market.settings import ExitSettings, ModeRule, ModeSettings


@dataclass(frozen=True)
class Holding:
    """A trade that is open, and what the newest candle says of it.

    direction : 1 long, -1 short. age_candles : since the entry. gain : of the price in the
        direction of the trade since its entry, a fraction, without leverage.
    prediction, trusted : the newest forward return, and whether the model stands behind it.
    deviation_z, trend, funding_bps : measures of the newest candle.
    level : the degrade level.
    take_profit_multiplier, stop_multiplier : of the mode's distances, from a bias.
    """

    direction: int
    age_candles: float
    gain: float = 0.0
    prediction: float = math.nan
    trusted: bool = False
    deviation_z: float = math.nan
    trend: float = math.nan
    funding_bps: float = math.nan
    level: DegradeLevel = DegradeLevel.FULL
    take_profit_multiplier: float = 1.0
    stop_multiplier: float = 1.0


def exit_reason(
    holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings
) -> str | None:
    """Return why a trade should be closed at this candle's close, or None to hold it.

    At level `flat` nothing is held. Then the mode's take-profit, then its exit rules in their
    order. A rule whose measure is NaN does not fire, an untrusted prediction never closes a trade.
    """
    if holding.level is DegradeLevel.FLAT:
        return "degraded_to_flat"
    if rule.take_profit_bps is not None:
        distance = rule.take_profit_bps * holding.take_profit_multiplier
        if holding.gain * 1e4 >= distance:
            return "take_profit"
    for name in rule.exits:
        if _EXITS[name](holding, rule, modes, exits):
            return name
    return None


def stop_gain(holding: Holding, rule: ModeRule) -> float | None:
    """Return the gain since the entry at which the mode stops a trade out, None for no stop.

    The fixed stop, or from `trailing_start_bps` on the present gain less `trailing_bps`, whichever
    is nearer; the host moves a stop in the trade's favor only.
    """
    stops = []
    if rule.stop_bps is not None:
        stops.append(-rule.stop_bps * holding.stop_multiplier / 1e4)
    if rule.trailing_bps is not None and holding.gain * 1e4 >= rule.trailing_start_bps:
        stops.append(holding.gain - rule.trailing_bps / 1e4)
    return max(stops, default=None)


def _time_stop(holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings) -> bool:
    return holding.age_candles >= (rule.max_holding_candles or exits.max_holding_candles)


def _prediction_reversed(
    holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings
) -> bool:
    turned = holding.direction * holding.prediction <= -modes.entry_edge_bps / 1e4
    return holding.trusted and turned


def _mean_reached(
    holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings
) -> bool:
    return holding.direction * holding.deviation_z >= 0


def _trend_ended(
    holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings
) -> bool:
    return holding.direction * holding.trend <= 0


def _crowd_gone(holding: Holding, rule: ModeRule, modes: ModeSettings, exits: ExitSettings) -> bool:
    """Whether those whose exits the trade lives on no longer pay."""
    return holding.direction * holding.funding_bps >= 0


_EXITS: Mapping[str, Callable[[Holding, ModeRule, ModeSettings, ExitSettings], bool]] = {
    "time_stop": _time_stop,
    "prediction_reversed": _prediction_reversed,
    "mean_reached": _mean_reached,
    "trend_ended": _trend_ended,
    "crowd_gone": _crowd_gone,
}
