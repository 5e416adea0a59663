"""Price paths whose truth is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from agent_market.market.simulator import (
    SIGNALS,
    candles_of,
    process,
    signal_of,
    simulate,
)
from agent_market.rl.paths import Floats, PricePath
from agent_market.settings import SimulatorSettings

COST = 0.0005
NOISE = 0.002  # standard deviation of a candle's return


class KnownMarket(NamedTuple):
    """A path, and the expected return from the open of candle t + 1 to the next, (n_rows,)."""

    path: PricePath
    drift: Floats


def path_of(features: np.ndarray, returns: Floats) -> PricePath:
    """Return the path on which `returns[t]` is earned by what is decided on row t."""
    prices = np.concatenate([[100.0, 100.0], 100 * np.cumprod(1 + returns[:-2])])
    return PricePath(
        features.astype(np.float32), prices, prices, prices, prices, np.zeros(len(prices))
    )


def persistent(n_rows: int, n_columns: int, rng: np.random.Generator) -> Floats:
    """Return first-order autoregressive columns with unit variance and a half-life of 13 rows."""
    kept = 0.95
    shocks = rng.normal(size=(n_rows, n_columns)) * np.sqrt(1 - kept**2)
    shocks[0] /= np.sqrt(1 - kept**2)
    return np.asarray(lfilter([1.0], [1.0, -kept], shocks, axis=0))


def planted_market(seed: int, n_rows: int, *, strength: float = 1.0) -> KnownMarket:
    """Return a market of 10 features, whose drift is a saturated sum of them and one product.

    With strength 1 the drift is about 0.15 standard deviations of a candle's return.
    """
    rng = np.random.default_rng(seed)
    features = persistent(n_rows, 10, rng)
    weights = rng.normal(size=10)
    linear = features @ (weights / np.linalg.norm(weights))
    product = features[:, 0] * features[:, 1]
    drift = strength * (
        0.0003 * np.tanh(1.5 * linear) + 0.00015 * np.sign(product) * (abs(product) > 0.5)
    )
    noise = NOISE * rng.standard_t(4, size=n_rows) / np.sqrt(2)
    return KnownMarket(path_of(features, drift + noise), drift)


def barren_market(seed: int, n_rows: int) -> KnownMarket:
    """Return a market that nothing predicts."""
    return planted_market(seed, n_rows, strength=0.0)


def oracle_market(seed: int, n_rows: int) -> KnownMarket:
    """Return a barren market with one feature that leaks the return to come, beside four others."""
    rng = np.random.default_rng(seed)
    returns = NOISE * rng.standard_normal(n_rows)
    features = persistent(n_rows, 5, rng)
    features[:, 2] = returns / NOISE
    return KnownMarket(path_of(features, returns), returns)


def rows_of_path(path: PricePath, start: int, stop: int) -> PricePath:
    """Return a contiguous part of a path."""
    part = slice(start, stop)
    return PricePath(
        path.features[part],
        path.open[part],
        path.high[part],
        path.low[part],
        path.close[part],
        path.funding_rate[part],
    )


def simulated_market(seed: int, days: int, *, no_alpha: bool = False) -> KnownMarket:
    """Return a pair of the simulator at 5 minutes, with its true signals as features.

    The drift of row t is what the signals at its close say of candle t + 1 on average, from the
    process: each decays at its own rate over the candle's five minutes, in volatilities of the
    minute at the close.
    """
    settings = SimulatorSettings(seed=seed, days=days, pairs=("SOL/USDT:USDT",), no_alpha=no_alpha)
    market = simulate(settings)
    pair = market.pairs["SOL/USDT:USDT"]
    decays = {
        "order_flow": process.FLOW_DECAY,
        "regime": process.REGIME_DECAY * process.MOMENTUM_DECAY,
        "news": process.NEWS_DECAY,
    }
    low, high = process.regime_levels()
    level = np.where(market.blueprint.common.is_trend, high, low)
    volatility = (pair.volatility / level)[process.CANDLE - 1 :: process.CANDLE]
    signals = {name: signal_of(pair, name) for name in SIGNALS}
    drifts = market.blueprint.drifts
    drift = volatility * sum(
        drifts.of(name) * signals[name] * (decays[name] ** np.arange(process.CANDLE)).sum()
        for name in SIGNALS
    )
    candles = candles_of(pair, "5m")
    noise = np.random.default_rng(seed).normal(size=(len(candles), 4))
    features = np.column_stack([*signals.values(), np.log(volatility), noise])
    prices = [candles[name].to_numpy() for name in ("open", "high", "low", "close")]
    path = PricePath(features.astype(np.float32), *prices, np.zeros(len(candles)))
    return KnownMarket(path, drift)
