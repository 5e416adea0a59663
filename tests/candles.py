"""Synthetic candles for tests."""

import numpy as np
import pandas as pd


def random_candles(rows: int, seed: int = 0, timeframe_seconds: int = 300) -> pd.DataFrame:
    """Return a random walk in Freqtrade's columns, with consistent highs and lows."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    wick = rng.exponential(0.001, (2, rows))
    return pd.DataFrame(
        {
            "date": pd.date_range(
                "2024-01-01", periods=rows, freq=f"{timeframe_seconds}s", tz="UTC"
            ),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + wick[0]),
            "low": np.minimum(opened, close) * (1 - wick[1]),
            "close": close,
            "volume": rng.lognormal(3, 1, rows),
        }
    )
