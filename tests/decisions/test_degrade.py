import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.decisions.degrade import (
    LEVELS,
    DegradeMonitor,
    budgets_of,
    degrade_levels,
    input_ages,
    stake_factor,
)
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import DegradeSettings
from tests.candles import random_candles

SETTINGS = DegradeSettings(recovery_candles=2)
BUDGETS = budgets_of(SETTINGS, "5m", ["funding", "news"])
FRESH = {"candles": 0.0, "prediction": 0.0, "funding": 3600.0, "news": 600.0}
age = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 900.0, 1e6, -30.0])
)
row = st.fixed_dictionaries(dict.fromkeys(BUDGETS, age))


def _level(monitor: DegradeMonitor, candle: int, **ages: float) -> DegradeLevel:
    monitor.observe(candle, FRESH | ages)
    return monitor.level


@pytest.mark.parametrize(
    ("stale", "level"),
    [
        ({}, DegradeLevel.FULL),
        ({"news": 1e6}, DegradeLevel.PRICE_ONLY),
        ({"prediction": 901}, DegradeLevel.RULES),
        ({"prediction": 900}, DegradeLevel.FULL),
        ({"candles": 901, "news": 1e6}, DegradeLevel.FLAT),
        ({"candles": math.nan}, DegradeLevel.FLAT),
        ({"prediction": -3600}, DegradeLevel.RULES),
        ({"candles": -30}, DegradeLevel.FULL),
    ],
)
def test_that_a_stale_input_costs_the_level_that_it_stands_for(
    stale: dict[str, float], level: DegradeLevel
) -> None:
    assert _level(DegradeMonitor(BUDGETS, 2), 0, **stale) is level


def test_that_a_level_is_lost_at_once_and_won_back_after_two_better_candles() -> None:
    monitor = DegradeMonitor(BUDGETS, 2)
    walk = [0.0, 1e4, 0.0, 0.0, 0.0, 0.0]
    seen = [_level(monitor, place, prediction=value) for place, value in enumerate(walk)]
    assert seen == ["full", "rules", "rules", "rules", "full", "full"]


def test_that_the_first_prediction_counts_at_once() -> None:
    monitor = DegradeMonitor(BUDGETS, 2)
    seen = [_level(monitor, place, prediction=age) for place, age in enumerate([math.inf, 0.0])]
    assert seen == ["rules", "full"]


def test_that_a_candle_observed_many_times_counts_once() -> None:
    monitor = DegradeMonitor(BUDGETS, 2)
    _level(monitor, 0, candles=1e4)
    assert [_level(monitor, 1) for _ in range(10)] == ["flat"] * 10
    assert [_level(monitor, candle) for candle in (2, 3)] == ["flat", "full"]


def test_that_feeds_cut_and_restored_walk_every_level_and_say_why() -> None:
    monitor, messages = DegradeMonitor(BUDGETS, 0), []
    for candle, cut in enumerate(
        [{}, {"news": 1e6}, {"prediction": math.inf}, {"candles": 2000.0}, {}]
    ):
        if change := monitor.observe(candle, FRESH | cut):
            messages.append(change.message("BTC/USDT"))
    assert messages == [
        "BTC/USDT: level full -> price-only: news: 1.667e+04 min old, allowed are 1440 min",
        "BTC/USDT: level price-only -> rules: prediction: none known, allowed are 15 min",
        "BTC/USDT: level rules -> flat: candles: 33.33 min old, allowed are 15 min",
        "BTC/USDT: level flat -> full: inputs are fresh again",
    ]


@given(rows=st.lists(row, min_size=1, max_size=30), recovery=st.integers(0, 5))
def test_that_the_column_equals_the_monitor_fed_candle_by_candle(
    rows: list[dict[str, float]], recovery: int
) -> None:
    monitor = DegradeMonitor(BUDGETS, recovery)
    one_by_one = []
    for place, ages in enumerate(rows):
        monitor.observe(place, ages)
        one_by_one.append(LEVELS.index(monitor.level))
    assert list(degrade_levels(pd.DataFrame(rows), BUDGETS, recovery)) == one_by_one


def test_that_filled_candles_and_untrusted_predictions_age() -> None:
    candles = random_candles(8)
    candles.loc[3:6, "volume"] = 0.0
    trusted = pd.Series([False, True, True, False, True, True, True, True])
    ages = input_ages(candles, trusted, "5m")
    assert list(ages["candles"]) == [0, 0, 0, 300, 600, 900, 1200, 0]
    assert list(ages["prediction"]) == [math.inf, 0, 0, 300, 0, 0, 0, 0]
    levels = degrade_levels(ages, budgets_of(SETTINGS, "5m"), 0)
    assert [LEVELS[place] for place in levels] == [
        "rules", "full", "full", "full", "full", "full", "flat", "full",
    ]  # fmt: skip


def test_that_the_future_does_not_change_a_level() -> None:
    random = np.random.default_rng(3)
    scales = {name: budget.seconds / 3 for name, budget in BUDGETS.items()}
    ages = pd.DataFrame({name: random.exponential(scale, 400) for name, scale in scales.items()})
    whole = degrade_levels(ages, BUDGETS, 3)
    assert whole.nunique() == 4
    assert all(degrade_levels(ages[:n], BUDGETS, 3).equals(whole[:n]) for n in (1, 57, 399))
    assert degrade_levels(ages[50:], BUDGETS, 3)[3:].equals(whole[53:])


def test_that_an_input_that_nobody_measures_counts_as_stale() -> None:
    ages = pd.DataFrame({"candles": [0.0], "prediction": [0.0]})
    assert LEVELS[degrade_levels(ages, BUDGETS, 0).iloc[0]] is DegradeLevel.PRICE_ONLY


def test_that_each_level_leaves_less_of_a_stake() -> None:
    factors = [stake_factor(level, DegradeSettings(rules_stake=0.3)) for level in LEVELS]
    assert factors == [1, 0.5, 0.3, 0]
