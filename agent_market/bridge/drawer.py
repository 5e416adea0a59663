"""FreqAI's data drawer, kept on disk so that a bot killed at any byte starts again."""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from freqtrade.freqai.data_drawer import FreqaiDataDrawer
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen

from agent_market.errors import AgentMarketError
from agent_market.market.candles import pair_file_name
from agent_market.store import AppendLog, Generation, Generations

logger = logging.getLogger(__name__)

STATE_FOLDER = "state"
KEPT_PREDICTIONS = 100_000  # a pair, on disk and in memory: 347 days at 5m
_DATE = "date_pred"
_EXPIRED = 2  # FreqAI's do_predict of an expired model
_NON_FINITE = "non_finite"
_FREQAI_FILES = ("historic_predictions.pkl", "pair_dictionary.json")


class SavableModel(Protocol):
    """What the drawer stores: everything a prediction needs, in files of its own."""

    def save(self, folder: Path) -> object:
        """
        Write the model.
        :param folder: an empty folder
        """


@dataclass(frozen=True)
class _Trained:
    """All that belongs together of one pair; replaced whole, so a reader never sees a mixture."""

    model: Any  # None until the first prediction after a start
    data: dict[str, Any]
    model_filename: str
    trained_timestamp: int
    folder: Path

    def pair_info(self) -> dict[str, Any]:
        return {
            "model_filename": self.model_filename,
            "trained_timestamp": self.trained_timestamp,
            "data_path": str(self.folder),
            "extras": {},
        }


