"""What a stage of a release has shown, measured on Freqtrade's trades."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.evaluation.metrics import (
    Interval,
    daily_returns,
    sharpe_interval,
    sharpe_ratio,
    win_rate,
)

FloatArray = npt.NDArray[np.float64]

_COLUMNS = (
    "amount",
    "close_date",
    "fee_close",
    "fee_open",
    "funding_fees",
    "is_short",
    "max_rate",
    "min_rate",
    "open_date",
    "open_rate",
    "orders",
    "profit_abs",
)


@dataclass(frozen=True)
class Evidence:
    """Trades of a bot or of a backtest, as Freqtrade writes them.

    Attributes
    ----------
    source : str
        Where they come from, for people.
    trades : DataFrame
        Open trades have no `close_date`; dates are UTC.
    start, end : datetime
        The time in which they could have been made.
    starting_balance : float
        At `start`, stake currency.
    ran_at : datetime or None
        When the backtest was run; None: the trades are a bot's.
    """

    source: str
    trades: pd.DataFrame
    start: datetime
    end: datetime
    starting_balance: float
    ran_at: datetime | None = None

    def __post_init__(self) -> None:
        missing = sorted(set(_COLUMNS) - set(self.trades))
        if missing and len(self.trades):
            raise DataError(f"{self.source}: the trades lack {missing}. Give Freqtrade's own.")
        if not self.end >= self.start:
            raise DataError(f"{self.source}: ends {self.end}, before its start {self.start}.")


@dataclass(frozen=True)
class Figures:
    """Figures of one stage; a figure that is not defined is NaN.

    Attributes
    ----------
    trades, days : closed trades, and length of the time.
    net_profit : stake currency.
    max_drawdown : share of the highest realized equity; an upper bound, see `measure`.
    sharpe : of daily returns, annualized. sharpe_interval : its 95 % interval.
    hit_rate : share of closed trades with a profit.
    cost_share : fees and funding paid over the profit before them; inf where that is no profit.
    """

    trades: int
    days: float
    net_profit: float
    max_drawdown: float
    sharpe: float
    sharpe_interval: Interval
    hit_rate: float
    cost_share: float


def measure(evidence: Evidence, start: datetime, end: datetime, seed: int) -> Figures:
    """Return the figures of the trades that were opened from `start` on.

    Parameters
    ----------
    evidence : Evidence
        Profits of trades opened before `start` count for the balance only.
    start, end : datetime
        Of the stage; trades closed after `end` are open.
    seed : int
        Of the bootstrap: equal seeds give equal intervals.

    Notes
    -----
    Daily returns follow realized profits, dated by the trade's close. The drawdown holds every
    trade, from its opening to its close, at the worst price that Freqtrade saw during it, all open
    trades at once: it is never below the drawdown that was. One profit, price or balance that is
    not finite makes every figure but the count NaN.
    """
    opened = pd.to_datetime(evidence.trades["open_date"], utc=True)
    is_ours = (opened >= start) & (opened <= end)
    trades = evidence.trades[is_ours]
    closed_at = pd.to_datetime(trades["close_date"], utc=True)
    is_closed = (closed_at <= end).to_numpy()
    closed, closed_at = trades[is_closed], closed_at[is_closed]
    profits = closed["profit_abs"].to_numpy(float)
    earlier = realized(evidence.trades[opened < start], start)
    balance = evidence.starting_balance + earlier
    days = (end - start) / pd.Timedelta(days=1)
    excursions = _worst_losses(trades)
    if not (balance > 0 and np.isfinite([balance, *profits, *excursions]).all()):
        nan = math.nan
        return Figures(len(closed), days, nan, nan, nan, Interval(nan, nan), nan, nan)
    equity = _equity(closed_at, profits, balance, start, end)
    returns = np.asarray(daily_returns(equity), np.float64)
    ends = pd.to_datetime(trades["close_date"], utc=True).where(is_closed)
    return Figures(
        trades=len(closed),
        days=days,
        net_profit=float(profits.sum()),
        max_drawdown=_drawdown_bound(opened[is_ours], ends, trades, excursions, balance),
        sharpe=sharpe_ratio(returns),
        sharpe_interval=sharpe_interval(returns, seed),
        hit_rate=win_rate(profits),
        cost_share=_cost_share(closed, float(profits.sum())),
    )


def realized(trades: pd.DataFrame, until: datetime) -> float:
    """Return the profit of the trades that were closed until then, stake currency."""
    closed = pd.to_datetime(trades["close_date"], utc=True) <= until
    return float(trades.loc[closed, "profit_abs"].to_numpy(float).sum())


def fees_of(trade: Mapping[Any, Any]) -> float:
    """Return the fees of a trade's filled orders, stake currency; NaN where a rate is unknown."""
    return math.fsum(
        value * float(trade["fee_open"] if is_entry else trade["fee_close"])
        for value, is_entry in _filled(trade)
    )


