"""The whole market in memory, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
import pandas as pd

from agent_market.errors import DataError
from agent_market.market.simulator import process
from agent_market.market.simulator.alpha import CROWDING, SIGNALS, Drifts, find_drifts
from agent_market.market.simulator.common import CommonState, draw_common
from agent_market.market.simulator.minutes import PairMarket, simulate_pair
from agent_market.market.simulator.pairs import PairProfile, find_profiles
from agent_market.market.simulator.streams import FloatArray
from agent_market.market.simulator.tape import record
from agent_market.settings import SimulatorSettings

_MINUTE_MS = 60_000
_TRADE_LATENCY = pd.Timedelta(milliseconds=100)


@dataclass(frozen=True)
class Blueprint:
    """What is known before any pair is drawn; pairs are made from it one by one."""

    settings: SimulatorSettings
    profiles: list[PairProfile]
    drifts: Drifts
    common: CommonState
    start_ms: int

    def make(self, profile: PairProfile) -> PairMarket:
        """Return one pair."""
        return simulate_pair(self.settings.seed, self.start_ms, self.common, profile, self.drifts)


@dataclass(frozen=True)
class Market:
    """A simulated market.

    Parameters
    ----------
    blueprint : Blueprint
        Settings, drifts and what the pairs share.
    pairs : dict of str to PairMarket
        By name, such as `BTC/USDT:USDT`.
    """

    blueprint: Blueprint
    pairs: dict[str, PairMarket]


def plan_market(settings: SimulatorSettings) -> Blueprint:
    """Return what all pairs are made from.

    Raises
    ------
    ConfigError
        A pair is malformed or stands twice, or no market has the set coefficients.
    """
    start = datetime.combine(settings.start, time(), UTC)
    return Blueprint(
        settings=settings,
        profiles=find_profiles(settings.pairs),
        drifts=find_drifts(settings),
        common=draw_common(settings.seed, settings.days * process.DAY),
        start_ms=int(start.timestamp() * 1000),
    )


def simulate(settings: SimulatorSettings) -> Market:
    """Return the whole market in memory, about 30 MB a pair and half year.

    Equal settings give equal arrays. A longer market begins with the shorter one, and a pair does
    not depend on which others there are.

    Raises
    ------
    ConfigError
        See `plan_market`.
    """
    blueprint = plan_market(settings)
    made = {profile.pair: blueprint.make(profile) for profile in blueprint.profiles}
    return Market(blueprint, made)


def signal_of(pair: PairMarket, signal: str) -> FloatArray:
    """Return the true value of a planted signal at the close of each 5-minute candle.

    Parameters
    ----------
    pair : PairMarket
        Of the market.
    signal : {"order_flow", "regime", "news", "crowding"}
        Which one.

    Returns
    -------
    ndarray of shape (n_candles,)
        In standard deviations; no NaN.

    Notes
    -----
    Information time: row t uses minutes up to the close of candle t.
    """
    if signal not in (*SIGNALS, CROWDING):
        known = ", ".join((*SIGNALS, CROWDING))
        raise DataError(f"no planted signal {signal!r}; there are {known}")
    values: FloatArray = pair.crowding if signal == CROWDING else getattr(pair.signals, signal)
    return values[process.CANDLE - 1 :: process.CANDLE]


def trades_of(pair: PairMarket, start: datetime, stop: datetime) -> pd.DataFrame:
    """Return every trade of the whole minutes in [start, stop), made again from the bars.

    Returns
    -------
    DataFrame of shape (n_trades, 6)
        `event_time`, `available_at` (0.1 s later), `price`, `amount`, `side` (of the taker, `buy`
        or `sell`) and `id`, ascending. Their aggregate is the pair's candles.

    Raises
    ------
    DataError
        The span is empty or not inside the market.
    """
    first, last = (_minute_of(pair, moment) for moment in (start, stop))
    if not 0 <= first < last <= len(pair):
        end = _at(pair.start_ms + len(pair) * _MINUTE_MS)
        raise DataError(
            f"trades of {pair.profile.pair} from {start} to {stop}: not a span inside the market, "
            f"which goes from {_at(pair.start_ms)} to {end}"
        )
    bars, span = pair.bars, slice(first, last)
    ticks, lots, is_buy, offset = record(
        bars.key,
        first,
        bars.open[span],
        bars.close[span],
        bars.deviation[span],
        bars.n_trades[span],
        bars.buy_lots[span],
        bars.sell_lots[span],
    )
    begin = int(bars.n_trades[:first].sum())
    event = pd.to_datetime(offset + pair.start_ms + first * _MINUTE_MS, unit="ms", utc=True)
    return pd.DataFrame(
        {
            "event_time": event,
            "available_at": event + _TRADE_LATENCY,
            "price": pair.price(ticks),
            "amount": pair.amount(lots),
            "side": np.where(is_buy == 1, "buy", "sell"),
            "id": np.arange(begin, begin + len(ticks)),
        }
    )


def _minute_of(pair: PairMarket, moment: datetime) -> int:
    return int((moment.timestamp() * 1000 - pair.start_ms) // _MINUTE_MS)


def _at(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
