from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.decisions import (
    LEVELS,
    Mode,
    Regime,
    choose_modes,
    measure_modes,
    measure_regime,
)
from agent_market.decisions.hidden_markov import FALL, RANGE, RISE, SHOCK, filtered_states
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import ModeSettings, RegimeSettings
from tests.candles import random_candles

REGIME = RegimeSettings(window_candles=20, shock_memory_candles=2)
CHAIN = RegimeSettings(filter="hidden_markov")
MODES = ModeSettings(window_candles=20, entry_edge_bps=10)


def _candles(close: np.ndarray, start: str = "2024-03-04") -> pd.DataFrame:
    dates = pd.date_range(start, periods=len(close), freq="5min", tz="UTC")
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 1.0}
    return pd.DataFrame({"date": dates, **prices})


def _market(
    candles: pd.DataFrame,
    prediction: Any,
    level: DegradeLevel = DegradeLevel.FULL,
    funding_bps: float = 0.0,
    modes: ModeSettings = MODES,
    **columns: Any,
) -> pd.DataFrame:
    funding = pd.Series(funding_bps, index=candles.index)
    measures = measure_modes(candles, modes, "5m", funding)
    own = {
        "am_level": LEVELS.index(level),
        "am_prediction": prediction,
        "am_trusted": True,
        **columns,
    }
    return candles.join(measure_regime(candles, REGIME)).join(measures).assign(**own)


def _decide(
    close: np.ndarray,
    prediction: float,
    start: str = "2024-03-04",
    modes: ModeSettings = MODES,
    **more: Any,
) -> tuple[Mode, int]:
    market = _market(_candles(close, start), prediction, modes=modes, **more)
    row = choose_modes(market, modes, 30.0).iloc[-1]
    return Mode(int(row["am_mode"])), int(row["am_direction"])


def _noise(rows: int = 60) -> np.ndarray:
    return 100 * (1 + 0.001 * (-1.0) ** np.arange(rows))


def _rise(rows: int = 60) -> np.ndarray:
    return 100 * 1.001 ** np.arange(rows) * (1 + 1e-4 * (-1.0) ** np.arange(rows))


def _jump() -> np.ndarray:
    return np.append(_noise(), 105.0)


def test_that_each_regime_is_recognised() -> None:
    for close, regime in (
        (_noise(), Regime.RANGE),
        (_rise(), Regime.TREND),
        (_jump(), Regime.SHOCK),
    ):
        assert measure_regime(_candles(close), REGIME)["am_regime"].iloc[-1] == regime


def test_that_the_regime_is_unknown_until_its_window_is_full() -> None:
    regime = measure_regime(_candles(_noise()), REGIME)["am_regime"]
    assert (regime.iloc[:20] == Regime.UNKNOWN).all()
    assert (regime.iloc[20:] != Regime.UNKNOWN).all()


def test_that_a_shock_is_remembered_and_then_forgotten() -> None:
    close = np.concatenate([_jump(), 105 * (1 + 0.001 * (-1.0) ** np.arange(5))])
    regime = measure_regime(_candles(close), REGIME)["am_regime"]
    assert list(regime.iloc[60:63] == Regime.SHOCK) == [True, True, False]


def test_that_rising_volatility_is_turbulent() -> None:
    quiet, wild = np.random.default_rng(1).normal(0, [[0.001], [0.004]], (2, 60))
    calm = measure_regime(_candles(100 * np.exp(np.cumsum(quiet))), REGIME)["am_turbulent"]
    assert calm.iloc[-1] == 0
    steps = np.concatenate([quiet, wild[:5]])
    assert measure_regime(_candles(100 * np.exp(np.cumsum(steps))), REGIME)["am_turbulent"].iloc[-1]


def test_that_the_chain_tells_its_own_states_apart() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat([RANGE, RISE, SHOCK, FALL], 3000)
    mean, scale = np.array([0, 0.3, -0.3, 0]), np.array([1, 1, 1, 4])
    odds = filtered_states(random.normal(mean[truth], scale[truth]), 72, 0.98)
    known = ~np.isnan(odds[:, 0])
    assert np.allclose(odds[known].sum(axis=1), 1)
    found = odds[known].argmax(axis=1)
    share = [np.mean(found[truth[known] == state] == state) for state in range(4)]
    assert min(share) > 0.6, share


def test_that_the_chain_equals_the_forward_recursion_written_out() -> None:
    returns = np.random.default_rng(3).normal(0, 1.5, 40)
    stay, window = 0.9, 12
    change = np.full((4, 4), (1 - stay) / 3) + np.eye(4) * (stay - (1 - stay) / 3)
    mean, scale = np.array([0, 0.3, -0.3, 0]), np.array([1, 1, 1, 4.0])
    odds = np.full(4, 0.25)
    for value in returns[-window:]:
        odds = (change.T @ odds) * np.exp(-(((value - mean) / scale) ** 2) / 2) / scale
        odds /= odds.sum()
    assert filtered_states(returns, window, stay)[-1] == pytest.approx(odds, rel=1e-12)


def test_that_the_chain_is_filtered_and_never_smoothed() -> None:
    candles = random_candles(600, seed=5)
    whole = measure_regime(candles, CHAIN)
    assert whole["am_regime"].nunique() >= 3
    for rows in (90, 151, 420):
        pd.testing.assert_frame_equal(measure_regime(candles[:rows], CHAIN), whole[:rows])
    late = measure_regime(candles[200:], CHAIN)
    pd.testing.assert_frame_equal(late.loc[346:], whole.loc[346:], check_exact=True)


