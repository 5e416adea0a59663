"""Time one live candle: 50 pairs x 400 features, from the frame with features to the stored answer.

Ours and FreqAI's LightGBMRegressor take turns in one run, on the same frames, with models of the
same size; then each again while a model is trained in the background, in turns with and without.
Writes `benchmarks/results/live_inference.json`. Budgets: 1 s a candle, and 10 % for training.
"""

from __future__ import annotations

import copy
import gc
import logging
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.enums import RunMode
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.freqai_interface import IFreqaiModel
from freqtrade.freqai.prediction_models.LightGBMRegressor import LightGBMRegressor

from agent_market.bridge import AgentMarketModel
from agent_market.bridge.live_tasks import training_table
from agent_market.bridge.live_training import LiveTrainer, TrainingWorker
from agent_market.errors import ModelUnavailable
from agent_market.learning.inference import InferencePolicy, Predictor
from agent_market.store import write_json

BUDGET_SECONDS = 1.0
BUDGET_ADDED_SHARE = 0.10
N_PAIRS, N_FEATURES, N_TRAIN, N_FRAME, N_ROUNDS = 50, 400, 5000, 999, 300
N_CANDLES, N_TURNS = 15, 24
_CANDLE = timedelta(minutes=5)
_HEAD_START_SECONDS = 0.2
_PAIRS = [f"P{number:02d}/USDT:USDT" for number in range(N_PAIRS)]
_FEATURES = [f"%-feature-{number}" for number in range(N_FEATURES)]
_RESULT = Path(__file__).parent / "results" / "live_inference.json"


class FastLightGBMRegressor(AgentMarketModel):
    """As in `freqaimodels/`."""

    adapter = "lightgbm_regressor"


