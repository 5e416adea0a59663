"""The FreqAI base class of our regressors."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from freqtrade.exceptions import OperationalException
from freqtrade.freqai.base_models.BaseRegressionModel import BaseRegressionModel
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.windows import TrainedWindow

logger = logging.getLogger(__name__)


class AgentMarketRegressor(BaseRegressionModel):
    """
    A FreqAI regressor that purges its validation split and records every window it trains.

    A subclass writes `fit_estimator` and `importance`; everything else is FreqAI's. The rows whose
    label reaches into the validation tail are left out of the training set: FreqAI splits
    overlapping labels without a gap.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _refuse_shuffling(self.freqai_info)
        self.horizon_candles = int(self.ft_params["label_period_candles"])

    @abstractmethod
    def fit_estimator(
        self,
        train: tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.float64]],
        valid: tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.float64]] | None,
        init_model: Any,
    ) -> Any:
        """
        Return a fitted estimator with `predict(X)`.
        :param train: features (n_rows, n_features), labels (n_rows, n_labels), weights (n_rows,)
        :param valid: the same for the purged tail, or None where `test_size` is 0
        :param init_model: the model to go on from under `continual_learning`, or None
        """

    @abstractmethod
    def importance(self, estimator: Any) -> npt.NDArray[np.float64]:
        """
        Return the weight of each feature, in the order of the training columns, not negative.
        :param estimator: what `fit_estimator` returned
        """

    def start_backtesting(
        self,
        dataframe: pd.DataFrame,
        metadata: dict[str, Any],
        dk: FreqaiDataKitchen,
        strategy: IStrategy,
    ) -> FreqaiDataKitchen:
        """
        Backtest as FreqAI does, and predict the last candle too.

        FreqAI's windows end one candle before the data, and the strategy would read a zero there,
        which `freqtrade lookahead-analysis` takes for look-ahead bias. With the last candle in the
        window it belongs to, a prediction does not depend on where the data end.
        :param dataframe: candles of the whole backtest and the training period before it
        :param metadata: the pair
        :param dk: FreqAI's data kitchen of this pair
        :param strategy: the strategy
        :return: the data kitchen, with predictions
        """
        _include_last_candle(
            dk, int(self.freqai_info["backtest_period_days"] * 86_400), self.base_tf_seconds
        )
        return super().start_backtesting(dataframe, metadata, dk, strategy)

    def start_live(
        self,
        dataframe: pd.DataFrame,
        metadata: dict[str, Any],
        strategy: IStrategy,
        dk: FreqaiDataKitchen,
    ) -> FreqaiDataKitchen:
        """
        Train and predict as FreqAI does, and keep its candle history of one date type.

        FreqAI appends live candles to the history it read from disk. Freqtrade 2026.9 reads feather
        dates in milliseconds and makes live ones in microseconds, with another UTC object; pandas 3
        turns the two into a column of objects, and every later training fails.
        :param dataframe: the newest candles
        :param metadata: the pair
        :param strategy: the strategy
        :param dk: FreqAI's data kitchen of this pair
        :return: the data kitchen, with predictions
        """
        kitchen = super().start_live(dataframe, metadata, strategy, dk)
        with self.dd.history_lock:
            _align_dates(self.dd.historic_data, dataframe["date"].dtype)
        return kitchen

    def train(
        self, unfiltered_df: pd.DataFrame, pair: str, dk: FreqaiDataKitchen, **kwargs: Any
    ) -> Any:
        """
        Train as FreqAI does, then leave a record of the window.
        :param unfiltered_df: the training period, all columns
        :param pair: the pair
        :param dk: FreqAI's data kitchen of this pair and window
        :return: the fitted estimator
        """
        started = time.monotonic()
        model = super().train(unfiltered_df, pair, dk, **kwargs)
        self._record_window(model, pair, dk, time.monotonic() - started)
        return model

    def fit(self, data_dictionary: dict[str, Any], dk: FreqaiDataKitchen, **kwargs: Any) -> Any:
        """
        Purge the training rows that overlap the validation tail, then fit.
        :param data_dictionary: FreqAI's train and test features, labels and weights
        :param dk: FreqAI's data kitchen of this pair and window
        :return: the fitted estimator
        """
        train = _part(data_dictionary, "train")
        valid = _part(data_dictionary, "test") if len(data_dictionary["test_features"]) else None
        if valid is not None:
            train = _purge_tail(train, self.horizon_candles, dk.pair)
        return self.fit_estimator(train, valid, self.get_init_model(dk.pair))

    def _record_window(
        self, model: Any, pair: str, dk: FreqaiDataKitchen, fit_seconds: float
    ) -> None:
        features = dk.data_dictionary["train_features"]
        weights = self.importance(model)
        shares = weights / weights.sum() if weights.sum() > 0 else weights
        path = TrainedWindow(
            pair=pair,
            model=type(self).__name__,
            trained_from=dk.train_dates.iloc[0].to_pydatetime(),
            trained_until=dk.train_dates.iloc[-1].to_pydatetime(),
            n_rows=len(features),
            n_features=features.shape[1],
            seed=self.model_training_parameters.get("random_seed"),
            fit_seconds=round(fit_seconds, 3),
            feature_importance={
                name: round(float(share), 6)
                for name, share in zip(features.columns, shares, strict=True)
            },
        ).write(Path(self.full_path))
        logger.info("Recorded the trained window in %s.", path)


