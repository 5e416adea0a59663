"""One pair, minute by minute: returns with planted drift, order flow, volume, bars."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from agent_market.market.simulator import process
from agent_market.market.simulator.alpha import Drifts
from agent_market.market.simulator.common import CommonState, draw_jumps
from agent_market.market.simulator.crowd import crowding_of
from agent_market.market.simulator.headlines import Headlines, draw_headlines
from agent_market.market.simulator.pairs import PairProfile
from agent_market.market.simulator.streams import (
    FloatArray,
    IntArray,
    autoregress,
    decay_of,
    shifted,
    stationary,
    stream,
)
from agent_market.market.simulator.tape import FEWEST_TRADES, MOST_TRADES, extremes

_TYPICAL_TRADES = 10.0
_VOLUME_DECAY = decay_of(30)


@dataclass(frozen=True)
class Bars:
    """Minute bars in whole numbers: prices in ticks, amounts in lots, each (n_minutes,).

    `deviation` is the width of the path inside the minute, in ticks; `key` its random key.
    """

    key: int
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    buy_lots: IntArray
    sell_lots: IntArray
    n_trades: IntArray
    deviation: FloatArray


@dataclass(frozen=True)
class Signals:
    """The true signals at the end of each minute, unit variance, each (n_minutes,)."""

    order_flow: FloatArray
    regime: FloatArray
    news: FloatArray


@dataclass(frozen=True)
class PairMarket:
    """Everything simulated for one pair.

    Parameters
    ----------
    profile : PairProfile
        Its constants.
    start_ms : int
        Open time of the first minute, milliseconds since 1970 UTC.
    bars : Bars
        Prices, amounts and trade counts.
    shock : ndarray of shape (n_minutes,)
        The minute's unpredictable ordinary return, unit variance.
    volatility : ndarray of shape (n_minutes,)
        Standard deviation of the minute's ordinary log return.
    signals : Signals
        What predicts the next minutes.
    headlines : Headlines
        The pair's own; market-wide ones stand in the common state.
    crowding : ndarray of shape (n_minutes,)
        Minus the premium of the last settlement, unit variance.
    is_crowded : bool
        Whether it predicts.
    """

    profile: PairProfile
    start_ms: int
    bars: Bars
    shock: FloatArray
    volatility: FloatArray
    signals: Signals
    headlines: Headlines
    crowding: FloatArray
    is_crowded: bool

    def __len__(self) -> int:
        return len(self.shock)

    def price(self, ticks: IntArray) -> FloatArray:
        """Return ticks as prices in quote currency."""
        return np.asarray(ticks / 10.0**self.profile.price_decimals)

    def amount(self, lots: IntArray) -> FloatArray:
        """Return lots as amounts in base currency."""
        return np.asarray(lots / 10.0**self.profile.lot_decimals)


def simulate_pair(
    seed: int, start_ms: int, common: CommonState, profile: PairProfile, drifts: Drifts
) -> PairMarket:
    """Return one pair of the market; other pairs do not enter."""
    owner, n_minutes = profile.pair, len(common.factor)
    shock = _draw_shock(seed, common, profile)
    flow = _draw_flow(seed, owner, shock)
    headlines = draw_headlines(seed, owner, n_minutes, process.OWN_HEADLINES_PER_DAY)
    signals = _signals(seed, owner, common, shock, flow, headlines)
    crowding = crowding_of(seed, owner, n_minutes)
    base = _draw_base_volatility(seed, owner, common)
    level = np.where(common.is_trend, process.regime_levels()[1], process.regime_levels()[0])
    moves = (
        base * level * shock
        + base * (_drift(signals, drifts) + drifts.crowding * shifted(crowding))
        + common.jumps
        + draw_jumps(seed, owner, n_minutes, process.OWN_JUMPS_PER_DAY)
        + process.NEWS_JUMP * _news(common, headlines, n_minutes, "event_ms")
    )
    volatility = base * level * profile.minute_volatility
    volume = _draw_volume(seed, profile, base * level, shock)
    bars = _make_bars(seed, profile, moves * profile.minute_volatility, volatility, flow, volume)
    return PairMarket(
        profile=profile,
        start_ms=start_ms,
        bars=bars,
        shock=shock,
        volatility=volatility,
        signals=signals,
        headlines=headlines,
        crowding=crowding,
        is_crowded=drifts.crowding != 0,
    )


def _draw_shock(seed: int, common: CommonState, profile: PairProfile) -> FloatArray:
    own = stream(seed, profile.pair, "returns").standard_normal(len(common.factor))
    share = profile.factor_share
    return np.asarray(math.sqrt(share) * common.factor + math.sqrt(1 - share) * own)


def _draw_flow(seed: int, owner: str, shock: FloatArray) -> FloatArray:
    """Return the order-flow pressure: it feeds on itself and goes with the minute's return."""
    generator = stream(seed, owner, "order flow")
    start = float(generator.standard_normal())
    weight = process.FLOW_RETURN_CORRELATION
    own = math.sqrt(1 - weight**2) * generator.standard_normal(len(shock))
    return autoregress(weight * shock + own, process.FLOW_DECAY, start)