class CrashSafeDrawer(FreqaiDataDrawer):
    """
    FreqAI's drawer over generations and append-only logs, below `models/<identifier>/state/`.

    A model is one generation of its pair, so the newest complete one is loaded; `pair_dict` is
    rebuilt from them. A prediction is one line of a log. A candle without a prediction (the bot was
    down, skipped it, or had no valid model) is NaN with `do_predict` 0, never a prediction of 0.

    One process uses an identifier at a time.
    """

    def __init__(
        self, full_path: Path, config: dict[str, Any], load_model: Callable[[Path], Any]
    ) -> None:
        """
        Read the state of `full_path`, whatever a kill or a fault of the disk has left of it.
        :param full_path: `models/<identifier>`
        :param config: Freqtrade's configuration
        :param load_model: returns the model that `model.save(folder)` wrote; a subclass of
            AgentMarketError says that it cannot, and the generation before it is tried
        """
        # FreqAI's constructor reads the state, so all this comes first
        self.state_path = full_path / STATE_FOLDER
        self._load_model = load_model
        self._keep = _generations_to_keep(config["freqai"].get("purge_old_models", True))
        self._trained: dict[str, _Trained] = {}
        self._logs: dict[str, AppendLog] = {}
        self._model_lock = threading.Lock()  # of the files of models
        super().__init__(full_path, config)

    # models

    def load_drawer_from_disk(self) -> None:
        """Rebuild `pair_dict` from the newest complete generation of each pair."""
        ignored = [name for name in _FREQAI_FILES if (self.full_path / name).exists()]
        if ignored:
            logger.warning(
                "%s holds %s of FreqAI's own drawer. Ignored: Agent Market keeps its state in %s.",
                self.full_path,
                " and ".join(ignored),
                self.state_path,
            )
        for folder in sorted((self.state_path / "models").glob("*")):
            generation = next(Generations(folder, self._keep).complete(), None)
            if generation is None:
                logger.warning("%s holds no complete model. The pair is trained anew.", folder)
            else:
                self._publish(generation, None)
        logger.info("Found models of %d pair(s) in %s.", len(self._trained), self.state_path)

    def save_drawer_to_disk(self) -> None:
        """Do nothing: `pair_dict` is in the manifests of the models."""

    def get_pair_dict_info(self, pair: str) -> tuple[str, int]:
        """
        Return what is published for a pair, not what FreqAI noted before it saved the model.
        :param pair: the pair
        :return: model file name and time of training, "" and 0 without a model
        """
        super().get_pair_dict_info(pair)  # makes the entry that FreqAI writes to
        trained = self._trained.get(pair)
        return (trained.model_filename, trained.trained_timestamp) if trained else ("", 0)

    def save_data(self, model: SavableModel, coin: str, dk: FreqaiDataKitchen) -> None:
        """
        Store a trained model as the newest generation of its pair, then hand it over to readers.

        The training frame is not stored. A backtest's model goes to a folder of its window, so it
        never becomes a live model.
        :param model: has `save(folder)`
        :param coin: the pair
        :param dk: FreqAI's data kitchen of this training
        """
        meta = _meta(coin, dk, int(self.pair_dict[coin]["trained_timestamp"]), has_model=True)
        if dk.live:
            with self._model_lock:
                generation = self._models(coin).commit(model.save, meta)
                self._publish(generation, model)
        else:
            generation = self._window(coin, dk).commit(model.save, meta)
            self.model_dictionary[coin] = model
        dk.data_path = generation.folder  # FreqAI's plots go here, and go with the generation

    def load_data(self, coin: str, dk: FreqaiDataKitchen) -> Any:
        """
        Return the model of a pair and put what belongs to it into the data kitchen.
        :param coin: the pair
        :param dk: FreqAI's data kitchen; gets data, feature and label names, file name and folder
        :return: the model, or None where a live pair has none; a backtest's window without a model
            raises ModelUnavailable
        """
        if not dk.live:
            generation = self._window(coin, dk).newest()
            _hand_over(_trained(generation, None), dk)
            return self._load_model(generation.folder)
        trained = self._trained.get(coin)
        if trained is not None and trained.model is None:
            trained = self._read_model(coin)
        if trained is None:
            return None
        _hand_over(trained, dk)
        return trained.model

    def has_model(self, coin: str, dk: FreqaiDataKitchen) -> bool:
        """
        Say whether the model of a backtest's window is stored: for `IFreqaiModel.model_exists`.
        :param coin: the pair
        :param dk: FreqAI's data kitchen of the window
        :return: True if `load_data` returns it
        """
        generation = next(self._window(coin, dk).complete(), None)
        return generation is not None and bool(generation.meta["has_model"])

    def save_metadata(self, dk: FreqaiDataKitchen) -> None:
        """
        Store the metadata of a backtest's window without its model.
        :param dk: FreqAI's data kitchen of the window
        """
        timestamp = int(self.pair_dict.get(dk.pair, {}).get("trained_timestamp", 0))
        meta = _meta(dk.pair, dk, timestamp, has_model=False)
        self._window(dk.pair, dk).commit(lambda folder: None, meta)

    def load_metadata(self, dk: FreqaiDataKitchen) -> None:
        """
        Read the metadata of a backtest's window; ModelUnavailable if there is none.
        :param dk: FreqAI's data kitchen of the window
        """
        _hand_over(_trained(self._window(dk.pair, dk).newest(), None), dk)

    def purge_old_models(self) -> None:
        """Do nothing: saving a model removes the generations beyond `freqai.purge_old_models`."""

    def _models(self, pair: str) -> Generations:
        return Generations(self.state_path / "models" / pair_file_name(pair), self._keep)

    def _window(self, pair: str, dk: FreqaiDataKitchen) -> Generations:
        folder = self.state_path / "backtest" / pair_file_name(pair) / str(dk.model_filename)
        return Generations(folder, keep=1)

    def _publish(self, generation: Generation, model: Any) -> _Trained:
        trained = _trained(generation, model)
        pair = generation.meta["pair"]
        self._trained[pair] = trained  # the one assignment that readers depend on
        self.pair_dict[pair] = trained.pair_info()
        if model is not None:
            self.model_dictionary[pair] = model
        return trained

    def _read_model(self, pair: str) -> _Trained | None:
        """Load the newest generation that loads; without one the pair is as if never trained."""
        with self._model_lock:
            trained = self._trained[pair]
            if trained.model is not None:  # trained while this thread waited
                return trained
            for generation in self._models(pair).complete():
                try:
                    return self._publish(generation, self._load_model(generation.folder))
                except AgentMarketError as error:
                    logger.warning("%s: %s Trying the generation before it.", pair, error)
            logger.error("%s: no stored model loads. The pair is trained anew.", pair)
            del self._trained[pair]
            self.pair_dict[pair] = self.empty_pair_dict.copy()
            return None

    # predictions

    def load_historic_predictions_from_disk(self) -> bool:
        """
        Read the predictions of every pair; damaged ones are set aside and left out.
        :return: whether there are any
        """
        for path in sorted((self.state_path / "predictions").glob("*.jsonl")):
            log, records = AppendLog.open(path)
            if len(log) > KEPT_PREDICTIONS:
                log.compact(KEPT_PREDICTIONS)
                records = records[-KEPT_PREDICTIONS:]
            if records:
                pair = str(records[-1]["pair"])
                self._logs[pair] = log
                self.historic_predictions[pair] = _history(records)
        n_rows = sum(map(len, self.historic_predictions.values()))
        logger.info("Found %d predictions in %s.", n_rows, self.state_path)
        return bool(self.historic_predictions)

    def save_historic_predictions_to_disk(self) -> None:
        """Do nothing: every prediction is on the disk since it was made."""

    def set_initial_return_values(
        self, pair: str, pred_df: pd.DataFrame, dataframe: pd.DataFrame
    ) -> None:
        """
        Give the strategy the stored predictions of its candles, and NaN where there is none.

        The first time, FreqAI has just filled `historic_predictions` with what the new model says
        of its own training candles, `do_predict` 0; this start of the statistics is stored too,
        with NaN for the mean and deviation that nothing is known of yet.
        :param pair: the pair
        :param pred_df: predictions of these candles by the model at hand; not used after a restart,
            since they were not made when the candles were new
        :param dataframe: the strategy's candles
        """
        if not len(self._log(pair)):
            start = self.historic_predictions[pair]
            start = start[~_is_empty(start)].reset_index(drop=True)
            statistics = [f"{name}_{kind}" for name in pred_df for kind in ("mean", "std")]
            start[start.columns.intersection(statistics)] = np.nan
            self.historic_predictions[pair] = start
            self._log(pair).extend(_records(pair, start))
        self._return(pair, dataframe)
        missed = int((dataframe["date"] > self.historic_predictions[pair][_DATE].max()).sum())
        if missed:
            logger.warning(
                "%s: %d candle(s) up to %s passed without a prediction. They are NaN with "
                "do_predict 0.",
                pair,
                missed,
                dataframe["date"].iloc[-1],
            )

    def append_model_predictions(
        self,
        pair: str,
        predictions: pd.DataFrame,
        do_preds: npt.NDArray[np.int_],
        dk: FreqaiDataKitchen,
        strat_df: pd.DataFrame,
    ) -> None:
        """
        Store the prediction of the newest candle, then give the strategy those of its candles.

        Without a prediction (the model has expired, or every `&` column is NaN) nothing is stored:
        the candle is NaN with `do_predict` 0.
        :param pair: the pair
        :param predictions: the newest row last; any columns, also strings and columns without
            mean and deviation
        :param do_preds: FreqAI's flags, the newest last
        :param dk: FreqAI's data kitchen, with the means and deviations of the labels
        :param strat_df: the strategy's candles
        """
        self._align_dates(pair, strat_df)
        history = self.historic_predictions[pair]
        candle = strat_df.iloc[-1]
        last = history[_DATE].iloc[-1] if len(history) else pd.NaT
        if candle["date"] < last:
            logger.warning(
                "%s: the candle %s is older than the last prediction, %s. Kept what is stored.",
                pair,
                candle["date"],
                last,
            )
        elif do_preds[-1] == _EXPIRED or _is_empty(predictions).iloc[-1]:
            logger.info("%s: no valid prediction of the candle %s.", pair, candle["date"])
        else:
            row = self._row(predictions, int(do_preds[-1]), dk, candle)
            self._log(pair).extend(_records(pair, row))
            before = history.iloc[:-1] if candle["date"] == last else history
            self.historic_predictions[pair] = _joined(before, row)
        self._return(pair, strat_df)

    def return_null_values_to_strategy(
        self, dataframe: pd.DataFrame, dk: FreqaiDataKitchen
    ) -> None:
        """
        Give the strategy NaN with `do_predict` 0: there is no model yet.
        :param dataframe: the strategy's candles with features
        :param dk: FreqAI's data kitchen; gets the frame
        """
        dk.find_features(dataframe)
        dk.find_labels(dataframe)
        labels = dk.label_list + dk.unique_class_list
        columns = [name for label in labels for name in (label, f"{label}_mean", f"{label}_std")]
        if self._has_dissimilarity_index():
            columns.append("DI_values")
        columns.extend(dk.data["extra_returns_per_train"])
        dataframe[columns] = np.nan
        dataframe["do_predict"] = 0
        dk.return_dataframe = dataframe

    def _log(self, pair: str) -> AppendLog:
        if pair not in self._logs:
            path = self.state_path / "predictions" / f"{pair_file_name(pair)}.jsonl"
            self._logs[pair], _ = AppendLog.open(path)
        return self._logs[pair]

    def _row(
        self, predictions: pd.DataFrame, do_predict: int, dk: FreqaiDataKitchen, candle: Any
    ) -> pd.DataFrame:
        """Return the columns that FreqAI keeps of one candle."""
        row: dict[str, Any] = {}
        means, deviations = dk.data.get("labels_mean", {}), dk.data.get("labels_std", {})
        for name in predictions.columns:
            row[name] = predictions[name].iloc[-1]
            if name in means:
                row |= {f"{name}_mean": means[name], f"{name}_std": deviations[name]}
        row["do_predict"] = do_predict
        if self._has_dissimilarity_index():
            row["DI_values"] = dk.DI_values[-1]
        row.update(dk.data["extra_returns_per_train"])
        for name in ("high", "low", "close"):
            row[f"{name}_price"] = candle[name]
        row[_DATE] = candle["date"]
        return pd.DataFrame([row]).replace([np.inf, -np.inf], np.nan)

    def _return(self, pair: str, dataframe: pd.DataFrame) -> None:
        """Lay the history over the strategy's candles."""
        self._align_dates(pair, dataframe)
        history = self.historic_predictions[pair]
        dates = dataframe["date"].drop_duplicates()
        recent = history.iloc[int(history[_DATE].searchsorted(dates.min())) :]
        returned = dates.to_frame(_DATE).merge(recent, on=_DATE, how="left")[history.columns]
        returned["do_predict"] = returned["do_predict"].fillna(0).astype(np.int64)
        self.model_return_values[pair] = returned

    def _align_dates(self, pair: str, dataframe: pd.DataFrame) -> None:
        """Give the dates of the history the type of the strategy's: unit and UTC object differ."""
        history, dtype = self.historic_predictions[pair], dataframe["date"].dtype
        if history[_DATE].dtype != dtype:
            self.historic_predictions[pair] = history.assign(
                **{_DATE: history[_DATE].astype(dtype)}
            )

    def _has_dissimilarity_index(self) -> bool:
        return bool(self.freqai_info["feature_parameters"].get("DI_threshold", 0) > 0)

    # metadata and metrics

    def load_global_metadata_from_disk(self) -> dict[str, Any]:
        """
        Read FreqAI's global metadata.
        :return: the newest complete generation, or nothing
        """
        return _load_values(self.state_path / "global_metadata")

    def save_global_metadata_to_disk(self, metadata: dict[str, Any]) -> None:
        """
        Store FreqAI's global metadata.
        :param metadata: replaces what was stored
        """
        with self.save_lock:
            _save_values(self.state_path / "global_metadata", metadata)

    def load_metric_tracker_from_disk(self) -> None:
        """Read the metrics if `freqai.write_metrics_to_disk` is set."""
        if self.freqai_info.get("write_metrics_to_disk", False):
            self.metric_tracker = _load_values(self.state_path / "metric_tracker")

    def save_metric_tracker_to_disk(self) -> None:
        """Store the metrics collected so far."""
        with self.save_lock, self.metric_tracker_lock:
            _save_values(self.state_path / "metric_tracker", self.metric_tracker)


