"""A project with enough candles for a campaign; each hour takes back a part of the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.market.candles import write_candles
from tests.flow_project import PAIRS, FlowProject

START, DAYS = "2024-01-01", 116
TIMERANGE = "20240420-20240424"
HISTORY_DAYS = 110
SEARCH_END = pd.Timestamp("2024-02-29 08:00", tz="UTC")
"""When the rows end that a search may see: 1,424 of the 2,640 hours before the time range."""
_REVERSAL = 0.4


def campaign_project(root: Path, **rounds: Any) -> FlowProject:
    """Return a project whose rounds are as small as can be; `rounds` lays over their settings."""
    budget = {"history_days": HISTORY_DAYS, "feature_trials": 2, "evaluations": 150}
    project = FlowProject(root)
    project.change(
        {
            "timeframe": "1h",
            "timerange": TIMERANGE,
            "freqai": {
                "train_period_days": 5,
                "backtest_period_days": 30,
                "feature_parameters": {"include_timeframes": ["1h"], "label_period_candles": 2},
            },
            "agent_market": {"flow": {"rounds": {**budget, **rounds}}},
        }
    )
    return project


def write_reverting_market(datadir: Path, later_seed: int = 0) -> None:
    """Write hourly candles of two pairs; `later_seed` draws those from `SEARCH_END` on."""
    dates = pd.date_range(START, periods=DAYS * 24, freq="1h", tz="UTC")
    later = dates >= SEARCH_END
    for number, pair in enumerate(PAIRS):
        early, other = (np.random.default_rng([number, seed]) for seed in (99, later_seed))
        shocks = np.where(later, other.normal(0, 0.004, len(dates)), 0.0)
        shocks[~later] = early.normal(0, 0.004, int((~later).sum()))
        steps = shocks.copy()
        for row in range(1, len(steps)):
            steps[row] -= _REVERSAL * steps[row - 1]
        close = 100.0 * (number + 1) * np.exp(np.cumsum(steps))
        candles = pd.DataFrame({"date": dates, "open": np.roll(close, 1), "close": close})
        candles.loc[0, "open"] = close[0]
        candles["high"] = candles[["open", "close"]].max(axis=1) * 1.0005
        candles["low"] = candles[["open", "close"]].min(axis=1) * 0.9995
        volume = np.where(later, other.lognormal(3, 1, len(dates)), 0.0)
        volume[~later] = early.lognormal(3, 1, int((~later).sum()))
        candles["volume"] = volume
        write_candles(datadir, pair, "1h", "futures", candles)
        periodic = candles.iloc[::8]
        write_candles(datadir, pair, "1h", "mark", periodic)
        funding = periodic.assign(open=0.0001, high=0.0, low=0.0, close=0.0, volume=0.0)
        write_candles(datadir, pair, "1h", "funding_rate", funding)
