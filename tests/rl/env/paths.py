"""A random price path for tests of environments."""

import numpy as np

from agent_market.rl.paths import PricePath


def random_path(n_rows: int, seed: int, n_features: int = 3, volatility: float = 0.01) -> PricePath:
    """Return candles of a random walk with funding every 16 rows."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, n_rows)))
    first = np.concatenate([[100.0], close[:-1] * np.exp(rng.normal(0, 1e-4, n_rows - 1))])
    wick = 1 + np.abs(rng.normal(0, volatility / 2, (2, n_rows)))
    funding = np.where(np.arange(n_rows) % 16 == 0, rng.normal(1e-4, 1e-4, n_rows), 0.0)
    return PricePath(
        features=rng.normal(size=(n_rows, n_features)).astype(np.float32),
        open=first,
        high=np.maximum(first, close) * wick[0],
        low=np.minimum(first, close) / wick[1],
        close=close,
        funding_rate=funding,
    )
