import numpy as np
import pandas as pd

from agent_market.decisions import Mode, Regime, choose_modes, measure_regime
from agent_market.settings import ModeSettings, RegimeSettings
from tests.candles import random_candles

REGIME = RegimeSettings(window_candles=20, shock_memory_candles=2)
MODES = ModeSettings(window_candles=20, entry_edge_bps=10)


def _candles(close: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0})


def _decide(close: np.ndarray, prediction: float, trusted: bool = True) -> pd.Series:
    candles = _candles(close)
    return choose_modes(
        candles,
        measure_regime(candles, REGIME),
        pd.Series(prediction, index=candles.index),
        pd.Series(trusted, index=candles.index),
        MODES,
    ).iloc[-1]


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


def test_that_trend_follows_the_move_only_where_the_prediction_agrees() -> None:
    agreed = _decide(_rise(), prediction=0.002)
    assert (agreed["am_mode"], agreed["am_direction"]) == (Mode.TREND, 1)
    assert _decide(_rise(), prediction=-0.002)["am_direction"] == 0


def test_that_mean_reversion_trades_against_the_deviation() -> None:
    decision = _decide(np.append(_noise(), 99.7), prediction=0.002)
    assert (decision["am_mode"], decision["am_direction"]) == (Mode.MEAN_REVERSION, 1)


def test_that_an_event_breakout_leaves_the_previous_range() -> None:
    decision = _decide(_jump(), prediction=0.002)
    assert (decision["am_mode"], decision["am_direction"]) == (Mode.EVENT_BREAKOUT, 1)


def test_that_nothing_is_entered_below_the_edge_or_on_an_untrusted_or_missing_prediction() -> None:
    assert _decide(_rise(), prediction=0.0009)["am_direction"] == 0
    assert _decide(_rise(), prediction=0.002, trusted=False)["am_direction"] == 0
    assert _decide(_rise(), prediction=float("nan"))["am_direction"] == 0


def test_that_long_and_short_are_mirror_images() -> None:
    candles = random_candles(400, seed=3)
    mirrored = candles.copy()
    mirrored[["open", "close"]] = 1e4 / candles[["open", "close"]]
    mirrored["high"], mirrored["low"] = 1e4 / candles["low"], 1e4 / candles["high"]
    prediction = pd.Series(np.random.default_rng(4).normal(0, 0.002, 400))
    trusted = pd.Series(True, index=prediction.index)
    regime = measure_regime(candles, REGIME)
    mirrored_regime = regime.assign(am_trend=-regime["am_trend"])
    ours = choose_modes(candles, regime, prediction, trusted, MODES)["am_direction"]
    theirs = choose_modes(mirrored, mirrored_regime, -prediction, trusted, MODES)["am_direction"]
    assert ours.abs().sum() > 10
    assert (ours == -theirs).mean() > 0.99  # the mean of 1/x is not exactly 1/mean
