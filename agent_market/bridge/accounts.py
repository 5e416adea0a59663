"""Snapshots of account and market for the gate, from Freqtrade's trades, wallets and candles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.persistence import LocalTrade, Trade
from freqtrade.strategy import IStrategy

from agent_market.decisions.modes import mode_rule
from agent_market.decisions.risk import LONG_SHOT, Account, OpenTrade
from agent_market.settings import AgentMarketSettings

KILL_SWITCH = "KILL"


def read_account(
    strategy: IStrategy, settings: AgentMarketSettings, at: datetime, *, live: bool
) -> Account:
    """
    Return what the gate knows of the account.

    Equity is the starting balance, realized profit, and open trades at their newest close, since
    Freqtrade keeps no curve. A backtest reads no kill switch, since the file is of today.
    :param strategy: the strategy, with wallets and data provider
    :param settings: the section `agent_market`
    :param at: now
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
    equity = realized + sum(_unrealized(strategy, trade) for trade in opened)
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
    strategy: IStrategy, pair: str, others: Iterable[str], window_candles: int
) -> dict[str, float]:
    """
    Return the correlation of candle returns with each other pair; NaN where it cannot be told.
    :param strategy: the strategy, whose data provider hides later candles in a backtest
    :param pair: the pair
    :param others: pairs to compare it with
    :param window_candles: newest candles of both that are compared
    """
    own = _returns(strategy, pair, window_candles)
    found = {}
    for other in set(others) - {pair}:
        both = pd.concat(
            [own, _returns(strategy, other, window_candles)], axis=1, sort=True
        ).dropna()
        enough = len(both) >= window_candles // 2
        found[other] = (
            float(np.corrcoef(both.to_numpy(np.float64).T)[0, 1]) if enough else float("nan")
        )
    return found


def _returns(strategy: IStrategy, pair: str, rows: int) -> pd.Series:
    candles, _ = strategy.dp.get_analyzed_dataframe(pair, strategy.timeframe)
    if candles.empty:
        return pd.Series(dtype=float)
    newest = candles.tail(rows + 1)
    closes = pd.Series(newest["close"].to_numpy(np.float64), index=pd.DatetimeIndex(newest["date"]))
    return closes.pct_change(fill_method=None)


def _unrealized(strategy: IStrategy, trade: LocalTrade) -> float:
    candles, _ = strategy.dp.get_analyzed_dataframe(trade.pair, strategy.timeframe)
    rate = trade.open_rate if candles.empty else float(candles["close"].iloc[-1])
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
