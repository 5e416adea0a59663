import dataclasses

import numpy as np
import pandas as pd
import pytest

from agent_market.features import GROUPS, FeatureInputs, compute_group
from agent_market.market.candles import read_candles
from tests.features.group_inputs import CANDLE, candles, candles_of_kind, inputs, side


def _found(name: str, given: FeatureInputs) -> pd.DataFrame:
    found = compute_group(GROUPS[name], given)
    return found.rename(columns=lambda column: column.removeprefix(f"%-{name}_"))


def _row_closing(moment: str) -> int:
    closes = candles()["date"] + CANDLE
    return int(np.flatnonzero(closes == pd.Timestamp(moment, tz="UTC"))[0])


def test_that_a_payment_counts_an_hour_later() -> None:
    rows = candles_of_kind("funding_rate").set_index("date")["open"] * 1e4
    rate = _found("funding", inputs())["rate_bps"]
    before, at = _row_closing("2024-01-03 08:55"), _row_closing("2024-01-03 09:00")
    assert rate[before] == rows[pd.Timestamp("2024-01-03 00:00", tz="UTC")]
    assert rate[at] == rows[pd.Timestamp("2024-01-03 08:00", tz="UTC")]


def test_that_funding_adds_up_and_is_held_against_its_past() -> None:
    rows = candles_of_kind("funding_rate").set_index("date")["open"] * 1e4
    past = rows[: pd.Timestamp("2024-01-03 08:00", tz="UTC")]
    found = _found("funding", inputs()).loc[_row_closing("2024-01-03 09:00")]
    assert found["cumulative_bps"] == pytest.approx(past.iloc[-9:].sum())
    tail = past.iloc[-15:]
    assert found["z"] == pytest.approx((tail.iloc[-1] - tail.mean()) / tail.std())


def test_that_payments_that_stopped_are_missing_and_not_held_for_ever() -> None:
    last = pd.Timestamp("2024-01-03 08:00", tz="UTC")
    rows = candles_of_kind("funding_rate")
    given = dataclasses.replace(
        inputs(), candles_of=lambda pair, timeframe, kind: rows[rows["date"] <= last]
    )
    missing = _found("funding", given)["rate_bps"].isna()
    assert not missing[_row_closing("2024-01-04 10:00")]
    assert missing[_row_closing("2024-01-04 10:05") :].all()


def test_that_the_basis_compares_prices_of_one_moment() -> None:
    mark = candles_of_kind("mark").set_index("date")["open"]
    traded = candles().set_index("date")["open"]
    moment = pd.Timestamp("2024-01-05 16:00", tz="UTC")
    found = _found("basis", inputs())["bps"]
    assert found[_row_closing("2024-01-05 17:00")] == (traded[moment] / mark[moment] - 1) * 1e4


def test_that_hourly_marks_of_a_live_bot_give_what_stored_ones_give() -> None:
    stored = candles_of_kind("mark")
    hourly = stored.set_index("date").resample("1h").ffill().reset_index()
    between = hourly["date"].dt.hour % 8 != 0
    hourly.loc[between, "open"] *= 1.5
    live = dataclasses.replace(inputs(), candles_of=lambda pair, timeframe, kind: hourly)
    pd.testing.assert_frame_equal(_found("basis", live), _found("basis", inputs()))


def test_that_the_basis_of_real_marks_is_small_and_no_return(real_data: object) -> None:
    """Closes of rows that are named 1h and last 8 hours would show the return to come."""
    folder = real_data / "futures_2023_24"
    pair = "BTC/USDT:USDT"
    frame = read_candles(folder, pair, "5m", "futures").iloc[:20_000]
    given = dataclasses.replace(
        inputs(),
        candles=frame,
        pair=pair,
        candles_of=lambda name, length, kind: read_candles(folder, name, length, kind),
    )
    deviation = _found("basis", given)["bps"]
    ahead = frame["close"].shift(-84) / frame["close"] - 1
    assert deviation.abs().quantile(0.99) < 20
    assert abs(deviation.corr(ahead)) < 0.1


def test_that_open_interest_is_compared_with_what_was_known_then() -> None:
    rows = side("open_interest").set_index("available_at")["open_interest"]
    row = _row_closing("2024-01-05 16:00")
    close = candles()["date"][row] + CANDLE
    now, then = rows[:close].iloc[-1], rows[: close - pd.Timedelta("1h")].iloc[-1]
    found = _found("crowding", inputs()).loc[row]
    assert found["change_1h_bps"] == pytest.approx(np.log(now / then) * 1e4)
    moved = np.sign(candles()["close"][row] - candles()["close"][row - 288])
    assert found["with_price_bps"] == pytest.approx(found["change_1d_bps"] * moved)


def test_that_open_interest_that_stopped_is_missing() -> None:
    rows = side("open_interest")
    cut = pd.Timestamp("2024-01-05 12:00", tz="UTC")
    given = dataclasses.replace(
        inputs(), side_of=lambda kind, pair: rows[rows["event_time"] <= cut]
    )
    found = _found("crowding", given)["change_1h_bps"]
    assert found[: _row_closing("2024-01-05 14:00")].iloc[300:].notna().all()
    assert found[_row_closing("2024-01-05 14:05") :].isna().all()
