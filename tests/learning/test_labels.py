from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.errors import ConfigError, DataError
from agent_market.learning.labels import (
    ClassLabel,
    ForwardReturn,
    HoldingReturn,
    LabelSpec,
    QuantileClass,
    RegimeClass,
    ThresholdClass,
    TripleBarrier,
    forward_returns,
)
from agent_market.market.candles import read_candles
from tests.candles import random_candles

HORIZON = 6
LABELS: list[LabelSpec] = [
    ForwardReturn(horizon_candles=HORIZON),
    ThresholdClass(horizon_candles=HORIZON, threshold_bps=20),
    QuantileClass(horizon_candles=HORIZON, window_candles=50),
    RegimeClass(horizon_candles=HORIZON, volatility_candles=40),
    TripleBarrier(horizon_candles=HORIZON, volatility_candles=40),
]
CLASSES = [label for label in LABELS if isinstance(label, ClassLabel)]


def _name(label: LabelSpec) -> str:
    return type(label).__name__


def _candles(close: list[float]) -> pd.DataFrame:
    """Return candles that are a point each."""
    dates = pd.date_range("2024-01-01", periods=len(close), freq="5min", tz="UTC")
    return pd.DataFrame({"date": dates} | dict.fromkeys(("open", "high", "low", "close"), close))


@pytest.mark.parametrize("horizon", [1, 12, 300])
def test_that_the_forward_return_is_the_strategys_to_the_bit(horizon: int) -> None:
    candles = random_candles(500)
    close = candles["close"]
    label = ForwardReturn(horizon_candles=horizon)
    expected = (close.shift(-horizon) / close - 1).rename("&-forward_return")
    pd.testing.assert_series_equal(label.compute(candles), expected, check_exact=True)


def test_that_horizons_in_minutes_become_candles() -> None:
    labels = forward_returns("5m")
    assert [label.horizon_candles for label in labels] == [1, 3, 12]
    assert [label.column for label in labels][2] == "&-forward_return_60m"
    with pytest.raises(ConfigError, match=r"20 minutes is not a whole number of 15m candles"):
        forward_returns("15m", (20,))


@pytest.mark.parametrize("label", LABELS, ids=_name)
def test_that_the_last_rows_are_unknown_and_the_one_before_is_not(label: LabelSpec) -> None:
    labels = label.compute(random_candles(300))
    assert labels.iloc[-HORIZON:].isna().all()
    assert labels.iloc[100:-HORIZON].notna().all()
    assert labels.name == label.column and labels.dtype == np.float64


@pytest.mark.parametrize("label", LABELS, ids=_name)
@pytest.mark.parametrize("rows", [0, 1, HORIZON])
def test_that_a_history_shorter_than_the_horizon_has_no_label(label: LabelSpec, rows: int) -> None:
    labels = label.compute(random_candles(300).iloc[:rows])
    assert len(labels) == rows and labels.isna().all()


@pytest.mark.parametrize("label", LABELS, ids=_name)
def test_that_a_label_does_not_depend_on_where_the_history_starts(label: LabelSpec) -> None:
    candles = random_candles(400)
    late = label.compute(candles.iloc[150:]).iloc[60:]
    pd.testing.assert_series_equal(late, label.compute(candles).iloc[210:], check_exact=True)


@pytest.mark.parametrize("label", LABELS, ids=_name)
def test_that_a_missing_price_blanks_the_labels_that_need_it(label: LabelSpec) -> None:
    candles = random_candles(300)
    candles.loc[200, ["open", "high", "low", "close"]] = np.nan
    labels = label.compute(candles)
    assert np.isnan(labels[200]) and np.isnan(labels[200 - HORIZON])
    assert not np.isnan(labels[199 - HORIZON])


