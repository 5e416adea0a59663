"""Trades by mode and by the regime they were entered in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.evaluation.backtest_result import BacktestResult
from agent_market.evaluation.information_coefficient import clustered_mean
from agent_market.evaluation.metrics import win_rate
from agent_market.evaluation.trade_breakdown import modes
from agent_market.market.candles import read_candles, timeframe_seconds

RegimeOf = Callable[[pd.DataFrame], "pd.Series[Any]"]
"""Returns the name of each candle's regime, from candles up to it."""
_BPS = 1e4


def entry_regimes(result: BacktestResult, datadir: Path, regime_of: RegimeOf) -> pd.Series[Any]:
    """Return the regime in which each trade was entered, on the index of the trades.

    That of the newest candle closed when the trade was opened; "unknown" before the first.

    Raises
    ------
    DataError
        The candles of a pair are missing.
    """
    found = pd.Series("unknown", index=result.trades.index, dtype=object)
    length = pd.Timedelta(seconds=timeframe_seconds(result.timeframe))
    for pair, trades in result.trades.groupby("pair"):
        candles = read_candles(datadir, str(pair), result.timeframe, result.candle_kind)
        closes = pd.DatetimeIndex(candles["date"] + length)
        rows = closes.searchsorted(pd.DatetimeIndex(trades["open_date"]), side="right") - 1
        names = np.asarray(regime_of(candles), dtype=object)
        found.loc[trades.index] = np.where(rows >= 0, names[rows], "unknown")
    return found


def mode_regime_rows(trades: pd.DataFrame, regimes: pd.Series[Any]) -> list[dict[str, Any]]:
    """Return one row of figures per mode and regime that has trades, in order of their names.

    `mean_net_bps` is the mean profit of a trade in basis points of its position, after fees and
    funding, with a 95 % interval in which trades opened on one UTC day are one piece of evidence;
    `mean_before_fees_bps` leaves the fees out. Undefined figures are NaN.
    """
    net = trades["profit_ratio"].astype(float) / trades["leverage"].astype(float) * _BPS
    fees = (trades["fee_open"].astype(float) + trades["fee_close"].astype(float)) * _BPS
    day = pd.to_datetime(trades["open_date"], utc=True).dt.floor("D")
    table = trades.assign(mode=modes(trades), regime=regimes, net=net, fees=fees, day=day)
    return [
        {"mode": str(mode), "regime": str(regime), **_figures(group)}
        for (mode, regime), group in table.groupby(["mode", "regime"], sort=True)
    ]


def _figures(trades: pd.DataFrame) -> dict[str, Any]:
    net = trades["net"].to_numpy(float)
    mean = clustered_mean(net, trades["day"].to_numpy())
    return {
        "trades": len(trades),
        "days": mean.n_clusters,
        "net_profit": float(trades["profit_abs"].astype(float).sum()),
        "win_rate": win_rate(trades["profit_abs"].to_numpy(float)),
        "mean_net_bps": mean.mean,
        "mean_net_bps_interval_95": [mean.low, mean.high],
        "mean_before_fees_bps": float((net + trades["fees"].to_numpy(float)).mean()),
    }
