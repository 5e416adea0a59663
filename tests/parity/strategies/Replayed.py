import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy

FLAGS = {1: "enter_long", 2: "exit_long", 4: "enter_short", 8: "exit_short"}


class Replayed(IStrategy):
    """Trades the actions of `decisions.json` in the user directory: flags and sizes by candle."""

    timeframe = "5m"
    can_short = True
    stoploss = -0.99
    minimal_roi = {}  # noqa: RUF012
    position_adjustment_enable = True
    startup_candle_count = 0

    def bot_start(self, **kwargs: Any) -> None:
        text = (Path(self.config["user_data_dir"]) / "decisions.json").read_text()
        told = json.loads(text)
        self.flags = pd.Series(told["flags"], pd.to_datetime(told["dates"], utc=True))
        self.sizes = pd.Series(told["sizes"], self.flags.index)
        self.stoploss = told["stoploss"]
        self.minimal_roi = {int(minutes): ratio for minutes, ratio in told["minimal_roi"].items()}
        self.wanted_leverage = told["leverage"]
        self.max_holding = timedelta(minutes=5 * told["max_holding_candles"])
        self.asked: dict[int, float] = {}

    def populate_indicators(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return dataframe

    def populate_entry_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        flags = self.flags.reindex(dataframe["date"], fill_value=0).to_numpy()
        for flag, name in FLAGS.items():
            dataframe[name] = np.where(flags & flag, 1, 0)
        return dataframe

    def populate_exit_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return dataframe

    def leverage(self, *args: Any, **kwargs: Any) -> float:
        return float(self.wanted_leverage)

    def custom_stake_amount(
        self, pair: str, current_time: datetime, *args: Any, **kwargs: Any
    ) -> float:
        return float(self.sizes[current_time - timedelta(minutes=5)] * self._balance())

    def adjust_trade_position(
        self, trade: Trade, current_time: datetime, *args: Any, **kwargs: Any
    ) -> float | None:
        row = current_time - timedelta(minutes=5)
        asked = self.asked.setdefault(
            trade.id, self.sizes[trade.open_date_utc - (current_time - row)]
        )
        enters = 4 if trade.is_short else 1
        if not self.flags[row] & enters or self.sizes[row] == asked:
            return None
        self.asked[trade.id] = self.sizes[row]
        return float(self.sizes[row] * self._balance() - trade.stake_amount)

    def custom_exit(
        self, pair: str, trade: Trade, current_time: datetime, *args: Any, **kwargs: Any
    ) -> str | None:
        is_due = self.max_holding and current_time - trade.open_date_utc >= self.max_holding
        return "max_holding" if is_due else None

    def _balance(self) -> float:
        return float(self.wallets.get_total_stake_amount())


class ReplayedSpot(Replayed):
    can_short = False