def test_that_trend_follows_the_move_only_where_the_prediction_agrees() -> None:
    assert _decide(_rise(), prediction=0.002) == (Mode.TREND, 1)
    assert _decide(_rise(), prediction=-0.002) == (Mode.TREND, 0)


def test_that_mean_reversion_trades_against_the_deviation() -> None:
    assert _decide(np.append(_noise(), 99.7), prediction=0.002) == (Mode.MEAN_REVERSION, 1)


def test_that_a_breakout_leaves_the_previous_range() -> None:
    assert _decide(_jump(), prediction=0.002) == (Mode.BREAKOUT, 1)


def test_that_nothing_is_entered_below_the_edge_or_on_an_untrusted_or_missing_prediction() -> None:
    assert _decide(_rise(), prediction=0.0009)[1] == 0
    assert _decide(_rise(), prediction=0.002, am_trusted=False)[1] == 0
    assert _decide(_rise(), prediction=float("nan"))[1] == 0


def test_that_a_squeeze_goes_against_those_who_pay_once_the_price_turns() -> None:
    fall = 200 - _rise()
    assert _decide(fall, prediction=-0.002, funding_bps=5.0) == (Mode.SQUEEZE, -1)
    assert _decide(fall, prediction=-0.002, funding_bps=1.0) == (Mode.TREND, -1)
    assert _decide(_rise(), prediction=0.002, funding_bps=5.0) == (Mode.TREND, 1)
    assert _decide(_rise(), prediction=0.002, funding_bps=-5.0) == (Mode.SQUEEZE, 1)


def test_that_the_event_mode_waits_for_the_release_and_goes_with_its_move() -> None:
    # the statement of the FOMC of 2024-03-20, 14:00 in New York, is at 18:00 UTC
    before = _rise(60)
    start = "2024-03-20 12:55"  # the last close is at 17:55, five minutes before
    assert _decide(before, prediction=0.002, start=start)[1] == 0
    after = np.append(before, before[-1] * 0.9995)
    assert _decide(after, prediction=-0.002, start=start)[1] == 0  # at 18:00 it is just out
    later = np.append(after, before[-1] * 0.999)
    assert _decide(later, prediction=-0.002, start=start) == (Mode.EVENT, -1)
    over = ModeSettings(window_candles=20, entry_edge_bps=10, event_after_minutes=3)
    assert _decide(later, prediction=0.002, start=start, modes=over)[0] is Mode.TREND


def test_that_without_a_model_only_the_defensive_mode_enters() -> None:
    rules = {"level": DegradeLevel.RULES, "am_trusted": False}
    assert _decide(_rise(), prediction=float("nan"), **rules) == (Mode.DEFENSIVE, 1)
    assert _decide(_jump(), prediction=float("nan"), **rules)[1] == 0
    assert _decide(_rise(), prediction=0.002, level=DegradeLevel.FLAT) == (Mode.FLAT, 0)


def test_that_price_only_leaves_the_modes_of_price() -> None:
    level = DegradeLevel.PRICE_ONLY
    assert _decide(_rise(), prediction=0.002, level=level) == (Mode.TREND, 1)
    assert _decide(_rise(), 0.002, level=level, funding_bps=-5.0) == (Mode.TREND, 1)


def test_that_a_long_shot_is_off_until_it_is_turned_on() -> None:
    # a range, then two wild candles, the second out of the range
    wild = np.append(_noise(), [101.0, 106.0])
    assert _decide(wild, prediction=0.004) == (Mode.BREAKOUT, 1)
    on = MODES.model_copy(
        update={"long_shot": MODES.long_shot.model_copy(update={"enabled": True})}
    )
    assert _decide(wild, prediction=0.004, modes=on) == (Mode.LONG_SHOT, 1)
    assert _decide(wild, prediction=0.002, modes=on) == (Mode.BREAKOUT, 1)  # the score is too low


def test_that_a_bias_forbids_the_other_direction_and_no_more() -> None:
    assert _decide(_rise(), prediction=0.002, am_bias=-0.4)[1] == 0
    assert _decide(_rise(), prediction=0.002, am_bias=0.4)[1] == 1
    assert _decide(_rise(), prediction=0.002, am_bias=float("nan"))[1] == 1


def test_that_event_mode_switches_modes_on_and_off() -> None:
    market = _market(_candles(_rise()), 0.002)
    off = pd.DataFrame({"trend": -1}, index=market.index)
    assert choose_modes(market, MODES, 30.0, off)["am_direction"].iloc[-1] == 0
    on = off.assign(long_shot=1)
    wild = _market(_candles(np.append(_noise(), [101.0, 106.0])), 0.004)
    chosen = choose_modes(wild, MODES, 30.0, on.reindex(wild.index, fill_value=1))
    assert chosen["am_mode"].iloc[-1] == Mode.LONG_SHOT


def test_that_long_and_short_are_mirror_images() -> None:
    candles = random_candles(400, seed=3)
    mirrored = candles.copy()
    mirrored[["open", "close"]] = 1e4 / candles[["open", "close"]]
    mirrored["high"], mirrored["low"] = 1e4 / candles["low"], 1e4 / candles["high"]
    prediction = pd.Series(np.random.default_rng(4).normal(0, 0.002, 400))
    ours = choose_modes(_market(candles, prediction), MODES, 30.0)["am_direction"]
    theirs = choose_modes(_market(mirrored, -prediction), MODES, 30.0)["am_direction"]
    assert ours.abs().sum() > 10
    assert (ours == -theirs).mean() > 0.98  # the mean of 1/x is not exactly 1/mean
