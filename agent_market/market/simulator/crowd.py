"""The crowd of a perpetual: the premium that it pays, and funding follows."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent_market.market.simulator.streams import FloatArray, decay_of, stationary, stream

SETTLEMENT_MINUTES: Final = 8 * 60
_DECAY: Final = decay_of(9)  # settlements
CROWDING_DECAY: Final = float(_DECAY ** (1 / SETTLEMENT_MINUTES))
"""A minute's; the premium itself moves at settlements only, which differs by less than 0.1 %."""


def premium_of(seed: int, owner: str, n_settlements: int) -> FloatArray:
    """Return the premium of each settlement, unit variance, shape (n_settlements,)."""
    return stationary(stream(seed, owner, "funding"), n_settlements, _DECAY)


def crowding_of(seed: int, owner: str, n_minutes: int) -> FloatArray:
    """Return minus the premium of the last settlement at each minute, shape (n_minutes,)."""
    n_settlements = -(-n_minutes // SETTLEMENT_MINUTES)
    return np.repeat(-premium_of(seed, owner, n_settlements), SETTLEMENT_MINUTES)[:n_minutes]