@pytest.mark.parametrize("label", CLASSES, ids=_name)
def test_that_all_three_classes_come_up_and_have_names(label: ClassLabel) -> None:
    candles = random_candles(600)
    classes, names = label.compute(candles), label.compute_names(candles)
    assert set(classes.dropna()) == {-1.0, 0.0, 1.0}
    assert pd.api.types.is_string_dtype(names.dtype) and names.isna().equals(classes.isna())
    assert (names.dropna() == classes.dropna().map(dict(zip((-1, 0, 1), label.names)))).all()  # noqa: B905


def test_that_a_threshold_parts_up_flat_and_down() -> None:
    candles = _candles([100, 100.2, 100.2, 100.1, 99.0])
    label = ThresholdClass(horizon_candles=1, threshold_bps=15)
    assert label.compute(candles).tolist()[:4] == [1, 0, 0, -1]


def test_that_quantiles_are_those_of_the_returns_known_at_the_time() -> None:
    candles = random_candles(200)
    label = QuantileClass(horizon_candles=4, window_candles=30, lower=0.2, upper=0.7)
    forward = ForwardReturn(horizon_candles=4).compute(candles).to_numpy()
    labels = label.compute(candles)
    assert labels.iloc[:33].isna().all() and not np.isnan(labels[33])
    for row in range(33, 196):
        low, high = np.quantile(forward[row - 33 : row - 3], [0.2, 0.7])
        assert labels[row] == (forward[row] > high) * 1.0 - (forward[row] < low) * 1.0


def test_that_the_regime_is_where_the_price_stays_and_not_one_spike() -> None:
    calm = [100 + 0.1 * (row % 2) for row in range(20)]
    label = RegimeClass(horizon_candles=4, volatility_candles=10)
    for path, expected in (
        ([101.0, 101.0, 101.0, 101.0], 1),
        ([99.0, 99.0, 99.0, 99.0], -1),
        ([100.0, 100.0, 100.0, 100.4], 0),
    ):
        assert label.compute(_candles(calm + path))[19] == expected


def test_that_the_regime_threshold_is_in_standard_deviations_of_a_random_walk() -> None:
    labels = RegimeClass(horizon_candles=12).compute(random_candles(60_000, seed=4)).dropna()
    # 15.9 % of a normal distribution is above one standard deviation
    assert (labels == 1).mean() == pytest.approx(0.159, abs=0.02)
    assert (labels == -1).mean() == pytest.approx(0.159, abs=0.02)


def test_that_a_flat_market_has_no_volatility_to_measure_by() -> None:
    candles = _candles([100.0] * 60)
    for label in (
        RegimeClass(horizon_candles=2, volatility_candles=10),
        TripleBarrier(horizon_candles=2, volatility_candles=10),
    ):
        assert label.compute(candles).isna().all()


def test_that_the_first_barrier_touched_gives_class_and_end() -> None:
    calm = [100 + 0.1 * (row % 2) for row in range(20)]  # row 19 closes at 100.1, barriers +-0.21 %
    label = TripleBarrier(horizon_candles=4, volatility_candles=10)
    for path, expected, end in (
        ([100.1, 102.0, 98.0, 100.0], 1, 21),
        ([99.0, 102.0, 98.0, 100.0], -1, 20),
        ([100.1, 100.1, 100.1, 100.1], 0, 23),
        ([100.1, 100.1, 100.1, 103.0], 1, 23),
    ):
        candles = _candles(calm + path)
        assert (label.compute(candles)[19], label.label_end(candles)[19]) == (expected, end)
        assert label.touch_time(candles)[19] == candles["date"][end]
        assert label.touch_time(candles).iloc[-4:].isna().all()


def test_that_a_candle_that_touches_both_barriers_is_decided_by_its_open_or_not_at_all() -> None:
    calm = [100 + 0.1 * (row % 2) for row in range(20)]
    label = TripleBarrier(horizon_candles=1, volatility_candles=10)
    for opened, expected in ((100.1, 0), (104.0, 1), (96.0, -1)):
        candles = _candles([*calm, 100.0])
        candles.loc[20, ["open", "high", "low"]] = [opened, 105.0, 95.0]
        assert (label.compute(candles)[19], label.label_end(candles)[19]) == (expected, 20)


