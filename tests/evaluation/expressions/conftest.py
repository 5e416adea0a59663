"""Markets of alpha campaigns: random walks with all that misleads, and planted formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent_market.evaluation.expressions.layout import CampaignDesign
from agent_market.expressions.panel import Panel

PAIRS = ("A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT")
DESIGN = CampaignDesign(horizon_candles=4, embargo_candles=2)
"""Of hourly candles: a block is 24 rows."""


@pytest.fixture(scope="session")
def walk() -> Callable[..., Panel]:
    return make_walk


def make_walk(seed: int, n_rows: int = 3000, n_pairs: int = 3, timeframe: str = "1h") -> Panel:
    """Return random walks of heavy tails (t with 3 degrees) that share half their variance."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(3, n_rows)
    own = rng.standard_t(3, (n_pairs, n_rows))
    close = 100 * np.exp(0.002 * np.cumsum(0.7 * shared + 0.7 * own, axis=1))
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    spread = 1 + 0.001 * rng.random((2, n_pairs, n_rows))
    return Panel(
        PAIRS[:n_pairs],
        timeframe,
        480_000,
        {
            "open": opened,
            "high": np.maximum(opened, close) * spread[0],
            "low": np.minimum(opened, close) / spread[1],
            "close": close,
            "volume": np.exp(rng.normal(5, 1, (n_pairs, n_rows))),
        },
    )
