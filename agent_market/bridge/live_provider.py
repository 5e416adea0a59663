"""The data provider of a strategy in the training worker, where there is no exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from freqtrade.enums import RunMode

from agent_market.bridge.live_tasks import NotAnsweredError, Snapshot


class SnapshotProvider:
    """
    Serves the candles of one training to the strategy's hooks, and refuses every other call.

    `refused` holds the errors: a hook that catches the error would otherwise go on with
    features that are not those of the bot.
    """

    def __init__(self, config: Mapping[str, Any], snapshot: Snapshot) -> None:
        self.refused: list[NotAnsweredError] = []
        self._timeframe: str = config["timeframe"]
        self._candle_types = ("", config.get("candle_type_def", ""))
        self._runmode = RunMode(config["runmode"])
        self._snapshot = snapshot

    @property
    def runmode(self) -> RunMode:
        """That of the bot."""
        return self._runmode

    def current_whitelist(self) -> list[str]:
        """Return the bot's list of pairs when the training began."""
        return list(self._snapshot.whitelist)

    def get_pair_dataframe(
        self, pair: str, timeframe: str | None = None, candle_type: str = ""
    ) -> pd.DataFrame:
        """
        Return candles of the snapshot, all that the training reads.
        :param pair: the pair trained or a correlated one
        :param timeframe: one of include_timeframes; None for the strategy's
        :param candle_type: that of the bot
        """
        timeframe = timeframe or self._timeframe
        own = pair == self._snapshot.pair
        frames = self._snapshot.base if own else self._snapshot.corr.get(pair, {})
        if timeframe not in frames or candle_type not in self._candle_types:
            wanted = ", ".join(
                map(repr, [pair, timeframe, *([candle_type] if candle_type else [])])
            )
            raise self.refusal(f"get_pair_dataframe({wanted})")
        return frames[timeframe].copy()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.refusal(name)

    def refusal(self, call: str) -> NotAnsweredError:
        """
        Note a call and return the error that names it.
        :param call: a member of `dp`, with its arguments if it is called
        """
        error = NotAnsweredError(
            f"the strategy calls dp.{call}, which the training worker cannot answer: it has the "
            "candles of freqai.feature_parameters.include_timeframes of the pair and of "
            "include_corr_pairlist, and no exchange."
        )
        self.refused.append(error)
        return error