@given(st.integers(1, 20), st.floats(0.2, 3), st.floats(0.2, 3), st.integers(0, 1000))
def test_that_the_barrier_kernel_equals_the_definition(
    horizon: int, upper: float, lower: float, seed: int
) -> None:
    candles = random_candles(90, seed)
    label = TripleBarrier(horizon_candles=horizon, volatility_candles=20, upper=upper, lower=lower)
    classes, ends = label.compute(candles), label.label_end(candles)
    returns = candles["close"] / candles["close"].shift() - 1
    width = returns.rolling(20).std() * np.sqrt(horizon)
    for row in range(20, 90 - horizon):
        ahead = candles.iloc[row + 1 : row + horizon + 1]
        close = candles["close"][row]
        rises = ahead.index[ahead["high"] >= close * (1 + upper * width[row])]
        falls = ahead.index[ahead["low"] <= close * (1 - lower * width[row])]
        first = [touched[0] if len(touched) else row + horizon + 1 for touched in (rises, falls)]
        assert ends[row] == min(*first, row + horizon)
        if first[0] != first[1]:
            assert classes[row] == (1 if first[0] < first[1] else -1)


def test_that_a_label_ends_after_its_row_and_within_its_horizon() -> None:
    candles = random_candles(300)
    for label in LABELS:
        length = label.label_end(candles) - np.arange(300)
        assert length.min() >= 1 and length.max() == HORIZON
    assert (LABELS[-1].label_end(candles) - np.arange(300)).min() < HORIZON


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForwardReturn(horizon_candles=0), "horizon_candles is 0. Take at least 1"),
        (lambda: ForwardReturn(horizon_candles=1, column="y"), "column is 'y'"),
        (lambda: ThresholdClass(horizon_candles=1, threshold_bps=-1), "threshold_bps is -1"),
        (lambda: ThresholdClass(horizon_candles=1, threshold_bps=np.nan), "threshold_bps is nan"),
        (lambda: QuantileClass(horizon_candles=1, lower=0.7, upper=0.3), "lower is 0.7"),
        (lambda: RegimeClass(horizon_candles=1, threshold_z=0), "threshold_z is 0. Take more"),
        (lambda: TripleBarrier(horizon_candles=1, volatility_candles=1), "volatility_candles is 1"),
        (lambda: TripleBarrier(horizon_candles=1, lower=-2), "lower is -2"),
    ],
)
def test_that_a_mistake_is_named(make: Callable[[], LabelSpec], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_that_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"needs the column 'high'; the candles have \['date'"):
        LABELS[-1].compute(random_candles(10)[["date", "open", "low", "close"]])


def test_that_classes_of_real_candles_are_not_all_alike(real_data: Path) -> None:
    candles = read_candles(real_data / "futures_2023_24", "BTC/USDT:USDT", "5m", "futures")
    for label in (
        ThresholdClass(horizon_candles=12, threshold_bps=20),
        QuantileClass(horizon_candles=12),
        RegimeClass(horizon_candles=12),
        TripleBarrier(horizon_candles=12),
    ):
        shares = label.compute(candles.iloc[:40_000]).value_counts(normalize=True)
        assert sorted(shares.index) == [-1, 0, 1] and shares.min() > 0.05, (label, shares)


def test_that_a_holding_return_is_that_of_the_candle_after_the_next_open() -> None:
    candles = random_candles(50)
    label = HoldingReturn().compute(candles)
    opened = candles["open"].to_numpy()
    np.testing.assert_allclose(label[:-2], opened[2:] / opened[1:-1] - 1)
    assert label[-2:].isna().all() and label.name == "&-gain"
    changed = candles.copy()
    changed.loc[31:, "open"] *= 2
    np.testing.assert_array_equal(HoldingReturn().compute(changed)[:29], label[:29])
    with pytest.raises(ConfigError, match="horizon_candles is 12"):
        HoldingReturn(horizon_candles=12)
