"""Snapshots of account and market for the gate, from Freqtrade's trades, wallets and candles."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.persistence import LocalTrade, Trade
from freqtrade.strategy import IStrategy

from agent_market.decisions.modes import mode_rule
from agent_market.decisions.risk import LONG_SHOT, Account, OpenTrade
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import AgentMarketSettings

KILL_SWITCH = "KILL"


class KnownCloses:
    """
    The closes of each pair, by the moment from which they are known.

    A backtest's data provider shows another pair as it was a candle ago, where that pair's turn has
    not come yet; a live bot has analyzed all of them. Asked by time, both see the same.
    """

    def __init__(self, timeframe: str) -> None:
        """
        Know nothing yet.
        :param timeframe: of the candles
        """
        self._length = pd.Timedelta(seconds=timeframe_seconds(timeframe))
        self._closes: dict[str, pd.Series] = {}

    def keep(self, pair: str, candles: pd.DataFrame) -> None:
        """
        Take the candles of a pair in place of those before.
        :param pair: the pair
        :param candles: closed ones, ascending
        """
        known_at = pd.DatetimeIndex(candles["date"] + self._length)
        self._closes[pair] = pd.Series(candles["close"].to_numpy(np.float64), index=known_at)

    def newest(self, pair: str, at: datetime, count: int = 1) -> pd.Series:
        """
        Return the newest closes that are known at a moment, at most `count`, by their moment.
        :param pair: the pair
        :param at: the moment
        :param count: how many
        """
        closes = self._closes.get(pair)
        if closes is None:
            return pd.Series(dtype=float)
        end = closes.index.searchsorted(pd.Timestamp(at), side="right")
        return closes.iloc[max(0, end - count) : end]


def read_account(
    strategy: IStrategy,
    settings: AgentMarketSettings,
    at: datetime,
    closes: KnownCloses,
    *,
    live: bool,
) -> Account:
    """
    Return what the gate knows of the account.

    Equity is the starting balance, realized profit, and open trades at their newest close, since
    Freqtrade keeps no curve. A backtest reads no kill switch, since the file is of today.
    :param strategy: the strategy, with wallets
    :param settings: the section `agent_market`
    :param at: now
    :param closes: of every pair
    :param live: whether the bot trades now, dry or not
    """
    opened = Trade.get_trades_proxy(is_open=True)
    since = at - timedelta(days=settings.risk.drawdown_days)
    closed = sorted(
        Trade.get_trades_proxy(is_open=False, close_date=since), key=lambda t: t.close_date_utc
    )
    realized = strategy.wallets.get_starting_balance() + Trade.get_total_closed_profit()
    profits = np.array([trade.close_profit_abs or 0.0 for trade in closed])
    before = realized - profits.sum()
    equity = realized + sum(_unrealized(trade, closes.newest(trade.pair, at)) for trade in opened)
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = sum(p for p, t in zip(profits, closed, strict=True) if t.close_date_utc >= midnight)
    streak = _losing_streak(profits)
    return Account(
        equity=float(equity),
        free=float(strategy.wallets.get_available_stake_amount()),
        day_start_equity=float(realized - today),
        peak_equity=float(max(equity, before, *(before + np.cumsum(profits)))),
        losing_streak=streak,
        last_loss_at=closed[-1].close_date_utc if streak else None,
        open_trades=tuple(_open_trade(trade, settings) for trade in opened),
        last_exits={(t.pair, t.enter_tag or ""): t.close_date_utc for t in closed},
        long_shot_profit=float(_profit_of(LONG_SHOT, closed)),
        kill_switch=_kill_switch(settings) if live else None,
    )


def read_correlations(
    closes: KnownCloses, at: datetime, pair: str, others: Collection[str], window_candles: int
) -> dict[str, float]:
    """
    Return the correlation of candle returns with each other pair; NaN where it cannot be told.
    :param closes: of every pair
    :param at: now
    :param pair: the pair
    :param others: pairs to compare it with
    :param window_candles: newest candles of both that are compared
    """
    returns = {
        each: closes.newest(each, at, window_candles + 1).pct_change(fill_method=None)
        for each in {pair, *others}
    }
    found = {}
    for other in set(others) - {pair}:
        both = pd.concat([returns[pair], returns[other]], axis=1, sort=True).dropna()
        enough = len(both) >= window_candles // 2
        found[other] = (
            float(np.corrcoef(both.to_numpy(np.float64).T)[0, 1]) if enough else float("nan")
        )
    return found


def _unrealized(trade: LocalTrade, closes: pd.Series) -> float:
    rate = trade.open_rate if closes.empty else float(closes.iloc[-1])
    return float(trade.calc_profit(rate)) if trade.amount else 0.0


def _open_trade(trade: LocalTrade, settings: AgentMarketSettings) -> OpenTrade:
    tag = trade.enter_tag or ""
    return OpenTrade(
        pair=trade.pair,
        direction=-1 if trade.is_short else 1,
        stake=float(trade.stake_amount),
        notional=float(trade.stake_amount * (trade.leverage or 1.0)),
        mode=tag,
        engine=mode_rule(settings.modes, tag).engine,
    )


def _losing_streak(profits: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Return how many of the newest trades in a row lost."""
    won = np.flatnonzero(profits >= 0)
    return int(len(profits) - (won[-1] + 1 if len(won) else 0))


def _profit_of(mode: str, trades: list[LocalTrade]) -> float:
    return sum(trade.close_profit_abs or 0.0 for trade in trades if trade.enter_tag == mode)


def _kill_switch(settings: AgentMarketSettings) -> str | None:
    path: Path = settings.risk.kill_switch_file or settings.state_dir / KILL_SWITCH
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:  # something is there, and it is not for us to say that it is nothing
        return f"unreadable: {error.strerror}"
