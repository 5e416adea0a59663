"""Section `agent_market` of the Freqtrade configuration: every key, its default and its bounds.

Defaults are written here and nowhere else. An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_market.errors import ConfigError


class Section(BaseModel):
    """Base of every settings model: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlantedAlphaSettings(Section):
    """Strength of each signal that the simulator plants.

    Each figure is the information coefficient (correlation of the signal with the next return) the
    simulator aims at over the signal's own horizon, 0..0.5; 0 plants nothing.
    """

    order_flow: float = Field(default=0.08, ge=0, le=0.5)
    regime: float = Field(default=0.10, ge=0, le=0.5)
    news: float = Field(default=0.15, ge=0, le=0.5)


class SimulatorSettings(Section):
    """The embedded market: what the simulator makes from one seed."""

    seed: int = Field(default=7, ge=0)
    pairs: tuple[str, ...] = (
        "BTC/USDT:USDT",
        "ETH/USDT:USDT",
        "LTC/USDT:USDT",
        "SOL/USDT:USDT",
        "XRP/USDT:USDT",
        "DOGE/USDT:USDT",
    )
    start: date = date(2025, 1, 1)
    days: int = Field(default=181, ge=1, le=3660)
    timeframes: tuple[str, ...] = ("5m", "1h")
    alpha: PlantedAlphaSettings = PlantedAlphaSettings()
    no_alpha: bool = False


class MarketSettings(Section):
    """Where candles come from.

    source : `exchange` lets `freqtrade download-data` fetch them; `simulator` makes the embedded
        market in `datadir`; `directory` uses the Freqtrade data directory `datadir` as it is.
    """

    source: Literal["exchange", "simulator", "directory"] = "exchange"
    datadir: Path | None = None
    simulator: SimulatorSettings = SimulatorSettings()


class ReplaySettings(Section):
    """The replay exchange that stands in for Binance on this machine."""

    host: str = "127.0.0.1"
    port: int = Field(default=8480, ge=1, le=65535)


class RegimeSettings(Section):
    """When the market counts as trending, ranging or shocked.

    window_candles : length of every measure.
    trend_efficiency : net move over path length from which on the market trends, 0..1.
    shock_z : a candle's move, in standard deviations of those before it, that makes a shock.
    shock_memory_candles : how long a shock lasts.
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    trend_efficiency: float = Field(default=0.25, gt=0, lt=1)
    shock_z: float = Field(default=4.0, gt=0)
    shock_memory_candles: int = Field(default=6, ge=1)


class ModeSettings(Section):
    """What each mode asks for before it enters.

    window_candles : of the mean, the deviation and the range that breakouts leave.
    deviation_z : distance from the mean, in standard deviations, that mean reversion asks for.
    entry_edge_bps : predicted return that every entry asks for; keep it above the round-trip cost.
    """

    window_candles: int = Field(default=72, ge=10, le=2000)
    deviation_z: float = Field(default=1.0, ge=0)
    entry_edge_bps: float = Field(default=12.0, ge=0)


class SizingSettings(Section):
    """Stake and leverage.

    target_volatility_bps : candle volatility at which a full stake at leverage 1 is put on.
    full_confidence_bps : predicted return from which on the stake is full.
    floor : smallest share of a full stake.
    leverage_buckets : the leverages that may be used.
    """

    target_volatility_bps: float = Field(default=25.0, gt=0)
    full_confidence_bps: float = Field(default=30.0, gt=0)
    floor: float = Field(default=0.2, ge=0, le=1)
    leverage_buckets: tuple[float, ...] = (1.0, 2.0, 3.0)


class ExitSettings(Section):
    """When a trade has had its time."""

    max_holding_candles: int = Field(default=48, ge=1)


class AgentMarketSettings(Section):
    """The whole section `agent_market`."""

    state_dir: Path = Path("user_data/agent_market")
    timerange: str | None = None
    market: MarketSettings = MarketSettings()
    replay: ReplaySettings = ReplaySettings()
    regime: RegimeSettings = RegimeSettings()
    modes: ModeSettings = ModeSettings()
    sizing: SizingSettings = SizingSettings()
    exits: ExitSettings = ExitSettings()


def load_settings(config: Mapping[str, Any]) -> AgentMarketSettings:
    """Return the validated section `agent_market` of a merged Freqtrade configuration.

    Raises
    ------
    ConfigError
        A key is unknown (the message names the nearest valid one) or a value is out of bounds.
    """
    try:
        return AgentMarketSettings.model_validate(config.get("agent_market", {}))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(detail["loc"], detail) for detail in error.errors())


def _explain_one(location: tuple[int | str, ...], detail: Any) -> str:
    key = ".".join(["agent_market", *map(str, location)])
    if detail["type"] != "extra_forbidden":
        return (
            f"{key}: {detail['msg'].lower()}, found {detail['input']!r}. Correct it in the config."
        )
    valid = _fields_at(AgentMarketSettings, location[:-1])
    nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.0)
    return (
        f"{key}: unknown key. Did you mean {nearest[0]!r}? Valid keys: {', '.join(sorted(valid))}."
    )


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
