"""How large a trade should be: volatility target, confidence, bias, and fractional Kelly."""

from __future__ import annotations

import math

from agent_market.settings import SizingSettings


def stake_fraction(
    prediction: float,
    volatility: float,
    settings: SizingSettings,
    *,
    multiplier: float = 1.0,
    bias_multiplier: float = 1.0,
) -> float:
    """Return the share of a full stake to put on, 0..1.

    Confidence (the size of the prediction, fully trusted from `full_confidence_bps` on) times calm
    (target over present volatility, at most 1), at least `floor`; then times what the mode and the
    bias say. The caps of `agent_market.decisions.risk` come after.

    Parameters
    ----------
    prediction : float
        Predicted forward return, a fraction; NaN counts as no confidence.
    volatility : float
        Standard deviation of candle returns, a fraction; NaN or 0 counts as the target.
    settings : SizingSettings
    multiplier : float
        Of the mode and the degrade level.
    bias_multiplier : float
        Of the bias, clamped to 0..`max_bias_multiplier`; NaN counts as 0.
    """
    edge_bps = abs(prediction) * 1e4 if math.isfinite(prediction) else 0.0
    confidence = min(1.0, edge_bps / settings.full_confidence_bps)
    calm = settings.target_volatility_bps / 1e4
    scale = min(1.0, calm / volatility) if volatility > 0 else 1.0
    bias = min(max(0.0, bias_multiplier), settings.max_bias_multiplier)
    share = max(settings.floor, scale * confidence) * multiplier * bias
    return min(1.0, share) if share > 0 else 0.0


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


def kelly_exposure(
    prediction: float, volatility: float, horizon_candles: float, settings: SizingSettings
) -> float:
    """Return the largest notional over equity that fractional Kelly takes, at least 0.

    The growth-optimal exposure to a return of mean m and variance v is m / v (Kelly 1956; Thorp
    2006, in continuous time). m is the prediction less the round-trip cost, v the candle variance
    times the horizon. 0 where either is no finite number, or nothing is left after costs.

    Parameters
    ----------
    prediction : float
        Predicted return over the horizon, a fraction, in the direction of the trade or against it.
    volatility : float
        Of candle returns, a fraction.
    horizon_candles : float
        Of the prediction.
    settings : SizingSettings
        `kelly_fraction` and `cost_bps`.
    """
    variance = volatility * volatility * max(1.0, horizon_candles)
    if not (math.isfinite(prediction) and math.isfinite(variance) and variance > 0):
        return 0.0
    edge = abs(prediction) - settings.cost_bps / 1e4
    return max(0.0, settings.kelly_fraction * edge / variance)
