"""Whatever is computed at row t on data[:t] must equal what is computed there on data[:T]."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.decisions import measure_regime
from agent_market.features import (
    add_calendar_features,
    add_candle_features,
    add_headline_features,
    add_order_flow_features,
    add_period_features,
    add_regime_momentum_features,
)
from agent_market.learning.checks import check_target
from agent_market.settings import RegimeSettings
from tests.candles import random_candles

Computation = Callable[[pd.DataFrame], pd.DataFrame]
ROWS, LATE = 1000, 400  # the longest memory below is 408 rows
STRATEGY = Path(__file__).resolve().parents[2] / "strategies" / "HybridMultiMode.py"


def _modes(candles: pd.DataFrame) -> pd.DataFrame:
    prediction = candles["close"].pct_change()  # any causal stand-in
    predicted = candles.assign(**{"&-forward_return": prediction, "do_predict": 1})
    return _strategy().desk.measure(predicted, {"pair": "BTC/USDT:USDT"})


def _order_flow(candles: pd.DataFrame) -> pd.DataFrame:
    """Join side data of the whole history: what is not published yet must not matter."""
    closes = random_candles(ROWS)["date"] + pd.Timedelta("5min")
    bought, sold = np.random.default_rng(2).lognormal(0, 1, (2, ROWS))
    times = {"event_time": closes, "available_at": closes}
    side = pd.DataFrame({**times, "buy_volume": bought, "sell_volume": sold})
    return add_order_flow_features(candles, side, "5m")


def _headlines(candles: pd.DataFrame) -> pd.DataFrame:
    published = random_candles(ROWS)["date"][::37] + pd.Timedelta("100s")
    texts = np.resize(["Coin soars", "Coin slips", "A hack", "Weekly summary"], len(published))
    news = pd.DataFrame({"available_at": published, "headline": texts})
    return add_headline_features(candles, news.assign(symbols=[["BTC"]] * len(news)), "BTC", "5m")


@cache
def _strategy() -> Any:
    """Return the strategy as Freqtrade makes it, without an exchange."""
    spec = importlib.util.spec_from_file_location("HybridMultiMode", STRATEGY)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = {
        "modes": {
            "entry_edge_bps": 1,
            "mean_reversion": {"min_score": 0},
            "long_shot": {"enabled": True, "min_score": 0},
        },
        "regime": {"shock_z": 2.5},
    }
    freqai = {"feature_parameters": {"label_period_candles": 12}}
    strategy = module.HybridMultiMode({"agent_market": settings, "freqai": freqai})
    strategy.freqai_info = freqai
    return strategy


def _hooks(candles: pd.DataFrame) -> pd.DataFrame:
    strategy, metadata = _strategy(), {"pair": "BTC/USDT:USDT"}
    frame = strategy.feature_engineering_expand_all(candles.copy(), 24, metadata)
    frame = strategy.feature_engineering_expand_basic(frame, metadata)
    return strategy.feature_engineering_standard(frame, metadata)


def _signals(candles: pd.DataFrame) -> pd.DataFrame:
    signals = _strategy().populate_entry_trend(_modes(candles), {})
    assert signals["enter_tag"].nunique() >= 3 or len(signals) < 500
    return signals


COMPUTATIONS: dict[str, Computation] = {
    "candle features": add_candle_features,
    "period features": lambda candles: add_period_features(candles, 24),
    "calendar features": lambda candles: add_calendar_features(candles, "5m"),
    "regime": lambda candles: measure_regime(candles, RegimeSettings()),
    "hidden Markov regime": lambda candles: measure_regime(
        candles, RegimeSettings(filter="hidden_markov")
    ),
    "modes": _modes,
    "order flow features": _order_flow,
    "headline features": _headlines,
    "regime momentum features": lambda candles: add_regime_momentum_features(candles, 288),
    "hooks of HybridMultiMode": _hooks,
    "entries of HybridMultiMode": _signals,
}


def _prefix_differs(compute: Computation, candles: pd.DataFrame) -> bool:
    whole = compute(candles)
    for rows in (150, 299, 431, 817):
        prefix = compute(candles.iloc[:rows])
        if not prefix.equals(whole.iloc[:rows]):
            return True
    return False


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_that_the_future_does_not_change_the_past(name: str) -> None:
    assert not _prefix_differs(COMPUTATIONS[name], random_candles(ROWS))


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_that_a_late_start_does_not_change_the_present(name: str) -> None:
    candles = random_candles(ROWS)
    whole = COMPUTATIONS[name](candles)
    late = COMPUTATIONS[name](candles.iloc[LATE:])
    known = LATE + 410
    assert whole.iloc[known:].filter(like="%-").notna().all().all()
    pd.testing.assert_frame_equal(late.loc[known:], whole.loc[known:], check_exact=True)


def test_that_the_target_of_the_strategy_is_the_future_and_no_more_of_it() -> None:
    def target(candles: pd.DataFrame) -> pd.DataFrame:
        return _strategy().set_freqai_targets(candles, {})

    check_target("&-forward_return", target, random_candles(ROWS), horizon=12)


def test_that_the_check_itself_catches_a_peek() -> None:
    def peek(candles: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"next": candles["close"].shift(-1)})

    def centre(candles: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"z": candles["close"] / np.mean(candles["close"])})

    assert _prefix_differs(peek, random_candles(500))
    assert _prefix_differs(centre, random_candles(500))
