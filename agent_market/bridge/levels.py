"""The degrade level of each pair of a running bot, between candles too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

from agent_market.decisions.degrade import (
    CLOCK_TOLERANCE_SECONDS,
    LEVELS,
    Budget,
    DegradeMonitor,
    LevelChange,
)
from agent_market.learning.inference import DegradeLevel
from agent_market.market.candles import timeframe_seconds

NOTED_CANDLES = 2000  # of a pair; more than any exchange hands out at a start


class LevelWatch:
    """
    What the frame says of a candle, made worse by what the clock says since.

    In a backtest nobody observes, and the level is the frame's.
    """

    def __init__(
        self, budgets: Mapping[str, Budget], recovery_candles: int, timeframe: str
    ) -> None:
        """
        :param budgets: of each input, whose age is in the column `am_age_<input>`
        :param recovery_candles: see `DegradeMonitor`
        :param timeframe: of the candles
        """
        self._budgets, self._recovery = budgets, recovery_candles
        self._length = pd.Timedelta(seconds=timeframe_seconds(timeframe))
        self._monitors: dict[str, DegradeMonitor] = {}
        self._noted: dict[str, dict[pd.Timestamp, int]] = {}

    def observe(self, pair: str, candle: pd.Series, now: datetime) -> LevelChange | None:
        """
        Return the change of the pair's level since the last look, None where there is none.
        :param pair: the pair
        :param candle: its newest one
        :param now: the moment
        """
        late = self._late(candle, now)
        ages = {name: float(candle[f"am_age_{name}"]) + late for name in self._budgets}
        if pair not in self._monitors:
            self._monitors[pair] = DegradeMonitor(self._budgets, self._recovery)
        best = LEVELS[int(candle["am_level"])]
        change = self._monitors[pair].observe(candle["date"], ages, best)
        self._note(pair, candle["date"])
        return change

    def _late(self, candle: pd.Series, now: datetime) -> float:
        """
        Return for how long the candle is the newest, in seconds; 0 until the next one is overdue.

        Until then the row's ages stand, as they do in a backtest.
        """
        late = (pd.Timestamp(now) - candle["date"] - self._length).total_seconds()
        overdue = self._length.total_seconds() + CLOCK_TOLERANCE_SECONDS
        return 0.0 if 0 <= late <= overdue else float(late)

    def level(self, pair: str, candle: pd.Series) -> DegradeLevel:
        """
        Return the level of a pair.
        :param pair: the pair
        :param candle: its newest one
        """
        place = int(candle["am_level"])
        if pair in self._monitors:
            place = max(place, LEVELS.index(self._monitors[pair].level))
        return LEVELS[place]

    def in_force(self, pair: str, dates: pd.Series, levels: pd.Series) -> pd.Series:
        """
        Return the levels of candles, made worse by what was observed while each was the newest.

        A candle that came late, with newer ones, has the last level observed before it. The newest
        has its own until it is observed: a level that is over must not hold it down.
        :param pair: the pair
        :param dates: of the candles, ascending
        :param levels: of the frame, places in `LEVELS`, on the index of `dates`
        """
        noted = self._noted.get(pair)
        if not noted:
            return levels
        places = pd.Series(noted).reindex(dates).to_numpy(np.float64)
        carried = pd.Series(places, index=levels.index).ffill()
        carried.iloc[-1:] = places[-1:]
        return levels.clip(lower=carried.fillna(0)).astype(int)

    def _note(self, pair: str, date: pd.Timestamp) -> None:
        noted = self._noted.setdefault(pair, {})
        noted[date] = LEVELS.index(self._monitors[pair].level)  # it only gets worse on one candle
        if len(noted) > NOTED_CANDLES:
            del noted[next(iter(noted))]