def _generations_to_keep(purge_old_models: bool | int) -> int | None:
    """FreqAI's reading of the setting: true is 2, false and 0 keep everything."""
    if not purge_old_models:
        return None
    return 2 if purge_old_models is True else int(purge_old_models)


def _meta(
    pair: str, dk: FreqaiDataKitchen, trained_timestamp: int, *, has_model: bool
) -> dict[str, Any]:
    data = {
        **dk.data,
        "training_features_list": dk.training_features_list,
        "label_list": dk.label_list,
        "model_filename": str(dk.model_filename),
        "trained_timestamp": trained_timestamp,
    }
    return {"pair": pair, "has_model": has_model, "data": _plain(data, "dk.data")}


def _trained(generation: Generation, model: Any) -> _Trained:
    data = _revived(generation.meta["data"])
    data["data_path"] = str(generation.folder)
    return _Trained(
        model=model,
        data=data,
        model_filename=data["model_filename"],
        trained_timestamp=data["trained_timestamp"],
        folder=generation.folder,
    )


def _hand_over(trained: _Trained, dk: FreqaiDataKitchen) -> None:
    # a copy: FreqAI and its users write into dk.data, from two threads
    dk.data = copy.deepcopy(trained.data)
    dk.training_features_list = dk.data["training_features_list"]
    dk.label_list = dk.data["label_list"]
    dk.model_filename = trained.model_filename
    dk.data_path = trained.folder


