import dataclasses

import numpy as np
import pandas as pd
import pytest
import talib

from agent_market.features import GROUPS, FeatureInputs, compute_group
from agent_market.features.rolling import rolling_slope
from tests.features.group_inputs import PAIRS, candles, inputs


def _given(frame: pd.DataFrame) -> FeatureInputs:
    return dataclasses.replace(inputs(), candles=frame)


def _columns(name: str, frame: pd.DataFrame, period: int = 24) -> pd.DataFrame:
    found = compute_group(GROUPS[name], _given(frame), period)
    return found.rename(columns=lambda column: column.removeprefix(f"%-{name}_").split("-")[0])


def _straight(rows: int = 100, step: float = 0.01) -> pd.DataFrame:
    close = pd.Series(100 * np.exp(step * np.arange(rows)))
    opened = close.shift(fill_value=100 * np.exp(-step))
    low, high = np.minimum(opened, close), np.maximum(opened, close)
    return pd.DataFrame(
        {"open": opened, "high": high, "low": low, "close": close, "volume": 1.0}
    ).assign(date=candles()["date"].iloc[:rows])


def test_that_returns_add_up_over_the_period() -> None:
    last = _columns("returns", _straight()).iloc[-1]
    assert last["total_bps"] == pytest.approx(2400)
    assert last["turn_bps"] == pytest.approx(0, abs=1e-9)
    assert last["up_share"] == 1
    assert _columns("returns", _straight(step=-0.01)).iloc[-1]["up_share"] == 0


def test_that_the_turn_is_the_second_half_less_the_first() -> None:
    bent = pd.concat([_straight(88), _straight(12, 0.0)], ignore_index=True)
    bent.loc[88:, ["open", "high", "low", "close"]] = bent.loc[87, "close"]
    bent["date"] = candles()["date"].iloc[:100]
    last = _columns("returns", bent).iloc[-1]
    assert last["turn_bps"] == pytest.approx(-1200)


def test_that_volatility_doubles_with_the_moves() -> None:
    calm = candles()
    wild = calm.copy()
    prices = ["open", "high", "low", "close"]
    wild[prices] = np.exp(2 * np.log(calm[prices]))
    ours, theirs = _columns("volatility", calm), _columns("volatility", wild)
    for name, factor in (("std_bps", 2), ("parkinson_bps", 2), ("ratio", 1), ("downside_share", 1)):
        np.testing.assert_allclose(theirs[name], factor * ours[name], rtol=1e-6)


def test_that_parkinson_estimates_the_volatility_of_a_walk() -> None:
    rng = np.random.default_rng(3)
    path = np.cumsum(rng.normal(0, 0.0002, (2000, 200)), axis=1)
    frame = pd.DataFrame(
        {
            "open": 100.0,
            "high": 100 * np.exp(np.maximum(path.max(axis=1), 0)),
            "low": 100 * np.exp(np.minimum(path.min(axis=1), 0)),
            "close": 100.0,
            "volume": 1.0,
        }
    )
    estimate = _columns("volatility", frame.assign(date=candles()["date"]), 100)["parkinson_bps"]
    assert estimate.mean() == pytest.approx(0.0002 * 200**0.5 * 1e4, rel=0.1)


def test_that_volume_is_held_against_its_own_past() -> None:
    frame = _straight().assign(volume=1.0)
    frame.loc[99, "volume"] = 25.0
    last = _columns("volume", frame).iloc[-1]
    assert last["rank"] == pytest.approx(1 - 0.5 / 24)
    assert last["z"] > 4
    assert last["ratio"] == pytest.approx(2 / (1 + 24 / 96))
    assert last["pressure"] == 1


def test_that_the_vwap_is_that_of_the_period() -> None:
    frame = candles().iloc[:300]
    tail = frame.iloc[-24:]
    typical = (tail["high"] + tail["low"] + tail["close"]) / 3
    average = (typical * tail["volume"]).sum() / tail["volume"].sum()
    found = _columns("vwap", frame).iloc[-1]["deviation_bps"]
    assert found == pytest.approx((tail["close"].iloc[-1] / average - 1) * 1e4)


def test_that_a_gap_is_measured_in_ranges() -> None:
    frame = _straight(step=0.0).assign(high=101.0, low=99.0)
    frame.loc[99, ["open", "high", "low", "close"]] = [104.0, 105.0, 103.0, 104.0]
    last = _columns("range", frame).iloc[-1]
    average = (23 * 2 + 5) / 24
    assert last["gap_atr"] == pytest.approx(4 / average)
    assert last["expansion"] == pytest.approx(5 / average)
    assert last["atr_bps"] == pytest.approx(average / 104 * 1e4)
    assert last["position"] == pytest.approx(5 / 6)


def test_that_momentum_and_reversion_mirror_with_the_price() -> None:
    up, down = _straight(step=0.001), _straight(step=-0.001)
    rising, falling = _columns("momentum", up).iloc[-1], _columns("momentum", down).iloc[-1]
    assert rising["efficiency"] == pytest.approx(1)
    assert falling["efficiency"] == pytest.approx(-1)
    assert (rising["aroon"], falling["aroon"]) == (1, -1)
    assert rising["breakout_atr"] > 0 > falling["breakout_atr"]
    assert rising["slope_bps"] == pytest.approx(10, rel=0.02)
    high, low = _columns("reversion", up).iloc[-1], _columns("reversion", down).iloc[-1]
    assert high["mean_z"] > 1.5 and low["mean_z"] < -1.5
    assert (high["rsi"], low["rsi"]) == (100, 0)
    assert (high["williams"], low["williams"]) == (0, -1)
    assert high["rank"] == pytest.approx(1 - 0.5 / 24)


def test_that_moves_that_alternate_have_a_negative_autocorrelation() -> None:
    frame = _straight()
    frame["close"] = np.where(np.arange(100) % 2, 101.0, 100.0)
    assert _columns("reversion", frame).iloc[-1]["autocorrelation"] == pytest.approx(-1)


def test_that_the_slope_is_that_of_talib() -> None:
    close = candles()["close"]
    theirs = talib.LINEARREG_SLOPE(close.to_numpy(), 24)
    np.testing.assert_allclose(rolling_slope(close, 24), theirs, rtol=1e-6, atol=1e-9)


def test_that_a_pair_that_leads_the_market_is_strong() -> None:
    own = candles().copy()
    own[["open", "high", "low", "close"]] *= np.exp(0.001 * np.arange(len(own)))[:, None]
    before = compute_group(GROUPS["market"], inputs())
    after = compute_group(GROUPS["market"], _given(own))
    gained = (after - before)["%-market_strength_12_bps"].dropna()
    # a third of the market is the pair itself
    np.testing.assert_allclose(gained, 120 * 2 / 3, rtol=1e-6)
    assert before["%-market_breadth_12"].dropna().isin([0, 1 / 3, 2 / 3, 1]).all()


def test_that_peers_are_matched_by_time_and_a_missing_one_does_not_count() -> None:
    given = inputs()
    gap = candles(PAIRS[2])["date"].iloc[1000]

    def without(pair: str, timeframe: str, kind: str) -> pd.DataFrame:
        frame = candles(pair)
        return frame[frame["date"] != gap] if pair == PAIRS[2] else frame

    whole = compute_group(GROUPS["market"], given)
    found = compute_group(GROUPS["market"], dataclasses.replace(given, candles_of=without))
    changed = (whole != found).any(axis=1) & whole.notna().all(axis=1)
    assert list(np.flatnonzero(changed)) == [1000, 1012, 1048, 1288]
    assert found["%-market_breadth_12"].iloc[1000] in (0, 0.5, 1)
