"""Account equity at every candle, from the orders and the candles of a backtest.

Freqtrade's wallet statistics of a futures backtest move only when a trade closes; a position that
is far under water does not show. Here open positions are valued at every candle's close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.evaluation.backtest_result import BacktestResult
from agent_market.market.candles import read_candles, timeframe_seconds

FloatArray = npt.NDArray[np.float64]


def read_closes(result: BacktestResult, datadir: Path) -> pd.DataFrame:
    """Return the close of every pair over the backtest, indexed by candle open time.

    Returns
    -------
    DataFrame of shape (n_candles, n_pairs)
        A candle that one pair lacks repeats that pair's last close; NaN before its first.

    Raises
    ------
    DataError
        The candles of a pair are missing.
    """
    columns = {}
    for pair in result.pairs:
        candles = read_candles(datadir, pair, result.timeframe, result.candle_kind)
        columns[pair] = candles.set_index("date")["close"].loc[result.start : result.end]
    return pd.DataFrame(columns).sort_index().ffill()


def mark_to_market(result: BacktestResult, closes: pd.DataFrame) -> pd.DataFrame:
    """Return equity and gross position value at every candle's close.

    Parameters
    ----------
    result : BacktestResult
        Trades with their orders.
    closes : DataFrame of shape (n_candles, n_pairs)
        As `read_closes` gives them.

    Returns
    -------
    DataFrame of shape (n_candles + 1, 2)
        `equity` and `gross` (sum of absolute position values), stake currency, indexed by the
        time at which they are known: the candle's close. The first row is the starting balance.

    Notes
    -----
    Information time: a row uses orders filled, and closes of candles ended, by its own time.
    Entry and exit fees count when paid; funding of a trade counts when the trade closes, because
    the export holds only its sum. The last row is the starting balance plus all profits.
    """
    length = pd.Timedelta(seconds=timeframe_seconds(result.timeframe))
    equity = np.full(len(closes), result.starting_balance)
    gross = np.zeros(len(closes))
    opens = pd.DatetimeIndex(closes.index)
    times = opens.as_unit("ms").asi8
    for pair, trades in result.trades.groupby("pair"):
        amount, cash = _flows(trades.to_dict("records"), times)
        value = np.nan_to_num(amount * closes[str(pair)].to_numpy())
        equity += cash + value
        gross += np.abs(value)
    known = opens + length
    first = pd.DataFrame({"equity": [result.starting_balance], "gross": [0.0]}, [result.start])
    return pd.concat([first, pd.DataFrame({"equity": equity, "gross": gross}, known)])


def buy_and_hold(closes: pd.DataFrame, starting_balance: float, timeframe: str) -> pd.Series[float]:
    """Return the value of equal stakes in every pair, bought at the first close and kept.

    Unlevered, without fees or funding. Indexed by the time at which each value is known.
    """
    growth = closes.bfill() / closes.bfill().iloc[0]
    value: pd.Series[float] = growth.mean(axis=1) * starting_balance
    length = pd.Timedelta(seconds=timeframe_seconds(timeframe))
    value.index = pd.DatetimeIndex(closes.index) + length
    return value


def fees_paid(trades: pd.DataFrame) -> float:
    """Return all trading fees, stake currency: amount * price * rate over every order."""
    return float(sum(fee for trade in trades.to_dict("records") for *_, fee in _orders(trade)))


def _flows(
    trades: list[dict[Any, Any]], times: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    amount, cash = np.zeros(len(times)), np.zeros(len(times))
    for trade in trades:
        for time, signed, price, fee in _orders(trade):
            row = _row_of(times, time)
            amount[row] += signed
            cash[row] -= signed * price + fee
        cash[_row_of(times, _milliseconds(trade["close_date"]))] += float(
            trade["funding_fees"] or 0
        )
    # An exact zero once everything is sold: rounding dust must not look like a position.
    position = np.cumsum(amount)
    position[np.abs(position) < 1e-9 * max(1.0, float(np.abs(amount).max(initial=0.0)))] = 0.0
    return position, np.cumsum(cash)


def _orders(trade: Mapping[Any, Any]) -> Iterator[tuple[int, float, float, float]]:
    for order in trade["orders"]:
        rate = trade["fee_open"] if order["ft_is_entry"] else trade["fee_close"]
        size, price = float(order["amount"]), float(order["safe_price"])
        signed = size if order["ft_order_side"] == "buy" else -size
        yield int(order["order_filled_timestamp"]), signed, price, size * price * float(rate)


def _row_of(times: npt.NDArray[np.int64], time: int) -> int:
    return int(np.clip(np.searchsorted(times, time, side="right") - 1, 0, len(times) - 1))


def _milliseconds(time: pd.Timestamp) -> int:
    return int(time.timestamp() * 1000)
