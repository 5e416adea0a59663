"""What is fixed of each pair: price level, tick and lot, volatility, beta, liquidity."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from agent_market.errors import ConfigError
from agent_market.market.simulator import process
from agent_market.market.simulator.streams import stream

_FORM = re.compile(r"([A-Z0-9]+)/USDT:USDT")
_TYPICAL_TRADE_VOLUMES = 2000.0


@dataclass(frozen=True)
class PairProfile:
    """The constants of one perpetual.

    Parameters
    ----------
    pair, base : str
        `BTC/USDT:USDT` and `BTC`.
    price : float
        At the start, quote currency.
    price_decimals, lot_decimals : int
        A tick and a lot are 10 to the minus these.
    annual_volatility : float
        Of the unpredictable log returns, regime and jumps included; 0.5 is 50 %. Planted drift
        comes on top: at the default strengths hourly returns are a quarter more volatile.
    factor_share : float
        Share of the ordinary variance that the common factor explains, 0..1.
    daily_turnover : float
        Typical, quote currency.
    """

    pair: str
    base: str
    price: float
    price_decimals: int
    lot_decimals: int
    annual_volatility: float
    factor_share: float
    daily_turnover: float

    @property
    def minute_volatility(self) -> float:
        """Standard deviation of a minute's log return."""
        return self.annual_volatility / math.sqrt(process.MINUTES_PER_YEAR)

    @property
    def minute_lots(self) -> float:
        """Typical lots traded a minute."""
        return self.daily_turnover / process.DAY / self.price * 10.0**self.lot_decimals


_KNOWN = {
    "BTC": (95_000.0, 1, 3, 0.40, 0.75, 15e9),
    "ETH": (3_300.0, 2, 3, 0.56, 0.75, 11e9),
    "LTC": (105.0, 2, 3, 0.64, 0.55, 4e8),
    "SOL": (190.0, 2, 2, 0.72, 0.60, 3e9),
    "XRP": (2.3, 4, 1, 0.68, 0.50, 2e9),
    "DOGE": (0.32, 5, 0, 0.80, 0.55, 1.2e9),
}


def find_profiles(pairs: tuple[str, ...]) -> list[PairProfile]:
    """Return the profile of each pair.

    Raises
    ------
    ConfigError
        A pair is not of the form `BTC/USDT:USDT`, or stands twice.
    """
    if len(set(pairs)) < len(pairs):
        twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
        raise ConfigError(
            f"agent_market.market.simulator.pairs: {', '.join(twice)} stands twice. Name it once."
        )
    return [find_profile(pair) for pair in pairs]


def find_profile(pair: str) -> PairProfile:
    """Return the constants of a pair: plausible ones of known coins, else drawn by its name."""
    match = _FORM.fullmatch(pair)
    if not match:
        raise ConfigError(
            f"agent_market.market.simulator.pairs: {pair!r} is not a USDT-M perpetual. "
            "Write it as 'BTC/USDT:USDT'."
        )
    base = match[1]
    return PairProfile(pair, base, *(_KNOWN[base] if base in _KNOWN else _drawn(pair)))


def _drawn(pair: str) -> tuple[float, int, int, float, float, float]:
    generator = stream(0, pair, "profile")
    price = float(f"{10 ** generator.uniform(-1.0, 2.5):.3g}")
    decimals = max(0, 4 - math.floor(math.log10(price)))
    turnover = 10 ** generator.uniform(7.8, 9.2)
    minute = turnover / process.DAY / price
    lots = min(3, max(0, math.ceil(math.log10(_TYPICAL_TRADE_VOLUMES / minute))))
    volatility, share = generator.uniform(0.64, 0.8), generator.uniform(0.35, 0.6)
    return price, decimals, lots, float(volatility), float(share), float(turnover)
