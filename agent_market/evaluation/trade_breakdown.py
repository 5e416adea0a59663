"""Trades grouped by pair, by mode, by exit reason and by direction."""

from __future__ import annotations

from typing import Any

import pandas as pd

from agent_market.evaluation.equity import fees_paid
from agent_market.evaluation.metrics import profit_factor, win_rate

NO_TAG = "untagged"


def breakdown(trades: pd.DataFrame, key: pd.Series[Any], name: str) -> list[dict[str, Any]]:
    """Return one row of figures per value of `key`, in order of that value."""
    return [
        {name: str(value), **trade_figures(group)}
        for value, group in trades.groupby(key.to_numpy(), sort=True)
    ]


def trade_figures(trades: pd.DataFrame) -> dict[str, Any]:
    """Return count, profit, win rate, profit factor, costs and holding time of some trades.

    Money in stake currency; `mean_trade_percent` is the mean profit on a trade's own stake.
    Shares and ratios are NaN where no trade defines them.
    """
    profits = trades["profit_abs"].to_numpy(float)
    return {
        "trades": len(trades),
        "net_profit": float(profits.sum()),
        "mean_trade_percent": float(trades["profit_ratio"].astype(float).mean()) * 100,
        "win_rate": win_rate(profits),
        "profit_factor": profit_factor(profits),
        "fees_paid": fees_paid(trades),
        # Freqtrade counts funding received as positive.
        "funding_paid": -float(trades["funding_fees"].astype(float).sum()),
        "mean_duration_minutes": float(trades["trade_duration"].astype(float).mean()),
    }


def modes(trades: pd.DataFrame) -> pd.Series[Any]:
    """Return each trade's mode, from its entry tag."""
    return trades["enter_tag"].fillna("").astype(str).replace("", NO_TAG)


def directions(trades: pd.DataFrame) -> pd.Series[Any]:
    """Return "long" or "short" of each trade."""
    return trades["is_short"].map({True: "short", False: "long"})
