"""Single trades: the path that each minute's bar is made of, and the same path written down.

The random numbers of a minute follow from the pair's key and the minute's number, so the trades of
any span can be made again without those before it, and their aggregate is the bar.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from agent_market.market.simulator.streams import FloatArray, IntArray

FEWEST_TRADES: Final = 4
MOST_TRADES: Final = 40
_MINUTE_MS: Final = 60_000
_DRAWS: Final = 8 * MOST_TRADES  # numbers set aside for a minute
_UNIT: Final = 2.0**-53
_TICK_RULE: Final = 0.3  # how much likelier a buy is after a rise than on average
_SIDE_AT, _SIZE_AT, _TIME_AT = 2 * MOST_TRADES, 3 * MOST_TRADES, 4 * MOST_TRADES


@njit(cache=True)
def _uniform(key: int, number: int) -> float:
    """Return the number-th of a key's uniform numbers in [0, 1) (splitmix64)."""
    mixed = np.uint64(key) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return float(mixed >> np.uint64(11)) * _UNIT


@njit(cache=True)
def _walk(
    key: int,
    minute: int,
    first: int,
    last: int,
    deviation: float,
    path: FloatArray,
    prices: IntArray,
) -> None:
    """Fill `prices` with a bridge from `first` to `last`, in ticks; `path` is working space."""
    steps = len(prices) - 1
    level = 0.0
    for k in range(1, steps + 1):
        number = minute * _DRAWS + 2 * k
        # The sum of two uniform numbers, scaled to unit variance, is Gaussian enough for a step.
        level += (_uniform(key, number) + _uniform(key, number + 1) - 1.0) * 6.0**0.5
        path[k] = level
    scale = deviation / steps**0.5
    for k in range(1, steps):
        share = k / steps
        noise = scale * (path[k] - share * level)
        prices[k] = max(1, round(first + (last - first) * share + noise))
    prices[0] = first
    prices[steps] = last


@njit(cache=True)
def extremes(
    key: int, first: IntArray, last: IntArray, deviation: FloatArray, counts: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the highest and lowest trade price of each minute, in ticks, each (n_minutes,)."""
    high, low = np.empty_like(first), np.empty_like(first)
    path, prices = np.zeros(MOST_TRADES), np.zeros(MOST_TRADES, np.int64)
    for minute in range(len(first)):
        part = prices[: counts[minute]]
        _walk(key, minute, first[minute], last[minute], deviation[minute], path, part)
        high[minute], low[minute] = part.max(), part.min()
    return high, low


@njit(cache=True)
def _choose_sides(
    key: int, minute: int, buy_share: float, prices: IntArray, is_buy: IntArray
) -> None:
    """Mark buys: likelier after a rise; at least one trade stands on either side."""
    count = len(prices)
    for k in range(count):
        step = np.sign(prices[k] - prices[k - 1]) if k else 0
        chance = buy_share + _TICK_RULE * step
        is_buy[k] = 1 if _uniform(key, minute * _DRAWS + _SIDE_AT + k) < chance else 0
    if is_buy.sum() == 0:
        is_buy[0] = 1
    if is_buy.sum() == count:
        is_buy[count - 1] = 0


@njit(cache=True)
def _share_out(
    key: int, minute: int, side: int, total: int, is_buy: IntArray, lots: IntArray
) -> None:
    """Share `total` lots among the trades of one side, at least one lot each."""
    weight_sum, trades = 0.0, 0
    for k in range(len(is_buy)):
        if is_buy[k] == side:
            weight_sum += -np.log1p(-_uniform(key, minute * _DRAWS + _SIZE_AT + k))
            trades += 1
    spare, weight, given = total - trades, 0.0, 0
    for k in range(len(is_buy)):
        if is_buy[k] == side:
            weight += -np.log1p(-_uniform(key, minute * _DRAWS + _SIZE_AT + k))
            upto = int(spare * (weight / weight_sum))
            lots[k] = 1 + upto - given
            given = upto


@njit(cache=True)
def record(
    key: int,
    start: int,
    first: IntArray,
    last: IntArray,
    deviation: FloatArray,
    counts: IntArray,
    buy_lots: IntArray,
    sell_lots: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return price (ticks), amount (lots), side (1 buy) and time (ms from `start`) of every trade.

    The arrays hold the minutes from `start` on; each result has shape (n_trades,).
    """
    total = counts.sum()
    prices, lots = np.zeros(total, np.int64), np.zeros(total, np.int64)
    is_buy, times = np.zeros(total, np.int64), np.zeros(total, np.int64)
    path, at = np.zeros(MOST_TRADES), 0
    for row in range(len(first)):
        minute, count = start + row, counts[row]
        part = slice(at, at + count)
        _walk(key, minute, first[row], last[row], deviation[row], path, prices[part])
        share = buy_lots[row] / (buy_lots[row] + sell_lots[row])
        _choose_sides(key, minute, share, prices[part], is_buy[part])
        _share_out(key, minute, 1, buy_lots[row], is_buy[part], lots[part])
        _share_out(key, minute, 0, sell_lots[row], is_buy[part], lots[part])
        for k in range(count):
            slot = (k + _uniform(key, minute * _DRAWS + _TIME_AT + k)) / count
            times[at + k] = row * _MINUTE_MS + int(slot * _MINUTE_MS)
        at += count
    return prices, lots, is_buy, times
