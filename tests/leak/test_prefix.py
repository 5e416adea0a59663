"""Whatever is computed at row t on data[:t] must equal what is computed there on data[:T]."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from agent_market.decisions import choose_modes, measure_regime
from agent_market.features import add_calendar_features, add_candle_features, add_period_features
from agent_market.settings import ModeSettings, RegimeSettings
from tests.candles import random_candles

Computation = Callable[[pd.DataFrame], pd.DataFrame]


def _modes(candles: pd.DataFrame) -> pd.DataFrame:
    prediction = candles["close"].pct_change()  # any causal stand-in
    trusted = pd.Series(True, index=candles.index)
    regime = measure_regime(candles, RegimeSettings())
    return choose_modes(candles, regime, prediction, trusted, ModeSettings(entry_edge_bps=1))


COMPUTATIONS: dict[str, Computation] = {
    "candle features": add_candle_features,
    "period features": lambda candles: add_period_features(candles, 24),
    "calendar features": lambda candles: add_calendar_features(candles, "5m"),
    "regime": lambda candles: measure_regime(candles, RegimeSettings()),
    "modes": _modes,
}


def _prefix_differs(compute: Computation, candles: pd.DataFrame) -> bool:
    whole = compute(candles)
    for rows in (150, 299, 431):
        prefix = compute(candles.iloc[:rows])
        if not prefix.equals(whole.iloc[:rows]):
            return True
    return False


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_that_the_future_does_not_change_the_past(name: str) -> None:
    assert not _prefix_differs(COMPUTATIONS[name], random_candles(500))


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_that_a_late_start_does_not_change_the_present(name: str) -> None:
    candles = random_candles(500)
    whole = COMPUTATIONS[name](candles)
    late = COMPUTATIONS[name](candles.iloc[200:])
    pd.testing.assert_frame_equal(late.iloc[200:], whole.iloc[400:], check_exact=True)


def test_that_the_check_itself_catches_a_peek() -> None:
    def peek(candles: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"next": candles["close"].shift(-1)})

    def centre(candles: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"z": candles["close"] / np.mean(candles["close"])})

    assert _prefix_differs(peek, random_candles(500))
    assert _prefix_differs(centre, random_candles(500))
