"""What signals would have earned: an account a pair, and the figures of them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from agent_market.evaluation.metrics import (
    Interval,
    daily_returns,
    profit_factor,
    sortino_ratio,
    win_rate,
)
from agent_market.evaluation.rl.signals import Flags
from agent_market.evaluation.training.bootstrap import block_starts, percentile_interval
from agent_market.evaluation.training.sign_strategy import curve_figures
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.replay import replay
from agent_market.rl.rules import TradingRules

_DAY_MINUTES = 1440


@dataclass(frozen=True)
class Account:
    """One pair, traded on signals by the accounting of the environment.

    Each series starts at 1 (`equity`, `gross`) or 0 (`position`) and is indexed by the time at
    which its values are known. `gross` is the equity of the same signals without fee and slippage;
    funding is in both. `profits` has the profit of each trade, in order of their close, as a share
    of the start balance.
    """

    pair: str
    equity: pd.Series[float]
    gross: pd.Series[float]
    position: pd.Series[float]
    profits: Floats


def trade(pair: str, path: PricePath, rules: TradingRules, flags: Flags) -> Account:
    """Return what signals come to on a path.

    Parameters
    ----------
    path : PricePath
        With dates.
    rules : TradingRules
    flags : array, int64, (n_rows,)
        Known at the close of their row, filled at the next open; what is open at the end is closed
        there.
    """
    sizes = np.ones(len(path))
    net = replay(path, rules, flags, sizes)
    gross = replay(path, replace(rules, fee=0.0, slippage=0.0), flags, sizes)
    candle = np.timedelta64(rules.candle_minutes, "m")
    times = pd.DatetimeIndex(np.asarray(path.dates) + candle, tz="UTC")
    return Account(
        pair,
        pd.Series(net.equity / rules.start_balance, times),
        pd.Series(gross.equity / rules.start_balance, times),
        pd.Series(net.positions * rules.leverage, times),
        net.trades["profit_abs"] / rules.start_balance,
    )


def account_figures(
    accounts: Sequence[Account], rules: TradingRules, seed: int = 0
) -> dict[str, Any]:
    """Return the figures of several accounts, each with an equal part of the capital at the start.

    Parameters
    ----------
    accounts : sequence of Account
        One a pair, or one a pair and seed.
    rules : TradingRules
        Cost and length of a candle.
    seed : int
        Of the resampling.

    Returns
    -------
    dict
        `strategy`, in the form of `strategy_figures`; `sortino` with its 95 % interval; trades,
        `win_rate`, `profit_factor`, `longest_losing_streak` (the longest of one account),
        `exposure` (mean absolute position, a multiple of capital) and `time_in_market`. NaN where
        a figure is not defined.
    """
    net, gross = (_mean([getattr(each, name) for each in accounts]) for name in ("equity", "gross"))
    curve = curve_figures(net)
    daily = np.asarray(daily_returns(net), np.float64)
    positions = [each.position for each in accounts]
    profits = np.concatenate([each.profits for each in accounts])
    traded = [float(np.abs(np.diff(each, prepend=0.0)).sum()) for each in positions]
    days = [len(each) * rules.candle_minutes / _DAY_MINUTES for each in positions]
    return {
        "strategy": {
            "cost_bps": 1e4 * rules.cost,
            "n_candles": len(net),
            "turnover_per_day": sum(traded) / sum(days),
            "mean_position": float(np.mean([each.mean() for each in positions])),
            "net": curve,
            "gross": curve_figures(gross),
        },
        "sortino": sortino_ratio(daily),
        "sortino_interval_95": list(sortino_interval(daily, seed)),
        "trades": len(profits),
        "win_rate": win_rate(profits),
        "profit_factor": profit_factor(profits),
        "longest_losing_streak": max(longest_losing_streak(each.profits) for each in accounts),
        "exposure": float(np.mean([each.abs().mean() for each in positions])),
        "time_in_market": float(np.mean([(each != 0).mean() for each in positions])),
    }


def sortino_interval(returns: Floats, seed: int = 0) -> Interval:
    """Return the 95 % interval of the Sortino ratio of daily returns, by blocks of days.

    NaN where there are fewer than ten blocks.
    """
    length = max(2, round(math.cbrt(len(returns))))
    starts = block_starts(len(returns), length, seed)
    rows = (starts[:, :, None] + np.arange(length)) % max(1, len(returns))
    draws = [returns[row.ravel()[: len(returns)]] for row in rows]
    return percentile_interval(np.array([sortino_ratio(draw) for draw in draws]))


def longest_losing_streak(profits: Floats) -> int:
    """Return how many trades in a row lost at most."""
    longest = current = 0
    for lost in profits < 0:
        current = current + 1 if lost else 0
        longest = max(longest, current)
    return longest


def _mean(curves: Sequence[pd.Series[float]]) -> pd.Series[float]:
    """Return the value of equal parts; before its first and after its last candle one rests."""
    whole = pd.concat(curves, axis=1, keys=range(len(curves))).sort_index().ffill().fillna(1.0)
    mean: pd.Series[float] = whole.mean(axis=1)
    return mean
