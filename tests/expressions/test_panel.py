"""Candle frames as arrays, and longer candles that are known only once they have closed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from freqtrade.strategy import merge_informative_pair

from agent_market.errors import DataError
from agent_market.expressions import Evaluator, Panel, Scope, panel_of_candles, parse_expression
from agent_market.expressions.panel import candle_number
from agent_market.market.candles import aggregate
from tests.candles import random_candles


def values(panel: Panel, text: str) -> np.ndarray:
    scope = Scope(timeframe=panel.timeframe)
    return next(Evaluator(panel).evaluate([parse_expression(text, scope)]))


def test_that_pairs_share_the_rows_of_all_their_candles() -> None:
    long, late = random_candles(50, seed=1), random_candles(50, seed=2).iloc[20:45]
    gap = random_candles(50, seed=3).drop(index=[7, 8])
    panel = panel_of_candles({"A": long, "B": late, "C": gap}, "5m")
    assert panel.shape == (3, 50) and panel.pairs == ("A", "B", "C")
    close = panel.series["close"]
    np.testing.assert_array_equal(close[0], long["close"])
    np.testing.assert_array_equal(close[1, 20:45], late["close"])
    assert np.isnan(close[1, :20]).all() and np.isnan(close[1, 45:]).all()
    assert np.flatnonzero(np.isnan(close[2])).tolist() == [7, 8]
    assert panel.first_candle == candle_number(long["date"].iloc[0], "5m")


def test_that_infinite_candles_are_missing_and_the_frame_stays_as_it_was() -> None:
    frame = random_candles(5)
    frame.loc[2, "volume"] = np.inf
    panel = panel_of_candles({"A": frame}, "5m")
    assert np.isnan(panel.series["volume"][0, 2])
    assert np.isinf(frame.loc[2, "volume"])
    with pytest.raises(ValueError, match="read-only"):
        panel.series["close"][0, 0] = 1


def test_that_funding_is_known_from_the_candle_that_closes_then() -> None:
    frame = random_candles(40)  # 5m from 00:00
    settled = pd.to_datetime(["2024-01-01 01:00", "2024-01-01 02:00"], utc=True)
    rates = pd.DataFrame({"date": settled, "open": [1e-4, -2e-4]})
    panel = panel_of_candles({"A": frame, "B": frame}, "5m", funding={"A": rates})
    funding = panel.series["funding"]
    assert np.isnan(funding[0, :11]).all() and np.isnan(funding[1]).all()
    assert (funding[0, 11:23] == 1e-4).all() and (funding[0, 23:] == -2e-4).all()


def test_that_features_and_float32_are_taken_over() -> None:
    frame = random_candles(30).assign(**{"%-rsi": np.arange(30.0)})
    panel = panel_of_candles({"A": frame}, "5m", features=["%-rsi"], dtype=np.float32)
    assert panel.dtype == np.float32
    np.testing.assert_array_equal(panel.features["%-rsi"][0], np.arange(30))


@pytest.mark.parametrize("timeframe", ["15m", "1h", "4h"])
def test_that_longer_candles_are_merged_as_freqtrade_merges_them(timeframe: str) -> None:
    frame = random_candles(400)
    panel = panel_of_candles({"A": frame}, "5m")
    informative = aggregate(frame, timeframe)
    merged = merge_informative_pair(frame, informative, "5m", timeframe, ffill=True)
    for name in ("open", "high", "low", "close", "volume"):
        expected = merged[f"{name}_{timeframe}"]
        np.testing.assert_allclose(
            values(panel, f'at("{timeframe}", {name})')[0], expected, rtol=1e-12, err_msg=name
        )


def test_that_an_hour_is_known_when_it_closes_and_not_before() -> None:
    frame = random_candles(36)
    hour = values(panel_of_candles({"A": frame}, "5m"), 'at("1h", close)')[0]
    assert np.isnan(hour[:11]).all()
    assert (hour[11:23] == frame["close"].iloc[11]).all()
    assert hour[23] == frame["close"].iloc[23]


def test_that_an_hour_that_lacks_a_candle_is_missing() -> None:
    late = random_candles(60).iloc[3:]  # the first hour is not whole
    gap = random_candles(60).drop(index=[30])
    panel = panel_of_candles({"A": late, "B": gap}, "5m")
    hour = values(panel, 'at("1h", volume)')
    assert np.isnan(hour[0, :23]).all() and np.isfinite(hour[0, 23:]).all()
    known = np.isfinite(hour[1])
    assert known[11:35].all() and not known[35:47].any() and known[47:].all()


def test_that_timeframes_may_stand_inside_each_other() -> None:
    frame = random_candles(600)
    panel = panel_of_candles({"A": frame}, "5m")
    nested = values(panel, 'at("1h", close - at("4h", close))')[0]
    four, one = values(panel, 'at("4h", close)')[0], values(panel, 'at("1h", close)')[0]
    closes = frame["date"] + pd.Timedelta("5min")
    on_the_hour = (closes.dt.minute == 0).to_numpy() & (np.arange(600) > 60)
    np.testing.assert_array_equal(nested[on_the_hour], (one - four)[on_the_hour])


def test_that_weeks_begin_on_monday() -> None:
    dates = pd.date_range("2024-01-03", periods=20, freq="1D", tz="UTC")  # a Wednesday
    frame = random_candles(20, timeframe_seconds=86_400).assign(date=dates)
    week = values(panel_of_candles({"A": frame}, "1d"), 'at("1w", close)')[0]
    sunday = dates.get_loc(pd.Timestamp("2024-01-14", tz="UTC"))
    assert np.isnan(week[:sunday]).all()
    assert week[sunday] == week[sunday + 6] == frame["close"].iloc[sunday]
    assert week[sunday + 7] == frame["close"].iloc[sunday + 7]


def test_that_returns_and_vwap_are_of_the_candle() -> None:
    frame = random_candles(30)
    panel = panel_of_candles({"A": frame}, "5m")
    typical = (frame["high"] + frame["low"] + frame["close"]) / 3
    np.testing.assert_allclose(values(panel, "vwap")[0], typical, rtol=1e-15)
    np.testing.assert_allclose(values(panel, "returns")[0], frame["close"].pct_change(), 1e-12)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({}, "found none"),
        ({"A": random_candles(9).iloc[:0]}, "found none"),
        ({"A": random_candles(9).iloc[::-1]}, "not after the one before"),
        ({"A": pd.concat([random_candles(3), random_candles(3)])}, "candle 3 of A"),
        ({"A": random_candles(9, timeframe_seconds=60)}, "which no 5m candle does"),
    ],
)
def test_that_wrong_candles_are_refused(frames: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(DataError, match=message):
        panel_of_candles(frames, "5m")


def test_that_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        Panel(("A",), "5m", 0, {"close": np.ones((1, 5)), "open": np.ones((1, 4))})
    with pytest.raises(DataError, match="int64"):
        Panel(("A",), "5m", 0, {"close": np.ones((1, 5), np.int64)})