class Side:
    """A FreqAI model that is asked as Freqtrade asks it live, once the features are computed."""

    def __init__(self, kind: type[IFreqaiModel], folder: Path) -> None:
        self.config = _configuration(folder)
        self.trained_at = int(time.time())
        trainer = self._model(kind)
        frame = _frame(np.random.default_rng(0), N_TRAIN)
        kitchen = self._kitchen(trainer, _PAIRS[0])
        kitchen.find_features(frame)
        kitchen.find_labels(frame)
        self.fit = lambda: trainer.train(frame, _PAIRS[0], kitchen)
        fitted = self.fit()
        for pair in _PAIRS:
            self._save(trainer, fitted, kitchen, pair)
        trainer.dd.model_dictionary.clear()
        # ours starts from the disk; FreqAI's would read its metadata from there at every candle
        self.model = self._model(kind) if kind is FastLightGBMRegressor else trainer
        self.table = training_table(frame, kitchen, 300)

    def candle(self, frames: dict[str, pd.DataFrame]) -> float:
        """Return the seconds from frames with features to answers with stored predictions."""
        gc.collect()
        started = time.perf_counter()
        for pair, frame in frames.items():
            answer = self.answer(pair, frame)
        seconds = time.perf_counter() - started
        last = answer.iloc[-1]
        if last["do_predict"] != 1 or last["date_pred"] != frame["date"].iloc[-1]:
            raise ModelUnavailable(f"{pair}: no prediction of {frame['date'].iloc[-1]}.")
        return seconds

    def answer(self, pair: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Return what the strategy gets of one pair."""
        kitchen = self._kitchen(self.model, pair)
        self.model.model = self.model.dd.load_data(pair, kitchen)
        kitchen.find_labels(frame)
        self.model.build_strategy_return_arrays(frame, kitchen, pair, self.trained_at)
        return kitchen.remove_features_from_df(kitchen.return_dataframe)

    def _model(self, kind: type[IFreqaiModel]) -> IFreqaiModel:
        model = kind(config=copy.deepcopy(self.config))
        model.live = True
        return model

    def _kitchen(self, model: IFreqaiModel, pair: str) -> FreqaiDataKitchen:
        model.dk = kitchen = FreqaiDataKitchen(self.config, True, pair)
        model.dd.set_pair_dict_info({"pair": pair})
        kitchen.set_paths(pair, self.trained_at)
        return kitchen

    def _save(
        self, model: IFreqaiModel, fitted: Any, kitchen: FreqaiDataKitchen, pair: str
    ) -> None:
        own = copy.deepcopy(kitchen)
        own.pair = pair
        own.set_new_model_names(pair, self.trained_at)
        own.data_dictionary = {"train_features": pd.DataFrame(), "train_dates": pd.DataFrame()}
        own.data.pop("filter_drop_index_training", None)
        model.dd.set_pair_dict_info({"pair": pair})
        model.dd.pair_dict[pair]["trained_timestamp"] = self.trained_at
        model.dd.save_data(fitted, pair, own)


def main() -> None:
    """Measure, print and write."""
    logging.disable(logging.WARNING)  # FreqAI's pipeline logs a line a prediction
    with tempfile.TemporaryDirectory(prefix="live_inference_") as folder:
        ours = Side(FastLightGBMRegressor, Path(folder) / "ours")
        freqai = Side(LightGBMRegressor, Path(folder) / "freqai")
        candles = _candles()
        result = _conditions()
        result |= _compare(ours, freqai, candles)
        result |= {"predict_row": _predict_rows(ours, next(candles))}
        with _worker(ours, Path(folder) / "trained") as worker:
            result["ours_while_training"] = _in_turns(ours, candles, lambda: _running(worker))
        result["freqai_while_training"] = _in_turns(
            freqai, candles, lambda: _thread(freqai), candles_a_turn=4
        )
    write_json(_RESULT, result)
    _show(result)


def _compare(
    ours: Side, freqai: Side, candles: Iterator[dict[str, pd.DataFrame]]
) -> dict[str, Any]:
    first = next(candles)
    for side in (ours, freqai):  # reads the models, fills in the first candles
        for pair, frame in first.items():
            side.answer(pair, frame)
    seconds: dict[str, list[float]] = {"ours": [], "freqai": []}
    for _ in range(N_CANDLES):
        frames = next(candles)
        seconds["ours"].append(ours.candle(frames))
        seconds["freqai"].append(freqai.candle(frames))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {
        "seconds": {name: [round(each, 4) for each in values] for name, values in seconds.items()},
        "median_seconds": {name: round(each, 4) for name, each in medians.items()},
        "times_faster_than_freqai": round(_median_ratio(seconds["freqai"], seconds["ours"]), 3),
    }


def _predict_rows(side: Side, frames: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Time `Predictor.predict_row` for one candle of every pair, without Freqtrade."""
    policy = InferencePolicy(timeframe=_CANDLE, max_staleness=timedelta(minutes=1))
    folder = side.model.dd.state_path / "models"
    predictors = [Predictor.load(each, policy) for each in sorted(folder.iterdir())]
    kinds: dict[str, Callable[[pd.DataFrame], Any]] = {
        "mapping": lambda frame: frame[_FEATURES].iloc[-1].to_dict(),
        "array": lambda frame: frame[_FEATURES].iloc[-1].to_numpy(),
        "frame": lambda frame: frame.iloc[-1:],
    }
    medians = {}
    for kind, row_of in kinds.items():
        rows = [(row_of(frame), frame["date"].iloc[-1]) for frame in frames.values()]
        totals = []
        for _ in range(N_CANDLES):
            answers = [
                predictor.predict_row(row, at=at, now=at + _CANDLE)
                for predictor, (row, at) in zip(predictors, rows, strict=True)
            ]
            totals.append(sum(answer.latency_seconds for answer in answers))
        medians[kind] = round(statistics.median(totals), 4)
    return medians


def _in_turns(
    side: Side,
    candles: Iterator[dict[str, pd.DataFrame]],
    training: Callable[[], Any],
    candles_a_turn: int = 1,
) -> dict[str, Any]:
    """Time candles with and without training, in turns, so that both see the same machine."""
    off: list[float] = []
    on: list[float] = []
    for _ in range(N_TURNS // candles_a_turn):
        off.extend(side.candle(next(candles)) for _ in range(candles_a_turn))
        with training():
            on.extend(side.candle(next(candles)) for _ in range(candles_a_turn))
    medians = statistics.median(off), statistics.median(on)
    return {
        "seconds_without": [round(each, 4) for each in off],
        "seconds_with": [round(each, 4) for each in on],
        "median_seconds_without": round(medians[0], 4),
        "median_seconds_with": round(medians[1], 4),
        "added_share": round(_median_ratio(on, off) - 1, 4),
    }


def _median_ratio(numerators: list[float], denominators: list[float]) -> float:
    """Return the median ratio of neighboring candles: a busy machine slows both down."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


@contextmanager
def _worker(side: Side, folder: Path) -> Iterator[TrainingWorker]:
    """Train one model after the other as our live bot does; the worker stands still at first."""
    trainer = LiveTrainer(side.config, folder, deadline_minutes=60)
    kitchen = FreqaiDataKitchen(side.config, True, _PAIRS[0])
    has_trained = threading.Event()

    def train() -> None:
        with suppress(ModelUnavailable):  # it was closed
            while True:
                trainer.fit([side.table], side.model.spec, kitchen, None)
                has_trained.set()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        if not has_trained.wait(timeout=300):
            raise ModelUnavailable("the worker has trained nothing in 300 s. Look at its messages.")
        _send(trainer.worker, signal.SIGSTOP)
        yield trainer.worker
    finally:
        trainer.close()
        thread.join()


@contextmanager
def _running(worker: TrainingWorker) -> Iterator[None]:
    _send(worker, signal.SIGCONT)
    time.sleep(_HEAD_START_SECONDS)
    yield
    _send(worker, signal.SIGSTOP)


def _send(worker: TrainingWorker, number: int) -> None:
    if worker.pid is None:
        raise ModelUnavailable("the training worker has not started.")
    os.kill(worker.pid, number)


@contextmanager
def _thread(side: Side) -> Iterator[None]:
    """Train as FreqAI does: in a thread of the bot."""
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            side.fit()

    thread = threading.Thread(target=train)
    thread.start()
    time.sleep(_HEAD_START_SECONDS)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _candles() -> Iterator[dict[str, pd.DataFrame]]:
    """Yield the frames of all pairs, one candle later each time."""
    rng = np.random.default_rng(1)
    histories = {pair: _frame(rng, N_FRAME + 4 * N_TURNS + N_CANDLES + 3) for pair in _PAIRS}
    for start in range(len(histories[_PAIRS[0]]) - N_FRAME + 1):
        yield {
            pair: history.iloc[start : start + N_FRAME].reset_index(drop=True)
            for pair, history in histories.items()
        }


def _frame(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
    """Return candles, features and a label; features explain a part of it."""
    features = rng.normal(size=(n_rows, N_FEATURES))
    frame = pd.DataFrame(features, columns=_FEATURES)
    close = 100 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=n_rows)))
    dates = pd.date_range("2026-01-01", periods=n_rows, freq=_CANDLE, tz="UTC", unit="ms")
    candles = {"date": dates, "open": close, "high": close, "low": close, "close": close}
    label = features[:, :20].mean(axis=1) + rng.normal(size=n_rows)
    return pd.concat([pd.DataFrame({**candles, "volume": 1.0}), frame], axis=1).assign(
        **{"&-return": label}
    )


def _configuration(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return {
        "runmode": RunMode.DRY_RUN,
        "user_data_dir": folder,
        "timeframe": "5m",
        "stake_currency": "USDT",
        "exchange": {"name": "binance", "pair_whitelist": list(_PAIRS)},
        "freqai": {
            "enabled": True,
            "identifier": "benchmark",
            "train_period_days": 17,
            "purge_old_models": 1,
            "activate_tensorboard": False,
            "data_kitchen_thread_count": 1,
            "feature_parameters": {
                "include_timeframes": ["5m"],
                "include_corr_pairlist": [],
                "label_period_candles": 12,
                "shuffle_after_split": False,
            },
            "data_split_parameters": {"test_size": 0, "shuffle": False},
            "model_training_parameters": {
                "n_estimators": N_ROUNDS,
                "learning_rate": 0.05,
                "verbosity": -1,
            },
        },
        "agent_market": {},
    }


def _conditions() -> dict[str, Any]:
    return {
        "what": f"one candle, {N_PAIRS} pairs x {N_FEATURES} features, frames of {N_FRAME} rows; "
        f"LightGBM of {N_ROUNDS} rounds on {N_TRAIN:,} rows, a model a pair; from the frame with "
        "features to the stored prediction and the strategy's frame",
        "budget_seconds": BUDGET_SECONDS,
        "budget_added_share": BUDGET_ADDED_SHARE,
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _show(result: dict[str, Any]) -> None:
    medians = result["median_seconds"]
    print(
        f"one candle: ours {medians['ours']:.3f} s, FreqAI {medians['freqai']:.3f} s (medians of "
        f"{N_CANDLES}), {result['times_faster_than_freqai']:.2f} times as fast; budget "
        f"{BUDGET_SECONDS:.0f} s"
    )
    for kind, seconds in result["predict_row"].items():
        print(f"Predictor.predict_row of {N_PAIRS} rows, each a {kind}: {seconds:.3f} s")
    for side, how in (("ours", "in a worker"), ("freqai", "in a thread")):
        turns = result[f"{side}_while_training"]
        print(
            f"training {how}: {side} {turns['median_seconds_without']:.3f} s without, "
            f"{turns['median_seconds_with']:.3f} s with, added {turns['added_share']:+.1%} "
            f"(medians of {len(turns['seconds_with'])} in turns); budget +{BUDGET_ADDED_SHARE:.0%}"
        )
    print(f"written to {_RESULT}")


if __name__ == "__main__":
    main()