def _load_values(folder: Path) -> dict[str, Any]:
    generation = next(Generations(folder).complete(), None)
    return {} if generation is None else dict(_revived(generation.meta))


def _save_values(folder: Path, values: dict[str, Any]) -> None:
    Generations(folder).commit(lambda empty: None, _plain(values, folder.name))


def _plain(value: Any, where: str) -> Any:
    """Return JSON without loss of NaN and infinity; what JSON cannot hold becomes text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_NON_FINITE: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray | pd.Series | pd.Index):
        return [_plain(item, where) for item in value]
    logger.warning("%s is of type %s. It is stored as text.", where, type(value).__name__)
    return str(value)


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_NON_FINITE}:
            return float(value[_NON_FINITE])
        return {key: _revived(item) for key, item in value.items()}
    return [_revived(item) for item in value] if isinstance(value, list) else value


def _is_empty(predictions: pd.DataFrame) -> pd.Series:
    """Return the rows without any prediction: FreqAI's statistics fail on NaN."""
    return predictions.filter(regex="^&").isna().all(axis=1)


def _records(pair: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one flat record a row, dates as ISO 8601."""
    return [
        {"pair": pair, **{str(name): _scalar(value) for name, value in row.items()}}
        for row in rows.to_dict("records")
    ]


def _scalar(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _history(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the frame that FreqAI keeps: sorted, one row a candle, the last record of it."""
    frame = pd.DataFrame(records).drop(columns="pair")
    frame[_DATE] = pd.to_datetime(frame[_DATE], utc=True, format="ISO8601").dt.as_unit("ms")
    empty = frame.columns[frame.isna().all()]
    frame[empty] = frame[empty].astype(np.float64)
    return frame.drop_duplicates(_DATE, keep="last").sort_values(_DATE, ignore_index=True)


def _joined(history: pd.DataFrame, row: pd.DataFrame) -> pd.DataFrame:
    """Append a row; columns may have come or gone with a new model."""
    columns = history.columns.union(row.columns, sort=False)
    row = row.assign(**{_DATE: row[_DATE].astype(history[_DATE].dtype)})
    # an all-NaN column of one row would change the type of the whole
    filled = row.loc[:, row.notna().all()]
    return pd.concat([history, filled], ignore_index=True).reindex(columns=columns)
