import numpy as np
import pandas as pd
import pytest

from agent_market.features import add_order_flow_features
from tests.candles import random_candles

CANDLE = pd.Timedelta("5min")


def _order_flow(candles: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    closes = candles["date"] + CANDLE
    bought, sold = rng.uniform(1, 2, (2, len(candles)))
    return pd.DataFrame(
        {
            "event_time": closes,
            "available_at": closes,
            "buy_volume": bought,
            "sell_volume": sold,
            "n_trades": 10,
        }
    )


def _features(candles: pd.DataFrame, flow: pd.DataFrame) -> pd.DataFrame:
    return add_order_flow_features(candles, flow, "5m").filter(like="%-")


def test_that_the_imbalance_is_one_where_everybody_buys() -> None:
    candles = random_candles(60)
    flow = _order_flow(candles).assign(sell_volume=0.0)
    features = _features(candles, flow)
    assert (features["%-flow_imbalance"] == 1).all()
    np.testing.assert_allclose(features["%-flow_pressure"].dropna(), 1)
    assert features["%-flow_pressure"].notna().sum() == 60 - 29


def test_that_the_newest_candle_weighs_most() -> None:
    candles = random_candles(60)
    flow = _order_flow(candles).assign(buy_volume=1.0, sell_volume=1.0)
    flow.loc[40, "buy_volume"] = 3.0
    pressure = _features(candles, flow)["%-flow_pressure"]
    assert pressure[39] == 0
    assert pressure[43] == pytest.approx(pressure[40] / 2)
    assert pressure[46] == pytest.approx(pressure[40] / 4)


def test_that_a_row_that_comes_late_is_missing_and_not_replaced_by_an_older_one() -> None:
    candles = random_candles(60)
    flow = _order_flow(candles)
    flow.loc[50, "available_at"] += pd.Timedelta("1ms")
    features = _features(candles, flow)
    assert features.loc[50].isna().all()
    assert features["%-flow_imbalance"].isna().sum() == 1
    assert features.loc[50:, "%-flow_pressure"].isna().all()


def test_that_nothing_traded_is_missing() -> None:
    candles = random_candles(60)
    flow = _order_flow(candles)
    flow.loc[50, ["buy_volume", "sell_volume"]] = 0.0
    assert np.isnan(_features(candles, flow)["%-flow_imbalance"][50])


def test_that_side_rows_of_the_future_change_nothing() -> None:
    candles = random_candles(200)
    flow = _order_flow(candles)
    whole = _features(candles, flow)
    close = candles["date"][119] + CANDLE
    known = flow[flow["available_at"] <= close]
    pd.testing.assert_frame_equal(_features(candles[:120], known), whole[:120], check_exact=True)
    changed = flow.assign(buy_volume=flow["buy_volume"].where(flow["available_at"] <= close, 9.0))
    pd.testing.assert_frame_equal(_features(candles, changed)[:120], whole[:120], check_exact=True)
