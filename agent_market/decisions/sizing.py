"""How large a trade is, how much leverage it takes, and when it has had its time."""

from __future__ import annotations

import math

from agent_market.settings import ExitSettings, ModeSettings, SizingSettings


def stake_fraction(prediction: float, volatility: float, settings: SizingSettings) -> float:
    """Return the share of a full stake to put on, between the settings' floor and 1.

    The share falls with the candle volatility (volatility targeting) and rises with the size of
    the prediction, fully trusted from `full_confidence_bps` on.

    Parameters
    ----------
    prediction : float
        Predicted forward return, a fraction; NaN counts as no confidence.
    volatility : float
        Standard deviation of candle returns, a fraction; NaN or 0 counts as the target.
    settings : SizingSettings
        Target volatility, confidence scale and floor.
    """
    edge_bps = abs(prediction) * 1e4 if math.isfinite(prediction) else 0.0
    confidence = min(1.0, edge_bps / settings.full_confidence_bps)
    calm = settings.target_volatility_bps / 1e4
    scale = min(1.0, calm / volatility) if volatility > 0 else 1.0
    return max(settings.floor, scale * confidence)


def leverage_for(volatility: float, max_leverage: float, settings: SizingSettings) -> float:
    """Return the largest leverage bucket that keeps leveraged volatility at its target.

    Never above `max_leverage` (the exchange's) and never below 1; NaN volatility gives 1.
    """
    if not volatility > 0:
        return 1.0
    wanted = settings.target_volatility_bps / 1e4 / volatility
    fitting = [
        bucket for bucket in settings.leverage_buckets if bucket <= min(wanted, max_leverage)
    ]
    return max(fitting, default=1.0)


def exit_reason(
    *,
    direction: int,
    age_candles: float,
    prediction: float,
    trusted: bool,
    deviation_z: float,
    mode: str,
    modes: ModeSettings,
    exits: ExitSettings,
) -> str | None:
    """Return why a trade should be closed at this candle's close, or None to hold it.

    Parameters
    ----------
    direction : {1, -1}
        Long or short.
    age_candles : float
        Candles since the entry.
    prediction, trusted
        The model's newest forward return and whether it stands behind it; an untrusted
        prediction never closes a trade.
    deviation_z : float
        Distance of the close from the window's mean, in standard deviations.
    mode : str
        The entry tag.
    """
    if age_candles >= exits.max_holding_candles:
        return "time_stop"
    if trusted and direction * prediction <= -modes.entry_edge_bps / 1e4:
        return "prediction_reversed"
    if mode == "mean_reversion" and direction * deviation_z >= 0:
        return "mean_reached"
    return None
