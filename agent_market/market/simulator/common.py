"""What all pairs share: factor, volatility, regime, jumps and market-wide headlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent_market.market.simulator import process
from agent_market.market.simulator.headlines import Headlines, draw_headlines
from agent_market.market.simulator.streams import MARKET, FloatArray, stationary, stream


@dataclass(frozen=True)
class CommonState:
    """The market's own series, one element a minute.

    Parameters
    ----------
    factor : ndarray of shape (n_minutes,)
        Common return shock, unit variance.
    fast, slow : ndarray of shape (n_minutes,)
        Common parts of log volatility, unit variance.
    is_trend : ndarray of bool, shape (n_minutes,)
        The regime.
    jumps : ndarray of shape (n_minutes,)
        Common jumps, in volatilities a minute; mostly 0.
    headlines : Headlines
        Those that concern every pair.
    """

    factor: FloatArray
    fast: FloatArray
    slow: FloatArray
    is_trend: npt.NDArray[np.bool_]
    jumps: FloatArray
    headlines: Headlines

    @property
    def direction(self) -> FloatArray:
        """+1 in a trend, where moves go on; -1 in a range, where they revert."""
        return np.where(self.is_trend, 1.0, -1.0)


def draw_common(seed: int, n_minutes: int) -> CommonState:
    """Return the market's series; they depend on the seed alone (and a longer one goes on)."""
    volatility = stream(seed, MARKET, "fast volatility"), stream(seed, MARKET, "slow volatility")
    return CommonState(
        factor=stream(seed, MARKET, "returns").standard_normal(n_minutes),
        fast=stationary(volatility[0], n_minutes, process.FAST_DECAY),
        slow=stationary(volatility[1], n_minutes, process.SLOW_DECAY),
        is_trend=_draw_regime(stream(seed, MARKET, "regime"), n_minutes),
        jumps=draw_jumps(seed, MARKET, n_minutes, process.MARKET_JUMPS_PER_DAY),
        headlines=draw_headlines(seed, MARKET, n_minutes, process.MARKET_HEADLINES_PER_DAY),
    )


def draw_jumps(seed: int, owner: str, n_minutes: int, per_day: float) -> FloatArray:
    """Return Gaussian jumps at random minutes, 0 elsewhere, in volatilities a minute."""
    happens = stream(seed, owner, "jump times").random(n_minutes) < per_day / process.DAY
    jumps = np.zeros(n_minutes)
    sizes = stream(seed, owner, "jump sizes").standard_normal(int(happens.sum()))
    jumps[happens] = process.jump_sd() * sizes
    return jumps


def _draw_regime(generator: np.random.Generator, n_minutes: int) -> npt.NDArray[np.bool_]:
    starts_in_trend = int(generator.random() < 0.5)
    switches = generator.random(n_minutes) < 1.0 / process.REGIME_DURATION
    return np.asarray((starts_in_trend + np.cumsum(switches)) % 2 == 1)
