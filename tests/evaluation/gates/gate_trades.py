"""Trades in the form of Freqtrade's, whose every figure is known."""

import math
from datetime import UTC, datetime, timedelta

import pandas as pd

from agent_market.evaluation.gates import Evidence, Figures
from agent_market.evaluation.metrics import Interval

START = datetime(2025, 3, 1, tzinfo=UTC)
BALANCE = 1000.0
FEE = 0.0005
GOOD = Figures(
    trades=1000,
    days=1000.0,
    net_profit=100.0,
    max_drawdown=0.01,
    sharpe=9.0,
    sharpe_interval=Interval(8.0, 10.0),
    hit_rate=0.9,
    cost_share=0.1,
)


def order(value: float, is_entry: bool, filled: datetime | None) -> dict:
    return {
        "amount": value / 100,
        "safe_price": 100.0,
        "ft_order_side": "buy" if is_entry else "sell",
        "ft_is_entry": is_entry,
        "order_filled_timestamp": None if filled is None else int(filled.timestamp() * 1000),
    }


def trade(
    profit: float,
    day: float,
    hours: float | None = 2.0,
    low: float = 100.0,
    funding: float = 0.0,
    is_short: bool = False,
) -> dict:
    """A trade of 100 in stake currency at a price of 100; `hours` None leaves it open."""
    opened = START + timedelta(days=day)
    closed = None if hours is None else opened + timedelta(hours=hours)
    orders = [order(100.0, True, opened), order(100.0, False, closed)]
    return {
        "pair": "BTC/USDT:USDT",
        "open_date": opened,
        "close_date": pd.NaT if closed is None else closed,
        "profit_abs": math.nan if closed is None else profit,
        "amount": 1.0,
        "open_rate": 100.0,
        "min_rate": low,
        "max_rate": 200.0 - low if is_short else 101.0,
        "fee_open": FEE,
        "fee_close": FEE,
        "funding_fees": funding,
        "is_short": is_short,
        "orders": orders,
    }


def evidence(trades: list[dict], days: float = 30.0, **values) -> Evidence:
    frame = pd.DataFrame(trades, columns=list(trade(0, 0)))
    end = START + timedelta(days=days)
    return Evidence(
        "trades", frame, **{"start": START, "end": end, "starting_balance": BALANCE} | values
    )
