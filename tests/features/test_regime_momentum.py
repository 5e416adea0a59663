import numpy as np
import pandas as pd

from agent_market.features import add_regime_momentum_features
from tests.candles import random_candles

USUAL = 288


def _features(candles: pd.DataFrame) -> pd.DataFrame:
    return add_regime_momentum_features(candles, USUAL).filter(like="%-")


def _moved(seed: int, scale: float, drift: float) -> pd.DataFrame:
    """Return candles whose last 100 rows are `scale` times as wide, and drift."""
    candles = random_candles(900, seed)
    prices = ["open", "high", "low", "close"]
    logs = np.log(candles[prices].to_numpy())
    centre = logs[:, [3]]
    steps = np.diff(centre[:, 0], prepend=centre[0, 0])
    late = np.arange(900) >= 800
    steps = np.where(late, scale * (steps + drift), steps)
    widths = np.where(late[:, None], scale, 1.0) * (logs - centre)
    candles[prices] = np.exp(np.cumsum(steps)[:, None] + widths)
    return candles


def test_that_the_level_is_the_logarithm_of_how_much_louder_it_is() -> None:
    level = _features(_moved(1, 2.0, 0.0))["%-volatility_level"]
    # a third of the usual days is loud itself: 0.69 * (1 - 100 / 288)
    assert abs(level.iloc[-1] - np.log(2) * (1 - 100 / USUAL)) < 0.15
    assert abs(level.iloc[700:800].mean()) < 0.1


def test_that_momentum_keeps_its_sign_in_loud_and_turns_it_in_quiet_markets() -> None:
    for scale, sign in ((3.0, 1), (1 / 3, -1)):
        for drift in (0.001, -0.001):
            last = _features(_moved(2, scale, drift)).iloc[-1]
            assert np.sign(last["%-decayed_momentum"]) == np.sign(drift)
            assert np.sign(last["%-regime_momentum"]) == sign * np.sign(drift)


def test_that_the_price_level_does_not_matter() -> None:
    candles = random_candles(800)
    scaled = candles.copy()
    scaled[["open", "high", "low", "close"]] *= 1000
    np.testing.assert_allclose(_features(candles), _features(scaled), rtol=1e-7, atol=1e-9)


def test_that_a_candle_without_a_range_is_finite() -> None:
    candles = random_candles(800)
    candles.loc[700, ["open", "high", "low"]] = candles.loc[700, "close"]
    features = _features(candles)
    assert np.isfinite(features.iloc[USUAL + 120 :]).all().all()
