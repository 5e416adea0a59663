"""The constants of the process: every time scale, variance and rate, written once.

Returns are in units of the pair's own volatility a minute, so that one closed form of the
information coefficient holds for every pair.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from agent_market.market.simulator.streams import FloatArray, decay_of

DAY: Final = 1440
CANDLE: Final = 5
MINUTES_PER_YEAR: Final = 525_600
HORIZONS: Final = (1, 3, 6, 12, 24, 48)

# Log volatility: two Ornstein-Uhlenbeck parts, a daily profile, and the regime's two levels.
FAST_DECAY: Final = decay_of(90)
FAST_SD: Final = 0.30
SLOW_DECAY: Final = decay_of(5 * DAY)
SLOW_SD: Final = 0.15
COMMON_VOLATILITY_SHARE: Final = 0.6
DAILY_AMPLITUDE: Final = 0.25
DAILY_PEAK_MINUTE: Final = 15 * 60

# A market-wide chain with two states of equal weight: trend (+1) and range (-1).
REGIME_DURATION: Final = 1.5 * DAY
REGIME_LOG_VOLATILITY: Final = 0.35
_SWITCH: Final = 1.0 / REGIME_DURATION
REGIME_DECAY: Final = 1.0 - 2.0 * _SWITCH

# Jumps: their share of a pair's variance, and how often its own and the market's come.
JUMP_SHARE: Final = 0.07
OWN_JUMPS_PER_DAY: Final = 2.0
MARKET_JUMPS_PER_DAY: Final = 0.5

# Order flow: what a minute's return says of its imbalance, and how long pressure lasts.
FLOW_RETURN_CORRELATION: Final = 0.70
FLOW_AVERAGE_DECAY: Final = decay_of(15)
FLOW_FEEDBACK: Final = 0.6
FLOW_DECAY: Final = FLOW_AVERAGE_DECAY + (1 - FLOW_AVERAGE_DECAY) * FLOW_FEEDBACK
FLOW_SHARE_GAIN: Final = 0.35

MOMENTUM_DECAY: Final = decay_of(120)

# Headlines: rates, tones (chance, mildest and strongest sentiment), lag and impact.
OWN_HEADLINES_PER_DAY: Final = 2.0
MARKET_HEADLINES_PER_DAY: Final = 0.5
TONES: Final = {
    "disaster": (0.15, -1.0, -0.7),
    "bad": (0.25, -0.6, -0.25),
    "neutral": (0.20, 0.0, 0.0),
    "good": (0.25, 0.25, 0.6),
    "triumph": (0.15, 0.7, 1.0),
}
NEWS_DECAY: Final = decay_of(60)
NEWS_JUMP: Final = 5.0
NEWS_DELAY_SECONDS: Final = 40.0
NEWS_DELAY_SIGMA: Final = 0.9
NEWS_DELAY_CAP_SECONDS: Final = 900.0


def news_rate() -> float:
    """Return the headlines a minute that concern one pair, market-wide ones included."""
    return (OWN_HEADLINES_PER_DAY + MARKET_HEADLINES_PER_DAY) / DAY


def sentiment_variance() -> float:
    """Return the mean square of a headline's sentiment."""
    return sum(p * (a * a + a * b + b * b) / 3 for p, a, b in TONES.values())


def news_sd() -> float:
    """Return the standard deviation of the sum of decayed sentiments."""
    return math.sqrt(news_rate() * sentiment_variance() / (1 - NEWS_DECAY**2))


def news_jump_variance() -> float:
    """Return the variance a minute of the moves at the headlines themselves."""
    return news_rate() * sentiment_variance() * NEWS_JUMP**2


def jump_sd() -> float:
    """Return the size of one jump, in volatilities a minute."""
    return math.sqrt(JUMP_SHARE * DAY / (OWN_JUMPS_PER_DAY + MARKET_JUMPS_PER_DAY))


def diffusion_variance() -> float:
    """Return what jumps and headlines leave of a pair's variance of one."""
    return 1.0 - JUMP_SHARE - news_jump_variance()


def log_volatility_variance() -> float:
    """Return the variance of the stochastic part of log volatility."""
    return FAST_SD**2 + SLOW_SD**2


def daily_profile() -> FloatArray:
    """Return the volatility factor of each minute of the UTC day, shape (1440,), mean square 1."""
    minute = np.arange(DAY)
    factor = np.exp(DAILY_AMPLITUDE * np.cos(2 * np.pi * (minute - DAILY_PEAK_MINUTE) / DAY))
    return np.asarray(factor / np.sqrt(np.mean(factor**2)))


def regime_levels() -> tuple[float, float]:
    """Return the volatility factors of range and trend; their mean square is 1."""
    norm = math.sqrt(math.cosh(2 * REGIME_LOG_VOLATILITY))
    return math.exp(-REGIME_LOG_VOLATILITY) / norm, math.exp(REGIME_LOG_VOLATILITY) / norm
