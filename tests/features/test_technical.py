import numpy as np
import pandas as pd

from agent_market.features import add_calendar_features, add_candle_features, add_period_features
from tests.candles import random_candles


def _rising(rows: int) -> pd.DataFrame:
    close = pd.Series(np.arange(rows) + 100.0)
    return pd.DataFrame(
        {"open": close - 1, "high": close, "low": close - 1, "close": close, "volume": 1.0}
    )


def test_that_a_straight_rise_reads_as_one() -> None:
    last = add_period_features(_rising(40), 12).iloc[-1]
    assert last["%-efficiency-period"] == 1
    assert last["%-rsi-period"] == 100
    assert last["%-range_position-period"] == 1
    assert last["%-pressure-period"] == 1


def test_that_candle_shape_is_signed_and_flat_candles_are_zero() -> None:
    frame = _rising(3)
    frame.loc[2, ["open", "high", "low", "close"]] = 102.0
    shaped = add_candle_features(frame)
    assert list(shaped["%-body"]) == [1, 1, 0]
    assert list(shaped["%-close_location"]) == [1, 1, 0]
    assert shaped["%-return_bps"].iloc[1] == np.float64(101 / 100 - 1) * 1e4


def test_that_features_do_not_know_the_price_level() -> None:
    candles = random_candles(200)
    scaled = candles.copy()
    scaled[["open", "high", "low", "close"]] *= 1000
    for add in (add_candle_features, lambda frame: add_period_features(frame, 24)):
        ours, theirs = add(candles), add(scaled)
        features = [name for name in ours if name.startswith("%-")]
        np.testing.assert_allclose(ours[features], theirs[features], rtol=1e-7, atol=1e-7)


def test_that_nothing_is_infinite_where_nothing_trades() -> None:
    candles = random_candles(60)
    candles[["open", "high", "low", "close"]] = 100.0
    candles["volume"] = 0.0
    features = add_period_features(candles, 12).filter(like="%-")
    assert not np.isinf(features.to_numpy()).any()


def test_that_the_clock_reads_the_close_of_the_candle() -> None:
    candles = pd.DataFrame({"date": pd.to_datetime(["2024-01-07 23:55"], utc=True)})  # a Sunday
    row = add_calendar_features(candles, "5m").iloc[0]
    assert (row["%-day_sin"], row["%-day_cos"]) == (0, 1)
    assert (row["%-week_sin"], row["%-week_cos"]) == (0, 1)
