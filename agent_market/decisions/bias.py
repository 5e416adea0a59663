"""The bias: where a model thinks that each pair goes, how sure it is, and until when."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from agent_market.decisions.advice import Advice, Clamp, History, Reading, looked_up
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import BiasSettings


class PairBias(BaseModel):
    """What the bias says of one pair.

    direction : 1 long, -1 short, 0 neither.
    confidence : 0..1.
    position_multiplier : of the stake; 0 takes no position.
    leverage : that the position is worth; the strategy's own caps stand above it.
    take_profit_multiplier, stop_multiplier : of the strategy's own distances.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    direction: Literal[-1, 0, 1]
    confidence: float = Field(ge=0, le=1)
    position_multiplier: float = Field(default=1, ge=0)
    leverage: float = Field(default=1, ge=1)
    take_profit_multiplier: float = Field(default=1, gt=0)
    stop_multiplier: float = Field(default=1, gt=0)


class BiasSource(BaseModel):
    """Where a bias comes from: the model's name, and the SHA-256 of what it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(min_length=1, max_length=200)
    data_hash: str = Field(pattern=r"^[0-9a-f]{64}$")


class Bias(Advice):
    """`bias.json`: one moment's bias of every pair that the model speaks of."""

    source: BiasSource
    pairs: dict[str, PairBias]


COLUMNS = {
    "am_bias": math.nan,
    "am_bias_direction": 0.0,
    "am_bias_confidence": 0.0,
    "am_bias_position": 1.0,
    "am_bias_leverage": math.nan,
    "am_bias_take_profit": 1.0,
    "am_bias_stop": 1.0,
}
"""What `bias_at` returns, and the value where no bias of the pair is in force."""


def bias_clamp(settings: BiasSettings) -> Clamp[Bias]:
    """Return what leaves out of a bias the pairs that are outside the settings' bounds."""

    def clamp(bias: Bias) -> Reading[Bias]:
        minutes = (bias.expires_at - bias.created_at).total_seconds() / 60
        if minutes > settings.max_lifetime_minutes:
            reason = (
                f"{bias.id} lasts {minutes:g} minutes, more than bias.max_lifetime_minutes "
                f"({settings.max_lifetime_minutes:g}). Ignored."
            )
            return Reading(None, (reason,))
        faults = {pair: _fault(each, settings) for pair, each in bias.pairs.items()}
        kept = {pair: each for pair, each in bias.pairs.items() if not faults[pair]}
        reasons = tuple(
            f"{bias.id}: {pair[:64]}: {fault}. Ignored." for pair, fault in faults.items() if fault
        )
        return Reading(bias.model_copy(update={"pairs": kept}), reasons)

    return clamp


def bias_at(history: History[Bias], pair: str, dates: pd.Series, timeframe: str) -> pd.DataFrame:
    """Return the bias of a pair that was in force when each candle closed.

    Parameters
    ----------
    history : History
        Biases by the moment from which they could be read.
    pair : str
    dates : Series of shape (n_rows,)
        Opens of the candles, UTC.
    timeframe : str
        Of the candles.

    Returns
    -------
    DataFrame of shape (n_rows, 7), the index of `dates`
        `am_bias` is direction times confidence, NaN where there is no bias of the pair;
        `am_bias_leverage` is NaN there too, and the other columns are neutral: 0 or 1.

    Notes
    -----
    Information time: row t uses biases available at `date_t + timeframe` or before.
    """
    known_at = dates + pd.Timedelta(seconds=timeframe_seconds(timeframe))
    return looked_up(history, known_at, lambda reading: _values(reading, pair), list(COLUMNS))


_NONE = tuple(COLUMNS.values())


def _values(reading: Reading[Bias], pair: str) -> tuple[float, ...]:
    each = reading.advice.pairs.get(pair) if reading.advice else None
    if each is None:
        return _NONE
    return (
        each.direction * each.confidence,
        each.direction,
        each.confidence,
        each.position_multiplier,
        each.leverage,
        each.take_profit_multiplier,
        each.stop_multiplier,
    )


def _fault(bias: PairBias, settings: BiasSettings) -> str | None:
    exits = (settings.min_exit_multiplier, settings.max_exit_multiplier)
    bounds = {
        "position_multiplier": (0.0, settings.max_position_multiplier),
        "leverage": (1.0, settings.max_leverage),
        "take_profit_multiplier": exits,
        "stop_multiplier": exits,
    }
    for name, (low, high) in bounds.items():
        value = getattr(bias, name)
        if not low <= value <= high:
            return f"{name} is {value:g}, outside {low:g}..{high:g}"
    return None