def _signals(
    seed: int,
    owner: str,
    common: CommonState,
    shock: FloatArray,
    flow: FloatArray,
    headlines: Headlines,
) -> Signals:
    start = float(stream(seed, owner, "momentum").standard_normal())
    momentum = autoregress(shock, process.MOMENTUM_DECAY, start)
    # `autoregress` keeps unit variance of its shocks; sentiments come with another one.
    published = _news(common, headlines, len(shock), "available_ms")
    scale = process.news_sd() * math.sqrt(1 - process.NEWS_DECAY**2)
    news = autoregress(published / scale, process.NEWS_DECAY, 0.0)
    return Signals(flow, common.direction * momentum, news)


def _drift(signals: Signals, drifts: Drifts) -> FloatArray:
    return (
        drifts.order_flow * shifted(signals.order_flow)
        + drifts.regime * shifted(signals.regime)
        + drifts.news * shifted(signals.news)
    )


def _news(common: CommonState, own: Headlines, n_minutes: int, times: str) -> FloatArray:
    both = (common.headlines, own)
    return sum(
        (part.sentiment_by_minute(getattr(part, times), n_minutes) for part in both),
        np.zeros(n_minutes),
    )


def _draw_base_volatility(seed: int, owner: str, common: CommonState) -> FloatArray:
    """Return the volatility without the regime's level, in the pair's volatility a minute."""
    n_minutes = len(common.factor)
    fast = stationary(stream(seed, owner, "fast volatility"), n_minutes, process.FAST_DECAY)
    slow = stationary(stream(seed, owner, "slow volatility"), n_minutes, process.SLOW_DECAY)
    shared, own = process.COMMON_VOLATILITY_SHARE**0.5, (1 - process.COMMON_VOLATILITY_SHARE) ** 0.5
    log_volatility = process.FAST_SD * (shared * common.fast + own * fast)
    log_volatility += process.SLOW_SD * (shared * common.slow + own * slow)
    daily = np.resize(process.daily_profile(), n_minutes)
    mean_one = log_volatility - process.log_volatility_variance()
    return np.asarray(math.sqrt(process.diffusion_variance()) * daily * np.exp(mean_one))


def _draw_volume(
    seed: int, profile: PairProfile, volatility: FloatArray, shock: FloatArray
) -> FloatArray:
    """Return the lots traded each minute, before rounding."""
    lasting = stationary(stream(seed, profile.pair, "volume"), len(shock), _VOLUME_DECAY)
    brief = stream(seed, profile.pair, "volume of a minute").standard_normal(len(shock))
    log_volume = np.log(volatility) + 0.25 * np.abs(shock) + 0.35 * lasting + 0.25 * brief
    return np.asarray(profile.minute_lots * np.exp(log_volume))


def imbalance_of(flow: FloatArray) -> FloatArray:
    """Return the imbalance of each minute whose running average is the pressure `flow`.

    The average halves in 15 minutes. The imbalance has unit variance, up to the first minute's.
    """
    kept = process.FLOW_AVERAGE_DECAY
    raw = flow - kept * shifted(flow)
    variance = 1 + kept**2 - 2 * kept * process.FLOW_DECAY
    return np.asarray(raw / math.sqrt(variance))


def _make_bars(
    seed: int,
    profile: PairProfile,
    moves: FloatArray,
    volatility: FloatArray,
    flow: FloatArray,
    volume: FloatArray,
) -> Bars:
    ticks = profile.price * 10.0**profile.price_decimals
    exact = ticks * np.exp(np.cumsum(moves))
    close = np.maximum(1, np.rint(exact)).astype(np.int64)
    first = np.concatenate([[round(ticks)], close[:-1]])
    count = np.rint(_TYPICAL_TRADES * np.sqrt(volume / profile.minute_lots)).astype(np.int64)
    count = np.clip(count, FEWEST_TRADES, MOST_TRADES)
    buy_share = 0.5 + 0.5 * np.tanh(process.FLOW_SHARE_GAIN * imbalance_of(flow))
    buy = np.maximum(count, np.rint(volume * buy_share).astype(np.int64))
    sell = np.maximum(count, np.rint(volume * (1 - buy_share)).astype(np.int64))
    key = zlib.crc32(f"{seed} {profile.pair} trades".encode()) << 31
    deviation = volatility * close
    high, low = extremes(key, first, close, deviation, count)
    return Bars(key, first, high, low, close, buy, sell, count, deviation)
