"""The feature hooks that our strategies share."""

from __future__ import annotations

from typing import Any

from freqtrade.strategy import IStrategy
from pandas import DataFrame

from agent_market.bridge.configuration import settings_of
from agent_market.bridge.expression_features import (
    expression_features_of,
    expression_features_path,
)
from agent_market.bridge.feature_sets import (
    feature_inputs,
    feature_set_of,
    feature_set_path,
    informative_candles,
)
from agent_market.features import (
    Hook,
    add_calendar_features,
    add_candle_features,
    add_period_features,
)


class FeatureHooks(IStrategy):
    """
    Features of candles and calendar, or those that the files of the user directory name.

    Where the user directory has `freqai_features.json`, the features are those that it names; the
    expressions of `freqai_expressions.json` are features too.
    """

    startup_candle_count: int

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.settings = settings_of(config)
        # Freqtrade lays the configured timeframe over the class's once the strategy is made
        timeframe = str(config.get("timeframe", self.timeframe))
        self.feature_set = feature_set_of(config, timeframe)
        if self.feature_set is not None:
            n_shifts = config["freqai"]["feature_parameters"].get("include_shifted_candles", 0)
            startup = self.feature_set.startup(timeframe, n_shifts)
            self.startup_candle_count = max(self.startup_candle_count, startup)
        self.expressions = expression_features_of(config, timeframe)
        if self.expressions is not None:
            memory = self.expressions.lookback
            self.startup_candle_count = max(self.startup_candle_count, memory)
        self.feature_files = (feature_set_path(config), expression_features_path(config))

    def informative_pairs(self) -> list[tuple[str, str, str]]:
        """Return the candles that the feature set needs beside the strategy's own."""
        if self.feature_set is None:
            return []
        return informative_candles(self.feature_set, self.dp.current_whitelist())

    def feature_engineering_expand_all(
        self, dataframe: DataFrame, period: int, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        """
        Add the features of a period.
        :param dataframe: candles of a pair and timeframe
        :param period: of `indicator_periods_candles`
        :param metadata: the pair
        :return: the frame with `%-` columns
        """
        if self.feature_set is not None:
            inputs = feature_inputs(self, dataframe, metadata)
            return self.feature_set.add(inputs, Hook.EXPAND_ALL, period)
        return add_period_features(dataframe, period)

    def feature_engineering_expand_basic(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        """
        Add the features without a period.
        :param dataframe: candles of a pair and timeframe
        :param metadata: the pair
        :return: the frame with `%-` columns
        """
        if self.feature_set is not None:
            inputs = feature_inputs(self, dataframe, metadata)
            return self.feature_set.add(inputs, Hook.EXPAND_BASIC, None)
        return add_candle_features(dataframe)

    def feature_engineering_standard(
        self, dataframe: DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> DataFrame:
        """
        Add the features of the strategy's own timeframe, and alpha expressions.
        :param dataframe: candles of a pair
        :param metadata: the pair
        :return: the frame with `%-` columns
        """
        if self.expressions is not None:
            dataframe = self.expressions.add(dataframe, metadata, self)
        if self.feature_set is not None:
            inputs = feature_inputs(self, dataframe, metadata)
            return self.feature_set.add(inputs, Hook.STANDARD, None)
        return add_calendar_features(dataframe, self.timeframe)
