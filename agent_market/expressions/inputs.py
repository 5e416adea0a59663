"""The series that an expression may name."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from agent_market.expressions.units import PLAIN, PRICE, VOLUME, Unit


class InputSeries(NamedTuple):
    """A named series: its unit, the candles before row t it needs, and what it is."""

    unit: Unit
    lookback: int
    definition: str


INPUTS: MappingProxyType[str, InputSeries] = MappingProxyType(
    {
        "open": InputSeries(PRICE, 0, "first price of the candle"),
        "high": InputSeries(PRICE, 0, "highest price of the candle"),
        "low": InputSeries(PRICE, 0, "lowest price of the candle"),
        "close": InputSeries(PRICE, 0, "last price of the candle"),
        "volume": InputSeries(VOLUME, 0, "traded amount, base currency"),
        "vwap": InputSeries(
            PRICE, 0, "typical price `(high + low + close) / 3`: candles carry no trades"
        ),
        "returns": InputSeries(PLAIN, 1, "`close / delay(close, 1) - 1`"),
        "funding": InputSeries(
            PLAIN, 0, "newest funding rate known when the candle closes; NaN for spot"
        ),
    }
)
"""Name to series. Row t is known when its candle closes."""
