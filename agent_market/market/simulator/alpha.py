"""The planted alpha: how strong each drift is, and the coefficient that follows in closed form.

In units of the pair's volatility a minute, minute j returns

    r_j = v_j g_j z_j + v_j (a s_{j-1} + b q_{j-1} m_{j-1} + c n_{j-1}) + jumps_j

with unit-variance signals: s order flow, q m regime times momentum, n news; v the stochastic
volatility without the regime's level g. The signals are first-order autoregressive and
uncorrelated with one another (q is +1 or -1 with equal weight), and v is independent of them, so
every covariance that the information coefficient needs is a geometric sum. Crowding, minus the
premium that funding follows, is a fourth one, planted on request only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent_market.errors import ConfigError
from agent_market.market.simulator import process
from agent_market.market.simulator.crowd import CROWDING_DECAY
from agent_market.market.simulator.streams import FloatArray
from agent_market.settings import SimulatorSettings

SIGNALS = ("order_flow", "regime", "news")
CROWDING = "crowding"
_PLANTABLE = (*SIGNALS, CROWDING)
OWN_HORIZON = {"order_flow": 3, "regime": 12, "news": 12, CROWDING: 96}
_DECAY = {
    "order_flow": process.FLOW_DECAY,
    "regime": process.REGIME_DECAY * process.MOMENTUM_DECAY,
    "news": process.NEWS_DECAY,
    CROWDING: CROWDING_DECAY,
}
_ROUNDS = 500
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Drifts:
    """Drift that one standard deviation of each signal adds, in volatilities a minute."""

    order_flow: float = 0.0
    regime: float = 0.0
    news: float = 0.0
    crowding: float = 0.0

    def of(self, signal: str) -> float:
        """Return the drift of one signal."""
        return float(getattr(self, signal))


def find_drifts(settings: SimulatorSettings) -> Drifts:
    """Return the drifts that give each signal its set coefficient over its own horizon.

    Raises
    ------
    ConfigError
        No drifts do: the coefficients are too large together.
    """
    if settings.no_alpha:
        return Drifts()
    aim = {signal: float(getattr(settings.alpha, signal)) for signal in _PLANTABLE}
    drifts = Drifts()
    for _ in range(_ROUNDS):
        found = {
            signal: aim[signal] / _coefficient_of_unit_drift(signal, OWN_HORIZON[signal], drifts)
            for signal in _PLANTABLE
        }
        change = max(abs(found[signal] - drifts.of(signal)) for signal in _PLANTABLE)
        drifts = Drifts(**found)
        if change < _TOLERANCE:
            return drifts
    raise ConfigError(
        f"agent_market.market.simulator.alpha: no market has the coefficients {aim} together. "
        "Lower them."
    )


def information_coefficient(signal: str, horizon: int, drifts: Drifts) -> float:
    """Return the correlation of a signal with the forward return, from the process itself.

    Parameters
    ----------
    signal : str
        One of `SIGNALS`, or `CROWDING`.
    horizon : int
        Of the forward return, in 5-minute candles.
    drifts : Drifts
        What is planted.

    Notes
    -----
    Pearson correlation of the signal at a candle's close with `close[t + horizon] / close[t] - 1`
    over all candles of a pair. Left out, each below 1 % of the value: the difference of simple and
    logarithmic returns, price rounding, and the delay between a headline's jump and its drift.
    """
    return drifts.of(signal) * _coefficient_of_unit_drift(signal, horizon, drifts)


def combined_coefficient(horizon: int, drifts: Drifts) -> float:
    """Return the coefficient of the best linear combination of the true signals.

    The signals are uncorrelated, so its square is the sum of theirs. Nothing linear in them
    predicts better.
    """
    return math.hypot(*(information_coefficient(name, horizon, drifts) for name in _PLANTABLE))


def _coefficient_of_unit_drift(signal: str, horizon: int, drifts: Drifts) -> float:
    minutes = horizon * process.CANDLE
    covariance = _mean_volatility() * float(np.sum(_DECAY[signal] ** np.arange(minutes)))
    return covariance / math.sqrt(_return_variance(minutes, drifts))


def _mean_volatility() -> float:
    spread = math.exp(-process.log_volatility_variance() / 2)
    mean = float(process.daily_profile().mean())
    return math.sqrt(process.diffusion_variance()) * spread * mean


def _volatility_product(lags: FloatArray) -> FloatArray:
    """Return the mean of v_i v_j at lags of j - i minutes."""
    fast = process.FAST_SD**2 * (1 - process.FAST_DECAY**lags)
    slow = process.SLOW_SD**2 * (1 - process.SLOW_DECAY**lags)
    spectrum = np.abs(np.fft.rfft(process.daily_profile())) ** 2
    daily = np.fft.irfft(spectrum, process.DAY) / process.DAY
    daily_at = daily[lags.astype(int) % process.DAY]
    return np.asarray(process.diffusion_variance() * np.exp(-fast - slow) * daily_at)


def _return_variance(minutes: int, drifts: Drifts) -> float:
    """Return the variance of the sum of `minutes` returns; without drifts it is `minutes`."""
    lags = np.arange(minutes, dtype=np.float64)
    pairs = np.where(lags == 0, 1.0, 2.0) * (minutes - lags)
    product = _volatility_product(lags)
    own = sum(drifts.of(name) ** 2 * _DECAY[name] ** lags for name in _PLANTABLE)
    later = lags[1:]
    echo = (
        product[1:] * drifts.order_flow * _flow_echo(later)
        + product[1:] * drifts.regime * _momentum_echo(later)
        + _mean_volatility() * drifts.news * _news_echo(later)
    )
    return minutes + float(np.sum(pairs * product * own) + np.sum(pairs[1:] * echo))


def _flow_echo(lags: FloatArray) -> FloatArray:
    """Return what a minute's shock adds to the order-flow drift `lags` minutes later."""
    mean_level = sum(process.regime_levels()) / 2
    weight = math.sqrt(1 - process.FLOW_DECAY**2) * process.FLOW_RETURN_CORRELATION
    return np.asarray(mean_level * weight * process.FLOW_DECAY ** (lags - 1))


def _momentum_echo(lags: FloatArray) -> FloatArray:
    """Return the same for momentum: trend minutes are louder, so they weigh more."""
    low, high = process.regime_levels()
    weight = math.sqrt(1 - process.MOMENTUM_DECAY**2) * (high - low) / 2
    return np.asarray(weight * _DECAY["regime"] ** (lags - 1))


def _news_echo(lags: FloatArray) -> FloatArray:
    """Return what a headline's jump tells of the drift that follows it."""
    rate = process.news_rate() * process.sentiment_variance() * process.NEWS_JUMP
    return np.asarray(rate / process.news_sd() * process.NEWS_DECAY ** (lags - 1))
