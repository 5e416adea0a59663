from datetime import UTC
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from freqtrade.configuration import TimeRange
from freqtrade.exceptions import OperationalException

from agent_market.bridge import model, planning
from agent_market.bridge.specs import refuse_shuffling


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
    refuse_shuffling(freqai)
    freqai[section][key] = True
    with pytest.raises(OperationalException, match=rf"freqai\.{section}\.{key} is true"):
        refuse_shuffling(freqai)


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

    def trained_until(kitchen: Any, candle_open: int) -> int:
        pairs = planning._with_last_candle(kitchen, period=500, candle=100)
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
    model._align_dates(history, newest["date"].dtype)
    assert appended().dtype == newest["date"].dtype
    assert list(appended().iloc[:3]) == list(stored)