def turnover_of(trade: Mapping[Any, Any]) -> float:
    """Return amount times price over a trade's filled orders, stake currency."""
    return math.fsum(value for value, _ in _filled(trade))


def _filled(trade: Mapping[Any, Any]) -> Iterator[tuple[float, bool]]:
    for order in trade["orders"]:
        # a bot's database also holds orders that wait
        if order["order_filled_timestamp"] is not None:
            yield float(order["amount"]) * float(order["safe_price"]), bool(order["ft_is_entry"])


def _worst_losses(trades: pd.DataFrame) -> FloatArray:
    """Return how far under water each trade was at worst, stake currency, at least 0."""
    is_short = trades["is_short"].to_numpy(bool)
    opened = trades["open_rate"].to_numpy(float)
    worst = np.where(is_short, trades["max_rate"], trades["min_rate"]).astype(float)
    # Freqtrade notes prices from the first candle after the entry on
    worst = np.where(np.isnan(worst), opened, worst)
    loss = (worst - opened) * np.where(is_short, 1, -1) * trades["amount"].to_numpy(float)
    return np.asarray(np.maximum(loss, 0.0), dtype=np.float64)


def _equity(
    closed_at: pd.Series[Any], profits: FloatArray, balance: float, start: datetime, end: datetime
) -> pd.Series[float]:
    steps = pd.Series(profits, pd.DatetimeIndex(closed_at)).groupby(level=0).sum().sort_index()
    marks = pd.Series([0.0, 0.0], pd.to_datetime([start, end], utc=True))
    joined = pd.concat([marks.iloc[:1], steps, marks.iloc[1:]])
    equity: pd.Series[float] = balance + joined.cumsum()
    return equity.groupby(level=0).last()


def _drawdown_bound(
    opened: pd.Series[Any],
    ends: pd.Series[Any],
    trades: pd.DataFrame,
    excursions: FloatArray,
    balance: float,
) -> float:
    is_closed = ends.notna().to_numpy()
    profits = trades["profit_abs"].to_numpy(float)[is_closed]
    times = np.concatenate([_moments(opened), _moments(ends[is_closed])])
    # of equal times openings come first: a trade that opens is not helped by one that closes
    order = np.argsort(times, kind="stable")
    cash = np.concatenate([np.zeros(len(opened)), profits])[order].cumsum() + balance
    under = np.concatenate([excursions, -excursions[is_closed]])[order].cumsum()
    peak = np.maximum.accumulate(np.maximum(cash, balance))
    return float(np.max(1 - (cash - under) / peak, initial=0.0))


def _moments(dates: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return np.asarray(pd.DatetimeIndex(dates).as_unit("ms").asi8, dtype=np.int64)


def _cost_share(closed: pd.DataFrame, net: float) -> float:
    if closed.empty:
        return math.nan
    fees = math.fsum(fees_of(trade) for trade in closed.to_dict("records"))
    # Freqtrade counts funding received as positive
    costs = fees - float(closed["funding_fees"].to_numpy(float).sum())
    if not math.isfinite(costs):
        return math.nan
    return costs / (net + costs) if net + costs > 0 else math.inf
