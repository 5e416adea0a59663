"""Small markets whose truth is known, and logs of them."""

import numpy as np

from agent_market.rl.offline.behavior import Targets
from agent_market.rl.offline.buffer import TransitionBuffer, join
from agent_market.rl.offline.recording import header_for, record
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules

POSITIONS = (-1.0, 0.0, 1.0)
RULES = TradingRules(fee=0.0005)
PAIR = "BTC/USDT:USDT"


def market(
    n_rows: int, *, seed: int, strength: float = 0.0, leak: bool = False, volatility: float = 0.004
) -> PricePath:
    """Candles with a persistent feature that shifts the mean return, 3 features of noise.

    strength : standard deviations by which the first feature moves the return that its row's
        choice earns. leak : the first feature is that return itself.
    """
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(n_rows, 4))
    for t in range(1, n_rows):
        features[t, 0] = 0.95 * features[t - 1, 0] + np.sqrt(1 - 0.95**2) * features[t, 0]
    change = volatility * draw.normal(size=n_rows)
    # what a choice on row t earns is the change from the open of t + 1 to that of t + 2
    change[2:] += strength * volatility * features[:-2, 0]
    opened = 100 * np.exp(np.cumsum(change))
    if leak:
        features[:-2, 0] = change[2:] / volatility
    close = np.append(opened[1:], opened[-1])
    return PricePath(
        features.astype(np.float32),
        opened,
        np.maximum(opened, close),
        np.minimum(opened, close),
        close,
        np.zeros(n_rows),
        np.datetime64("2025-01-01", "ms") + np.arange(n_rows) * np.timedelta64(300_000, "ms"),
    )


def log_of(
    path: PricePath,
    targets: Targets,
    *,
    behavior: str = "random",
    knows_future: bool = False,
    episode_rows: int = 1000,
    rules: TradingRules = RULES,
) -> TransitionBuffer:
    names = tuple(f"%-feature_{number}" for number in range(path.features.shape[1]))
    header = header_for(
        (PAIR,),
        names,
        POSITIONS,
        rules,
        timeframe="5m",
        behavior=behavior,
        knows_future=knows_future,
    )
    return join(list(record(path, targets, header, rules, pair=PAIR, episode_rows=episode_rows)))
