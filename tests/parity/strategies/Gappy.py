from typing import Any

import numpy as np
import pandas as pd
from freqtrade.strategy import IStrategy


class Gappy(IStrategy):
    """A feature that is missing now and then, and one that always is."""

    timeframe = "5m"
    process_only_new_candles = True
    startup_candle_count = 20
    stoploss = -0.05

    def feature_engineering_standard(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        for lag in range(1, 6):
            dataframe[f"%-change_{lag}"] = dataframe["close"].pct_change(lag)
        gap = dataframe["date"].dt.minute % 50 == 0
        dataframe["%-gaps"] = dataframe["volume"].mask(gap)
        dataframe["%-absent"] = np.nan
        return dataframe

    def set_freqai_targets(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        dataframe["&-return"] = dataframe["close"].shift(-12) / dataframe["close"] - 1
        return dataframe

    def populate_indicators(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return dataframe

    def populate_exit_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return dataframe


class FlatAtFirst(Gappy):
    """The label never changes before 2025-01-12."""

    def set_freqai_targets(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        later = dataframe["close"].shift(-12) / dataframe["close"] - 1
        dataframe["&-flat"] = later.where(dataframe["date"] >= "2025-01-12", later * 0)
        return dataframe
