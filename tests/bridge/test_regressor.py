from datetime import UTC
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from freqtrade.configuration import TimeRange
from freqtrade.exceptions import OperationalException

from agent_market.bridge import AgentMarketRegressor, regressor


class _Recorder(AgentMarketRegressor):
    """Keeps what it was asked to fit; never starts FreqAI."""

    def __init__(self, horizon: int) -> None:
        self.horizon_candles = horizon

    def get_init_model(self, pair: str) -> None:
        return None

    def fit_estimator(self, train: Any, valid: Any, init_model: Any) -> Any:
        self.train_rows, self.valid_rows = train[0], None if valid is None else valid[0]
        return self

    def importance(self, estimator: Any) -> Any:
        return np.ones(1)


def _split(train: int, test: int) -> dict[str, Any]:
    frame = pd.DataFrame({"x": np.arange(train + test, dtype=float)})
    parts = {"train": frame.iloc[:train], "test": frame.iloc[train:]}
    return {
        f"{name}_{kind}": part if kind != "weights" else np.ones(len(part))
        for name, part in parts.items()
        for kind in ("features", "labels", "weights")
    }


KITCHEN: Any = SimpleNamespace(pair="BTC/USDT:USDT")


def test_that_no_training_label_reaches_into_the_validation_tail() -> None:
    model = _Recorder(horizon=12)
    model.fit(_split(100, 20), KITCHEN)
    last_label_end = model.train_rows["x"].iloc[-1] + 12
    assert last_label_end < model.valid_rows["x"].iloc[0]
    assert len(model.train_rows) == 88  # nothing more is thrown away than needed


def test_that_without_a_validation_tail_every_row_trains() -> None:
    model = _Recorder(horizon=12)
    model.fit(_split(100, 0), KITCHEN)
    assert len(model.train_rows) == 100
    assert model.valid_rows is None


def test_that_a_purge_that_takes_everything_says_what_to_change() -> None:
    with pytest.raises(
        OperationalException, match=r"label_period_candles = 200.*train_period_days"
    ):
        _Recorder(horizon=200).fit(_split(100, 20), KITCHEN)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("data_split_parameters", "shuffle"),
        ("feature_parameters", "shuffle_after_split"),
        ("feature_parameters", "reverse_train_test_order"),
    ],
)
def test_that_shuffling_overlapping_labels_is_refused(section: str, key: str) -> None:
    freqai: dict[str, Any] = {"data_split_parameters": {}, "feature_parameters": {}}
    regressor._refuse_shuffling(freqai)
    freqai[section][key] = True
    with pytest.raises(OperationalException, match=rf"freqai\.{section}\.{key} is true"):
        regressor._refuse_shuffling(freqai)


def _windows(stop: int, period: int) -> Any:
    """Windows as FreqAI cuts them: full ones from 0, the last one ending at `stop`."""
    starts = range(0, stop, period)
    return SimpleNamespace(
        training_timeranges=[TimeRange("date", "date", s - 1000, s) for s in starts],
        backtesting_timeranges=[
            TimeRange("date", "date", s, min(s + period, stop)) for s in starts
        ],
    )


@pytest.mark.parametrize("stop", [700, 1000, 1300])
def test_that_the_last_candle_is_predicted_by_the_window_it_belongs_to(stop: int) -> None:
    short, long = _windows(stop, 500), _windows(5000, 500)
    regressor._include_last_candle(short, period=500, candle=100)

    def trained_until(kitchen: Any, candle_open: int) -> int:
        pairs = zip(kitchen.training_timeranges, kitchen.backtesting_timeranges, strict=True)
        hits = [t.stopts for t, b in pairs if b.startts <= candle_open < b.stopts]
        assert len(hits) == 1
        return int(hits[0])

    for candle_open in range(0, stop + 1, 100):
        assert trained_until(short, candle_open) == trained_until(long, candle_open)
        assert trained_until(short, candle_open) <= candle_open


def test_that_history_from_disk_takes_the_date_type_of_live_candles() -> None:
    stored = pd.date_range("2024-01-01", periods=3, freq="5min", tz=ZoneInfo("UTC"), unit="ms")
    live = pd.date_range("2024-01-01 00:15", periods=1, freq="5min", tz=UTC, unit="us")
    history = {"BTC/USDT:USDT": {"5m": pd.DataFrame({"date": stored, "close": 1.0})}}
    newest = pd.DataFrame({"date": live, "close": 1.0})

    def appended() -> pd.Series:
        return pd.concat([history["BTC/USDT:USDT"]["5m"], newest])["date"]

    assert appended().dtype == object  # what breaks FreqAI's training
    regressor._align_dates(history, newest["date"].dtype)
    assert appended().dtype == newest["date"].dtype
    assert list(appended().iloc[:3]) == list(stored)
