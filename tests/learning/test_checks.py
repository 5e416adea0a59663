"""Every check is tried on an honest column and on each way of cheating it must see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import ConfigError, DataError
from agent_market.features import add_calendar_features, add_candle_features, add_period_features
from agent_market.learning.checks import check_feature, check_target
from agent_market.learning.labels import (
    ForwardReturn,
    LabelSpec,
    QuantileClass,
    RegimeClass,
    ThresholdClass,
    TripleBarrier,
)
from agent_market.market.candles import read_candles
from tests.candles import random_candles

H = 6
Column = Callable[[pd.DataFrame], "pd.Series | pd.DataFrame"]

HONEST_LABELS: list[LabelSpec] = [
    ForwardReturn(horizon_candles=H),
    ThresholdClass(horizon_candles=H, threshold_bps=20),
    QuantileClass(horizon_candles=H, window_candles=50),
    RegimeClass(horizon_candles=H, volatility_candles=40),
    TripleBarrier(horizon_candles=H, volatility_candles=40),
]


def _forward(candles: pd.DataFrame) -> pd.Series:
    return candles["close"].shift(-H) / candles["close"] - 1


def _early_barrier(candles: pd.DataFrame) -> pd.Series:
    """Return a label that is known as soon as the price has moved enough, else at the horizon."""
    close = candles["close"]
    moves = pd.concat([close.shift(-k) / close - 1 for k in range(1, H + 1)], axis=1)
    touched = (moves.abs() > 0.003).any(axis=1)
    return touched.astype(float).where(touched | moves.iloc[:, -1].notna())


HONEST_TARGETS: dict[str, Column] = {
    "FreqAI's example": lambda c: c["close"].shift(-H).rolling(H).mean() / c["close"] - 1,
    "a frame": lambda c: c.assign(**{"&-y": _forward(c)}),
    "strings": lambda c: _forward(c).map(lambda x: "up" if x > 0 else "down", na_action="ignore"),
    "future volume": lambda c: c["volume"].shift(-H),
    "known early": _early_barrier,
    "shorter than its horizon": lambda c: c["close"].shift(-2) / c["close"] - 1,
    "backward sums": lambda c: c["close"][::-1].rolling(H).mean()[::-1].shift(-1) / c["close"],
}
CHEATING_TARGETS: dict[str, tuple[Column, str]] = {
    "a missing shift": (lambda c: c["close"] / c["close"].shift(H) - 1, "computed from the past"),
    "the past with an unknown end": (
        lambda c: (c["close"] / c["close"].shift(H) - 1).where(_forward(c).notna()),
        "It is a function of the past",
    ),
    "a filled end": (lambda c: _forward(c).fillna(0.0), "filled in"),
    "a class of NaN": (
        lambda c: pd.Series(np.where(_forward(c) > 0, "up", "down")),
        "has the value down on data that end there",
    ),
    "the last value carried on": (lambda c: _forward(c).ffill(), "filled in"),
    "a longer horizon": (
        lambda c: c["close"].shift(-H - 1) / c["close"] - 1,
        r"beyond its horizon of 6",
    ),
    "all but the last value carried on": (lambda c: _forward(c).ffill(limit=H - 1), "filled in"),
    "a peek that matters in a surge": (
        lambda c: _forward(c).where(~(c["close"].shift(-H - 1) > 1.2 * c["close"]), 1.0),
        "when rows from .* on change, beyond its horizon of 6",
    ),
    "a peek that matters in a plunge": (
        lambda c: _forward(c).where(~(c["close"].shift(-H - 1) < 0.8 * c["close"]), -1.0),
        "when rows from .* on change, beyond its horizon of 6",
    ),
    "quantiles of the whole sample": (
        lambda c: (
            (_forward(c) > _forward(c).quantile(0.6)).astype(float).where(_forward(c).notna())
        ),
        "statistics of the past only",
    ),
    "standardized over the whole sample": (
        lambda c: (_forward(c) - _forward(c).mean()) / _forward(c).std(),
        "statistics of the past only",
    ),
}


@pytest.mark.parametrize("label", HONEST_LABELS, ids=lambda label: type(label).__name__)
def test_that_our_labels_are_in_the_future(label: LabelSpec) -> None:
    check_target(label.column, label.compute, random_candles(400), label.horizon_candles)


@pytest.mark.parametrize("name", HONEST_TARGETS)
def test_that_an_honest_target_passes(name: str) -> None:
    check_target("&-y", HONEST_TARGETS[name], random_candles(400), H)


@pytest.mark.parametrize("name", CHEATING_TARGETS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_that_a_target_that_is_not_in_the_future_is_refused(name: str, seed: int) -> None:
    target, message = CHEATING_TARGETS[name]
    with pytest.raises(ConfigError, match=message) as error:
        check_target("&-y", target, random_candles(400), H, seed=seed)
    assert "&-y: " in str(error.value) and "2024-01-0" in str(error.value)


def test_that_a_target_of_a_missing_column_or_of_other_length_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"&-y: the target returns a frame of \['date'"):
        check_target("&-y", lambda c: c, random_candles(100), H)
    with pytest.raises(ConfigError, match=r"&-y: 94 rows were returned for 100 candles"):
        check_target("&-y", lambda c: _forward(c).dropna(), random_candles(100), H)


def test_that_too_few_candles_to_check_a_target_are_said_so() -> None:
    with pytest.raises(DataError, match=r"&-y: 0 of 6 rows have a value"):
        check_target("&-y", _forward, random_candles(6), H)


HONEST_FEATURES: dict[str, Column] = {
    "candle": add_candle_features,
    "period": lambda c: add_period_features(c, 24),
    "calendar": lambda c: add_calendar_features(c, "5m"),
    "pandas rolling": lambda c: c["close"].rolling(20).std(),
    "pandas exponential": lambda c: c["close"].ewm(span=20).mean(),
    "strings": lambda c: (c["close"].diff() > 0).map({True: "up", False: "down"}),
    "infinite": lambda c: c["close"] / 0,
    "all NaN": lambda c: c["close"] * np.nan,
}
CHEATING_FEATURES: dict[str, Column] = {
    "the next candle": lambda c: c["close"].shift(-1),
    "a centered window": lambda c: c["close"].rolling(5, center=True).mean(),
    "the mean of the whole": lambda c: c["close"] / c["close"].mean(),
    "a filled start": lambda c: c["close"].rolling(20).mean().bfill(),
    "an hour that has not closed": lambda c: c.groupby(c["date"].dt.floor("1h"))["close"].transform(
        "last"
    ),
    "tomorrow's rank": lambda c: c["volume"].rank(pct=True),
    "whether a surge follows": lambda c: (c["close"].shift(-3) > c["close"]).map(str),
    "a peek in one column of many": lambda c: add_candle_features(c).assign(
        peek=c["high"].shift(-2) > c["high"]
    ),
}


@pytest.mark.parametrize("name", HONEST_FEATURES)
def test_that_an_honest_feature_passes(name: str) -> None:
    check_feature(HONEST_FEATURES[name], random_candles(400))


@pytest.mark.parametrize("name", CHEATING_FEATURES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_that_a_feature_that_is_in_the_future_is_refused(name: str, seed: int) -> None:
    with pytest.raises(ConfigError, match=r"\(2024-01-0.*It uses later rows"):
        check_feature(CHEATING_FEATURES[name], random_candles(400), seed=seed)


def test_that_the_message_names_column_row_time_and_values() -> None:
    with pytest.raises(ConfigError) as error:
        check_feature(lambda c: c["close"].shift(-1).rename("%-next"), random_candles(400))
    assert str(error.value).startswith("%-next: row ")
    assert "on all data, and nan on data that end there" in str(error.value)


def test_that_a_column_that_comes_and_goes_is_refused() -> None:
    def fickle(candles: pd.DataFrame) -> pd.DataFrame:
        return candles[["close", "volume"]] if len(candles) == 400 else candles[["close"]]

    with pytest.raises(ConfigError, match=r"volume: is missing on data that end there"):
        check_feature(fickle, random_candles(400))


def test_that_too_few_candles_to_check_a_feature_are_said_so() -> None:
    with pytest.raises(DataError, match=r"7 candles are too few"):
        check_feature(add_candle_features, random_candles(7))


def test_that_a_check_leaves_the_candles_as_they_are() -> None:
    candles = random_candles(300)

    def careless(frame: pd.DataFrame) -> pd.DataFrame:
        frame["close"] = frame["close"].diff()
        return frame

    check_feature(careless, candles)
    check_target("&-y", lambda c: careless(c)["close"].shift(-H), candles, H)
    pd.testing.assert_frame_equal(candles, random_candles(300))


def test_that_the_checks_hold_on_real_candles(real_data: Path) -> None:
    candles = read_candles(real_data / "futures_2023_24", "ETH/USDT:USDT", "5m", "futures")
    candles = candles.iloc[:3000].reset_index(drop=True)
    for label in HONEST_LABELS:
        check_target(label.column, label.compute, candles, label.horizon_candles)
    check_feature(add_candle_features, candles)
    with pytest.raises(ConfigError, match="It uses later rows"):
        check_feature(_forward, candles)
