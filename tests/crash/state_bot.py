"""A bot that only keeps its state: it saves models and appends predictions until it is killed.

`python -m tests.crash.state_bot FOLDER` starts one life for each line it reads, prints what is on
the disk as soon as the drawer says so, and `dead` after a life has ended.
"""

from __future__ import annotations

import functools
import os
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen

from agent_market.bridge.drawer import CrashSafeDrawer
from agent_market.learning.adapters import ModelAdapter, create, load_adapter

PAIR = "BTC/USDT:USDT"
LABEL = "&-return_bps"
FEATURES = ["%-slow", "%-fast", "%-volume"]
START = pd.Timestamp("2025-01-01", tz=UTC).as_unit("us")
CANDLE = pd.Timedelta("5min")


class SavedModel:
    """A fitted adapter in a folder."""

    def __init__(self, adapter: ModelAdapter) -> None:
        self.adapter = adapter

    def save(self, folder: Path) -> None:
        self.adapter.save(folder / "model.zip")

    @classmethod
    def load(cls, folder: Path) -> SavedModel:
        return cls(load_adapter(folder / "model.zip"))


@functools.cache
def trained(seed: int) -> SavedModel:
    """Return a ridge regression of random numbers, the same for the same seed."""
    draws = np.random.default_rng(seed).normal(size=(40, len(FEATURES) + 1))
    adapter = create("linear_regressor")
    adapter.fit(draws[:, 1:].astype(np.float32), draws[:, 0], seed=seed, feature_names=FEATURES)
    return SavedModel(adapter)


def predicted(model: SavedModel) -> float:
    return float(model.adapter.predict(np.ones((1, len(FEATURES)), dtype=np.float32))[0])


def configuration(folder: Path, **freqai: Any) -> dict[str, Any]:
    return {
        "user_data_dir": folder,
        "timeframe": "5m",
        "exchange": {"pair_whitelist": [PAIR]},
        "freqai": {
            "identifier": "crash",
            "purge_old_models": 2,
            "write_metrics_to_disk": True,
            "data_split_parameters": {},
            "feature_parameters": {"include_timeframes": ["5m"], "DI_threshold": 1},
            **freqai,
        },
    }


def drawer_of(folder: Path, **freqai: Any) -> CrashSafeDrawer:
    config = configuration(folder, **freqai)
    full_path = folder / "models" / config["freqai"]["identifier"]
    full_path.mkdir(parents=True, exist_ok=True)
    return CrashSafeDrawer(full_path, config, SavedModel.load)


def kitchen_of(folder: Path, pair: str = PAIR) -> FreqaiDataKitchen:
    kitchen = FreqaiDataKitchen(configuration(folder), live=True, pair=pair)
    kitchen.training_features_list, kitchen.label_list = FEATURES, [LABEL]
    kitchen.data["labels_mean"], kitchen.data["labels_std"] = {LABEL: 0.5}, {LABEL: 2.0}
    kitchen.DI_values = np.array([0.25])
    return kitchen


def candles(last: pd.Timestamp, n_candles: int = 20) -> pd.DataFrame:
    dates = pd.date_range(end=last, periods=n_candles, freq=CANDLE, unit="us")
    price = 100.0 + np.arange(n_candles)
    return pd.DataFrame(
        {"date": dates, "open": price, "high": price + 1, "low": price - 1, "close": price}
    )


def save_model(drawer: CrashSafeDrawer, folder: Path, timestamp: int, pair: str = PAIR) -> None:
    """Save as FreqAI does after a training."""
    drawer.get_pair_dict_info(pair)
    drawer.pair_dict[pair]["trained_timestamp"] = timestamp
    kitchen = kitchen_of(folder, pair)
    kitchen.set_paths(pair, timestamp)
    kitchen.set_new_model_names(pair, timestamp)
    drawer.save_data(trained(timestamp), pair, kitchen)


def first_prediction(
    drawer: CrashSafeDrawer, candle: pd.Timestamp, pair: str = PAIR, n_candles: int = 20
) -> None:
    """Begin the history as FreqAI does after the first training."""
    frame = candles(candle, n_candles)
    start = pd.DataFrame({LABEL: np.full(len(frame), 3.0), f"{LABEL}_mean": 0, f"{LABEL}_std": 0})
    start["do_predict"], start["DI_values"] = 0, 0.0
    for name in ("high", "low", "close"):
        start[f"{name}_price"] = frame[name]
    start["date_pred"] = frame["date"]
    drawer.historic_predictions[pair] = start
    drawer.set_initial_return_values(pair, start, frame)


def append_prediction(
    drawer: CrashSafeDrawer, folder: Path, candle: pd.Timestamp, value: float, pair: str = PAIR
) -> None:
    predictions = pd.DataFrame({LABEL: [value], f"{LABEL[:8]}_lo": [value - 1], "abstain": [0]})
    drawer.append_model_predictions(
        pair, predictions, np.array([1]), kitchen_of(folder, pair), candles(candle)
    )


def _acknowledge(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def _live(folder: Path) -> None:
    """Restart from what the disk holds and go on for ever."""
    drawer = drawer_of(folder)
    if PAIR not in drawer.historic_predictions:
        first_prediction(drawer, START)
    _, timestamp = drawer.get_pair_dict_info(PAIR)
    candle = drawer.historic_predictions[PAIR]["date_pred"].iloc[-1]
    while True:
        timestamp += 1
        save_model(drawer, folder, timestamp)
        _acknowledge(f"model {timestamp}")
        drawer.save_global_metadata_to_disk({"start_dry_live_date": timestamp})
        _acknowledge(f"metadata {timestamp}")
        for _ in range(3):
            candle += CANDLE
            append_prediction(drawer, folder, candle, candle.timestamp() / 7)
            _acknowledge(f"prediction {candle.isoformat()}")


def main() -> None:
    for _ in sys.stdin:
        life = os.fork()
        if life == 0:
            _acknowledge(f"pid {os.getpid()}")
            _live(Path(sys.argv[1]))
        os.waitpid(life, 0)
        _acknowledge("dead")


if __name__ == "__main__":
    main()
