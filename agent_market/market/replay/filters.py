"""Tick size, step size and minimum order value, read off the stored candles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent_market.market.replay.series import VOLUME, FloatArray, Series

_MOST_DECIMALS = 8
_SAMPLE = 2000
MIN_NOTIONAL = 5.0


@dataclass(frozen=True)
class Filters:
    """Decimals of prices and of amounts."""

    price_decimals: int
    amount_decimals: int

    @property
    def tick(self) -> float:
        """Smallest price step."""
        return float(10.0**-self.price_decimals)

    @property
    def step(self) -> float:
        """Smallest amount step."""
        return float(10.0**-self.amount_decimals)


def find_filters(series: Series) -> Filters:
    """Return the decimals that the newest stored prices and volumes are multiples of.

    Data that is not rounded (some simulators) gets six significant digits for prices, and a step
    worth at most one unit of quote currency for amounts.
    """
    newest = series.values[-_SAMPLE:]
    price = float(np.median(newest[:, 0]))
    magnitude = math.log10(price) if price > 0 else 0.0
    prices = _decimals(newest[:, :VOLUME])
    amounts = _decimals(newest[:, VOLUME])
    return Filters(
        _clamp(5 - math.floor(magnitude)) if prices is None else prices,
        _clamp(math.ceil(magnitude)) if amounts is None else amounts,
    )


def _clamp(decimals: int) -> int:
    return min(max(decimals, 0), _MOST_DECIMALS)


def _decimals(values: FloatArray) -> int | None:
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) < 1e-3):
            return decimals
    return None
