from typing import Any

import numpy as np
import pandas as pd
from freqtrade.strategy import IStrategy


class Awkward(IStrategy):
    """Everything that FreqAI lets a strategy do with its columns, in one."""

    timeframe = "5m"
    can_short = True
    process_only_new_candles = True
    startup_candle_count = 40
    stoploss = -0.05

    def feature_engineering_expand_all(
        self, dataframe: pd.DataFrame, period: int, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        dataframe["%-change-period"] = dataframe["close"].pct_change(period)
        dataframe["band-period"] = dataframe["close"].rolling(period).mean()
        dataframe["%%-shown-period"] = dataframe["close"] / dataframe["band-period"]
        return dataframe

    def feature_engineering_expand_basic(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        dataframe["%-volume"] = dataframe["volume"]
        dataframe["%-above"] = dataframe["close"] > dataframe["open"]
        dataframe["%-ratio"] = 1 / dataframe["close"].diff()  # infinite now and then
        dataframe["note"] = dataframe["high"] - dataframe["low"]
        if metadata["tf"] == self.timeframe:
            dataframe["%-base_only"] = np.log(dataframe["close"])
        return dataframe

    def feature_engineering_standard(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        first = next(name for name in dataframe if name.startswith("%-change-period"))
        dataframe["%-twice"] = dataframe[first] * 2
        dataframe["%%-hour"] = dataframe["date"].dt.hour
        dataframe["helper"] = dataframe["%-own"].rolling(5).mean()
        return dataframe

    def set_freqai_targets(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        horizon = self.freqai_info["feature_parameters"]["label_period_candles"]
        later = dataframe["close"].shift(-horizon)
        dataframe["&-return"] = later / dataframe["close"] - 1
        dataframe["&-of_feature"] = dataframe["%-twice"].shift(-horizon)
        dataframe["&-of_helper"] = dataframe["helper"] * later
        return dataframe

    def populate_indicators(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        dataframe["%-own"] = dataframe["close"].ewm(span=10).mean()
        dataframe["extra"] = dataframe["volume"].rolling(10).mean()
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        dataframe.loc[
            (dataframe["do_predict"] == 1) & (dataframe["&-return"] > 0), "enter_long"
        ] = 1
        return dataframe

    def populate_exit_trend(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any]
    ) -> pd.DataFrame:
        return dataframe


class Rewriting(Awkward):
    """The last hook also writes over features of the others."""

    def feature_engineering_standard(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        dataframe = super().feature_engineering_standard(dataframe, metadata)
        for name in [name for name in dataframe if name.startswith("%-change-period")]:
            dataframe[name] = dataframe[name].clip(-0.01, 0.01)
        return dataframe