def _refuse_shuffling(freqai: dict[str, Any]) -> None:
    """Overlapping labels may not be split at random: the validation score would be a leak."""
    places = {
        "freqai.data_split_parameters.shuffle": freqai["data_split_parameters"].get("shuffle"),
        "freqai.feature_parameters.shuffle_after_split": freqai["feature_parameters"].get(
            "shuffle_after_split"
        ),
        "freqai.feature_parameters.reverse_train_test_order": freqai["feature_parameters"].get(
            "reverse_train_test_order"
        ),
    }
    wrong = [key for key, value in places.items() if value]
    if wrong:
        raise OperationalException(
            f"{', '.join(wrong)} is true, which lets overlapping labels leak between training and "
            "validation. Set it to false."
        )


def _align_dates(history: dict[str, dict[str, pd.DataFrame]], dtype: Any) -> None:
    """Give the dates of every pair and timeframe the type of the live candles."""
    for frames in history.values():
        for timeframe, frame in frames.items():
            if frame["date"].dtype != dtype:
                frames[timeframe] = frame.assign(date=frame["date"].astype(dtype))


def _include_last_candle(dk: FreqaiDataKitchen, period: int, candle: int) -> None:
    """Lengthen the last window by a candle, or open the next one if it is full (in seconds)."""
    train, window = dk.training_timeranges[-1], dk.backtesting_timeranges[-1]
    if window.stopts - window.startts < period:
        window.stopts += candle
        return
    train, window = train.copy(), window.copy()
    train.startts, train.stopts = train.startts + period, train.stopts + period
    window.startts, window.stopts = window.stopts, window.stopts + candle
    dk.training_timeranges.append(train)
    dk.backtesting_timeranges.append(window)


def _part(
    data: dict[str, Any], name: str
) -> tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.float64]]:
    return data[f"{name}_features"], data[f"{name}_labels"], np.asarray(data[f"{name}_weights"])


def _purge_tail(
    train: tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.float64]], horizon: int, pair: str
) -> tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.float64]]:
    features, labels, weights = train
    kept = len(features) - horizon
    if kept <= 0:
        raise OperationalException(
            f"{pair}: the purge of label_period_candles = {horizon} takes all of the "
            f"{len(features)} training rows. Raise freqai.train_period_days or lower the horizon."
        )
    return features.iloc[:kept], labels.iloc[:kept], weights[:kept]
