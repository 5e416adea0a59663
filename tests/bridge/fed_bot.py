"""A live strategy fed candle by candle, with Freqtrade's own matching engine behind it.

Fills, wallets and trades are those of Freqtrade's backtest. What it is asked to fill comes from a
strategy that believes itself live: it sees the candles that have closed, reads bias, event mode and
parameters as they are written, and its clock is a few seconds behind each close.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from freqtrade.data.converter import trim_dataframe
from freqtrade.data.dataprovider import DataProvider
from freqtrade.data.history import get_timerange
from freqtrade.enums import RunMode
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.resolvers import StrategyResolver

LAG = timedelta(seconds=3)  # a bot looks this long after a candle's close
LOADED = 300  # candles that a bot has
SIGNALS = ["enter_long", "exit_long", "enter_short", "exit_short", "enter_tag", "exit_tag"]
HOOKS = [
    "leverage",
    "custom_stake_amount",
    "confirm_trade_entry",
    "adjust_trade_position",
    "custom_exit",
    "custom_stoploss",
]
Trades = pd.DataFrame
Publish = Callable[[datetime], None]


class _Provider(DataProvider):
    """Shows the pairs that were analyzed, as they were, and the whitelist."""

    analyzed: dict[str, pd.DataFrame]
    now: datetime

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[pd.DataFrame, datetime]:
        return self.analyzed.get(pair, pd.DataFrame()), self.now

    def get_pair_dataframe(self, *asked: Any, **named: Any) -> pd.DataFrame:
        rows = super().get_pair_dataframe(*asked, **named)
        return rows[rows["date"] <= self.now]

    def current_whitelist(self) -> list[str]:
        return list(self._config["exchange"]["pair_whitelist"])


class FedBot(Backtesting):
    """One run of a live strategy over stored candles."""

    def __init__(self, config: dict[str, Any], publish: Publish) -> None:
        super().__init__(config)
        self._publish = publish
        live = {**self.config, "runmode": RunMode.DRY_RUN}
        strategy = StrategyResolver.load_strategy(live)
        strategy.config["runmode"] = RunMode.BACKTEST  # FreqAI must not download
        self._set_strategy(strategy)
        strategy.dp = self._provider = _Provider(self.config, self.exchange)
        self._provider.analyzed = {}
        self._loop_start = strategy.bot_loop_start
        strategy.bot_loop_start = lambda **_: None  # called with the bot's clock below
        for name in HOOKS:
            setattr(strategy, name, _late(getattr(strategy, name)))
        self._candles: dict[str, pd.DataFrame] = {}

    def run(self) -> Trades:
        """Return the trades."""
        data, timerange = self.load_bt_data()
        self._candles = {pair: frame.copy() for pair, frame in data.items()}
        shown = {
            pair: trim_dataframe(frame, timerange, startup_candles=self.required_startup)
            for pair, frame in data.items()
        }
        start, end = get_timerange(shown)
        return pd.DataFrame(self.backtest(data, start, end)["results"])

    def _get_ohlcv_as_lists(self, processed: dict[str, pd.DataFrame]) -> dict[str, Any]:
        rows = {}
        for pair, frame in processed.items():
            shown = trim_dataframe(frame, self.timerange, startup_candles=self.required_startup)
            prices = shown[["date", "open", "high", "low", "close"]].iloc[1:]
            rows[pair] = [[*row, 0, 0, 0, 0, None, None] for row in prices.to_numpy().tolist()]
        return rows

    def _time_generator(self, start_date: datetime, end_date: datetime) -> Any:
        for moment in super()._time_generator(start_date, end_date):
            self._live_loop(moment)
            yield moment

    def _live_loop(self, close: datetime) -> None:
        """Do what a bot does once a candle has closed: look around, then analyze."""
        now = close + LAG
        self._publish(now)
        self._provider.now = now
        self._loop_start(current_time=now)
        for pair, candles in self._candles.items():
            seen = candles[candles["date"] < close].tail(LOADED).reset_index(drop=True)
            metadata = {"pair": pair}
            frame = self.strategy.advise_indicators(seen, metadata)
            self._provider.analyzed[pair] = self.strategy.ft_advise_signals(frame, metadata)

    def validate_row(self, data: Any, pair: str, row_index: int, current_time: datetime) -> Any:
        row = super().validate_row(data, pair, row_index, current_time)
        newest = self._provider.analyzed[pair].iloc[-1]
        if row is None or newest["date"] + self.timeframe_td != current_time:
            return row
        signals = [newest.get(name) for name in SIGNALS]
        numbers = [0 if pd.isna(value) else int(value) for value in map(_or_zero, signals[:4])]
        tags = [None if pd.isna(tag) else tag for tag in signals[4:]]
        return [*row[:5], *numbers, *tags]


def replayed(config: dict[str, Any]) -> Trades:
    """Return the trades of Freqtrade's backtest."""
    engine = Backtesting(deepcopy(config))
    data, timerange = engine.load_bt_data()
    engine.backtest_one_strategy(engine.strategylist[0], data, timerange)
    (content,) = engine.all_bt_content.values()
    return pd.DataFrame(content["results"])


def stamp(path: Any, moment: datetime) -> None:
    """Let a file have been written at a moment."""
    os.utime(path, (moment.timestamp(), moment.timestamp()))


def _or_zero(value: Any) -> Any:
    return 0 if value is None else value


def _late(hook: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*arguments: Any, current_time: datetime, **named: Any) -> Any:
        return hook(*arguments, current_time=current_time + LAG, **named)

    return asked
