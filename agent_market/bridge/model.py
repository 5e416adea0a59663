"""The FreqAI base class of our models."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from datasieve.pipeline import Pipeline
from freqtrade.configuration import TimeRange
from freqtrade.enums import RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.freqai_interface import IFreqaiModel
from freqtrade.strategy import IStrategy

from agent_market.bridge.backtest import AGE, WindowRunner, add_intervals, backtest_frame
from agent_market.bridge.configuration import settings_of
from agent_market.bridge.drawer import CrashSafeDrawer
from agent_market.bridge.features import FeatureBuilder, PairFeatures
from agent_market.bridge.live_tasks import Snapshot, training_frame, training_table
from agent_market.bridge.live_training import LiveTrainer
from agent_market.bridge.outliers import without_look_ahead
from agent_market.bridge.planning import plan_pair
from agent_market.bridge.specs import model_spec, refuse_shuffling, uses_pipeline
from agent_market.errors import AgentMarketError
from agent_market.learning.adapters import adapter_class
from agent_market.learning.feature_store import FeatureStore, as_float32
from agent_market.learning.window_model import WindowModel
from agent_market.learning.window_plan import PairPlan
from agent_market.learning.window_tasks import start_workers

logger = logging.getLogger(__name__)


class AgentMarketModel(IFreqaiModel):
    """
    A FreqAI model that is one of our adapters; a subclass names which.

    Overrides public methods of FreqAI only. In a backtest, features and targets are computed once,
    windows are trained in parallel and read back if nothing has changed; labels never reach from
    the training part into the validation part. Live, models and predictions survive a kill at any
    byte, and a candle without a prediction is NaN with `do_predict` 0, never a prediction of 0.
    """

    adapter: ClassVar[str]
    drawer: ClassVar[type[CrashSafeDrawer]] = CrashSafeDrawer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_shuffling(self.freqai_info)
        with _as_freqtrade_error():
            self.learning = settings_of(self.config).learning
            self.state_dir = Path(settings_of(self.config).state_dir)
            self.horizon = int(self.ft_params["label_period_candles"])
            self.spec = model_spec(
                self.config,
                self.adapter,
                self.horizon,
                pipeline=self.feature_pipeline(),
            )
            self.CONV_WIDTH = self.spec.create().window
        if self.plot_features:
            logger.info(
                "plot_feature_importances draws nothing here: %s has the share of every feature.",
                Path(self.full_path) / "windows",
            )
        self.dd = self.drawer(Path(self.full_path), self.config, WindowModel.load)
        self.dd.current_candle = self.current_candle
        self.metadata = self.dd.load_global_metadata_from_disk()
        self.train_queue = self._oldest_first()
        self.trainer = LiveTrainer(
            self.config, Path(self.full_path) / "training", self.learning.training_deadline_minutes
        )
        self._builder: FeatureBuilder | None = None
        if self.config["runmode"] == RunMode.BACKTEST:
            start_workers(self._n_workers, self.spec)

    # backtest

    def start_backtesting(
        self,
        dataframe: pd.DataFrame,
        metadata: dict[str, Any],
        dk: FreqaiDataKitchen,
        strategy: IStrategy,
    ) -> FreqaiDataKitchen:
        """
        Train the windows of a pair in parallel and return their predictions.
        :param dataframe: candles of the whole backtest and the training period before it
        :param metadata: the pair
        :param dk: FreqAI's data kitchen of this pair
        :param strategy: the strategy
        :return: the data kitchen, with predictions
        """
        self.pair_it += 1
        pair = metadata["pair"]
        with _as_freqtrade_error():
            plan, features = self.plan(dataframe, pair, dk, strategy)
            by_window = self.run_windows(plan, strategy)
        dk.training_features_list = list(plan.table.names)
        dk.label_list = list(plan.label_names)
        dk.full_df = backtest_frame(plan, by_window, self.config["timeframe"])
        for name, value in dk.data["extra_returns_per_train"].items():
            dk.full_df[name] = value
        if not self.ft_params.get("DI_threshold", 0):
            dk.full_df = dk.full_df.drop(columns="DI_values")
        self.backtesting_fit_live_predictions(dk)
        dk.full_df = self._with_intervals(dk.full_df, plan, by_window)
        dk.return_dataframe = features.returned().merge(dk.full_df, how="left", on="date")
        flags = dk.return_dataframe["do_predict"].fillna(0)
        dk.return_dataframe["do_predict"] = flags.astype(np.int64)
        return dk

    def backtesting_fit_live_predictions(self, dk: FreqaiDataKitchen) -> None:
        """
        Give each candle mean and deviation of the `fit_live_predictions_candles` predictions
        before it.

        The same figures as FreqAI's loop over candles, at once; a model with a
        `fit_live_predictions` of its own gets FreqAI's loop.
        :param dk: FreqAI's data kitchen, with `full_df`
        """
        candles = int(self.freqai_info.get("fit_live_predictions_candles", 0))
        if not candles:
            return
        if type(self).fit_live_predictions is not IFreqaiModel.fit_live_predictions:
            super().backtesting_fit_live_predictions(dk)
            return
        late = dk.full_df.index >= candles
        for name in [name for name in dk.full_df if f"{name}_mean" in dk.full_df]:
            before = dk.full_df[name].shift(1).rolling(candles, min_periods=1)
            for statistic, values in (("mean", before.mean()), ("std", before.std(ddof=0))):
                column = f"{name}_{statistic}"
                dk.full_df[column] = dk.full_df[column].astype(float).mask(late, values)

    def plan(
        self, dataframe: pd.DataFrame, pair: str, dk: FreqaiDataKitchen, strategy: IStrategy
    ) -> tuple[PairPlan, PairFeatures]:
        """
        Return features, labels and windows of a pair.
        :param dataframe: the frame that the strategy hands over
        :param pair: the pair
        :param dk: FreqAI's data kitchen of this pair
        :param strategy: the strategy
        """
        return plan_pair(self.config, strategy, self.features_of(strategy), pair, dataframe, dk)

    def run_windows(self, plan: PairPlan, strategy: IStrategy) -> dict[int, pd.DataFrame]:
        """
        Return the predictions of a pair's windows.
        :param plan: the pair
        :param strategy: the strategy
        """
        return self.runner().run([plan])[plan.pair]

    def runner(self) -> WindowRunner:
        """Return what trains and predicts windows for this model."""
        return WindowRunner(
            Path(self.full_path),
            type(self).__name__,
            self.spec,
            self._n_workers,
            save_models=self.save_backtest_models,
        )

    @property
    def _n_workers(self) -> int:
        return self.learning.workers or os.cpu_count() or 1

    def features_of(self, strategy: IStrategy) -> FeatureBuilder:
        """
        Return what makes the strategy's features.
        :param strategy: the strategy
        """
        if self._builder is None or self._builder.strategy is not strategy:
            root = self.state_dir / "features" if self.learning.feature_cache else None
            self._builder = FeatureBuilder(self.config, strategy, FeatureStore(root))
        return self._builder

    def feature_pipeline(self) -> Pipeline | None:
        """Return FreqAI's pipeline, unfitted, where an option or an own definition asks for it."""
        own = type(self).define_data_pipeline is not IFreqaiModel.define_data_pipeline
        if own or uses_pipeline(self.freqai_info):
            return without_look_ahead(self.define_data_pipeline(threads=1))
        return None

    def _with_intervals(
        self, frame: pd.DataFrame, plan: PairPlan, by_window: dict[int, pd.DataFrame]
    ) -> pd.DataFrame:
        if self.learning.conformal.coverage is None or not self._regresses:
            return frame
        outcomes = pd.DataFrame(plan.labels, columns=list(plan.label_names))
        outcomes = outcomes.assign(date=plan.candles["date"]).merge(frame[["date"]], on="date")
        first = by_window[min(by_window)]
        intervals = add_intervals(
            frame,
            outcomes[list(plan.label_names)],
            self.horizon,
            self.learning.conformal,
            first.attrs.get("calibration_errors", {}),
        )
        return pd.concat([frame, intervals], axis=1)

    # live

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
        dk.data["extra_returns_per_train"] = {**dk.data["extra_returns_per_train"], AGE: np.nan}
        kitchen = super().start_live(dataframe, metadata, strategy, dk)
        with self.dd.history_lock:
            _align_dates(self.dd.historic_data, dataframe["date"].dtype)
        kitchen.return_dataframe = self._without_intervals(
            kitchen.return_dataframe, kitchen.label_list
        )
        return kitchen

    def build_strategy_return_arrays(
        self, dataframe: pd.DataFrame, dk: FreqaiDataKitchen, pair: str, trained_timestamp: int
    ) -> None:
        """
        Predict the newest candle and give the strategy the stored predictions with it.

        FreqAI leaves the first candle after a start without a prediction; here it has one.
        :param dataframe: the strategy's candles with features
        :param dk: FreqAI's data kitchen; gets the frame
        :param pair: the pair
        :param trained_timestamp: when the model was trained, seconds since 1970
        """
        age = (pd.Timestamp.now("UTC").timestamp() - trained_timestamp) / 3600
        extra = dk.data.get("extra_returns_per_train", {})
        dk.data["extra_returns_per_train"] = {**extra, AGE: round(age, 3)}
        if pair not in self.dd.model_return_values:
            predictions, flags = self.predict(dataframe, dk)
            if pair not in self.dd.historic_predictions:
                self.set_initial_historic_predictions(predictions.copy(), dk, pair, dataframe)
            self.dd.set_initial_return_values(pair, predictions, dataframe)
        else:
            newest = dataframe.iloc[-self.CONV_WIDTH :]
            predictions, flags = self.predict(newest, dk)
        if dk.check_if_model_expired(trained_timestamp):
            logger.warning("%s: the model is %.1f hours old and has expired.", pair, age)
            flags = np.full_like(flags, 2)
        if self.freqai_info.get("fit_live_predictions_candles", 0):
            self.fit_live_predictions(dk, pair)
        self.dd.append_model_predictions(pair, predictions, flags, dk, dataframe)
        dk.return_dataframe = self.dd.attach_return_values_to_return_dataframe(pair, dataframe)
        self._add_live_intervals(dk, dataframe)

    def extract_data_and_train_model(
        self,
        new_trained_timerange: TimeRange,
        pair: str,
        strategy: IStrategy,
        dk: FreqaiDataKitchen,
        data_load_timerange: TimeRange,
    ) -> None:
        """
        Train a pair on the newest candles and hand the model over when it is on disk.

        Features, targets and the fit are left to the training worker; this thread waits for it.
        :param new_trained_timerange: the training period
        :param pair: the pair
        :param strategy: the strategy
        :param dk: FreqAI's data kitchen of this pair
        :param data_load_timerange: the training period and the candles before it
        """
        timerange = dk.buffer_timerange(new_trained_timerange.copy())
        try:
            model = self.train_live(strategy, dk, timerange, data_load_timerange)
        except AgentMarketError as error:
            logger.warning("%s: not trained. %s The pair comes again in its turn.", pair, error)
            return
        trained_at = new_trained_timerange.stopts
        dk.set_new_model_names(pair, trained_at)
        self.dd.pair_dict[pair]["trained_timestamp"] = trained_at
        self.dd.save_data(model, pair, dk)
        self.dd.purge_old_models()

    def train_live(
        self,
        strategy: IStrategy,
        dk: FreqaiDataKitchen,
        trained: TimeRange,
        loaded: TimeRange,
    ) -> WindowModel:
        """
        Return a model of the newest candles.

        An error of ours says why there is none; the model before it stays.
        :param strategy: the strategy
        :param dk: FreqAI's data kitchen of the pair whose turn it is
        :param trained: the training period
        :param loaded: the training period and the candles before it
        """
        corr, base = self.dd.get_base_and_corr_dataframes(loaded, dk.pair, dk)
        whitelist = tuple(strategy.dp.current_whitelist())
        snapshot = Snapshot(dk.pair, base, corr, trained, whitelist)
        model = self._train_in_worker(snapshot, dk)
        if model is not None:
            return model
        return self.train(training_frame(snapshot, strategy, dk), dk.pair, dk)

    def train(
        self, unfiltered_df: pd.DataFrame, pair: str, dk: FreqaiDataKitchen, **kwargs: Any
    ) -> WindowModel:
        """
        Fit the model of one training period in the training worker.
        :param unfiltered_df: features, labels and candles of the period
        :param pair: the pair
        :param dk: FreqAI's data kitchen, which has found features and labels
        :return: the model
        """
        table = training_table(unfiltered_df, dk, self.base_tf_seconds)
        return self.trainer.fit([table], self.spec, dk, self._continued(pair))

    def shutdown(self) -> None:
        """
        Stop as FreqAI does, which waits for the training unless
        `wait_for_training_iteration_on_reload` is false, and end the training worker.
        """
        super().shutdown()
        self.trainer.close()

    def _train_in_worker(self, snapshot: Snapshot, dk: FreqaiDataKitchen) -> WindowModel | None:
        """Return None where features are computed here; a `train` of one's own wants them."""
        if type(self).train is not AgentMarketModel.train:
            return None
        return self.trainer.train(snapshot, self.spec, dk, self._continued(snapshot.pair))

    def _continued(self, pair: str) -> Path | None:
        """Return the folder of the model to go on from."""
        if not self.continual_learning or not self.dd.get_pair_dict_info(pair)[1]:
            return None
        return Path(self.dd.pair_dict[pair]["data_path"])

    def fit(self, data_dictionary: dict[str, Any], dk: FreqaiDataKitchen, **kwargs: Any) -> Any:
        """
        Refuse: rows are chosen, split and fitted in `train`.
        :param data_dictionary: not used
        :param dk: not used
        """
        raise OperationalException(
            f"{type(self).__name__} fits in train(), not in fit(). Override `adapter`, or write a "
            "ModelAdapter."
        )

    def predict(
        self, unfiltered_df: pd.DataFrame, dk: FreqaiDataKitchen, **kwargs: Any
    ) -> tuple[pd.DataFrame, npt.NDArray[np.int_]]:
        """
        Predict rows; those with too few features, or that are outliers, are NaN with flag 0.
        :param unfiltered_df: consecutive rows with features
        :param dk: FreqAI's data kitchen; gets means, deviations and dissimilarity
        :return: the predictions, and a flag a row
        """
        model: WindowModel = self.model
        columns = self.columns_of(model, dk.pair)
        missing = [name for name in columns if name not in unfiltered_df.columns]
        if missing:
            raise OperationalException(
                f"{dk.pair}: the model was trained on {len(model.feature_names)} features, and "
                f"{len(missing)} of them are not there (first: {missing[0]}). Change "
                "freqai.identifier, or restore the features."
            )
        prediction = model.predict(as_float32(unfiltered_df[columns]))
        dk.data["labels_mean"], dk.data["labels_std"] = _moments(model)
        dk.DI_values = prediction.dissimilarity
        dk.do_predict = prediction.trusted.astype(np.int_)
        return pd.DataFrame(prediction.outputs), dk.do_predict

    def columns_of(self, model: WindowModel, pair: str) -> list[str]:
        """
        Return the columns of a pair's frame that are the features of a model.
        :param model: the model
        :param pair: the pair
        """
        return list(model.feature_names)

    def _add_live_intervals(self, dk: FreqaiDataKitchen, dataframe: pd.DataFrame) -> None:
        if self.learning.conformal.coverage is None or not self._regresses:
            return
        frame, names = dk.return_dataframe, list(dk.label_list)
        # the model's first candles were filled in from its own training rows, with flag 0
        predictions = frame[names].astype(float).where(frame["do_predict"] == 1)
        model: WindowModel = self.model
        intervals = add_intervals(
            predictions,
            dataframe[names].reset_index(drop=True),
            self.horizon,
            self.learning.conformal,
            model.calibration_errors,
        )
        dk.return_dataframe = pd.concat([frame, intervals], axis=1)

    def _without_intervals(self, frame: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
        """Give a frame without a model the columns that it will have with one."""
        if self.learning.conformal.coverage is None or not self._regresses or "abstain" in frame:
            return frame
        bounds = {f"{name}_{bound}": np.nan for name in labels for bound in ("lo", "hi")}
        return frame.assign(**bounds, abstain=1)

    def _oldest_first(self) -> deque[str]:
        """Return the pairs to train, those with the oldest model, or none, first."""
        pairs = self.config.get("exchange", {}).get("pair_whitelist") or []
        return deque(sorted(pairs, key=lambda pair: self.dd.get_pair_dict_info(pair)[1]))

    @property
    def _regresses(self) -> bool:
        return adapter_class(self.adapter).task == "regression"


def _moments(model: WindowModel) -> tuple[dict[str, float], dict[str, float]]:
    nothing = dict.fromkeys(model.further_outputs, 0.0)
    return {**model.label_mean, **nothing}, {**model.label_std, **nothing}


def _align_dates(history: dict[str, dict[str, pd.DataFrame]], dtype: Any) -> None:
    """Give the dates of every pair and timeframe the type of the live candles."""
    for frames in history.values():
        for timeframe, frame in frames.items():
            if frame["date"].dtype != dtype:
                frames[timeframe] = frame.assign(date=frame["date"].astype(dtype))


@contextmanager
def _as_freqtrade_error() -> Iterator[None]:
    """Let Freqtrade show our errors as its own, one line and exit code 2."""
    try:
        yield
    except AgentMarketError as error:
        raise OperationalException(str(error)) from error
