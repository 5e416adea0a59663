"""A small market with everything that candles do: gaps, late listings, flat hours, equal values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_market.expressions import ExpressionBounds, Scope
from agent_market.expressions.panel import Panel, panel_of_candles
from tests.candles import random_candles
from tests.expressions.reference import Market

ROWS = 200
FEATURES = ("%-z", "%-count", "%-wild")
SCOPE = Scope(
    timeframe="5m",
    timeframes=("15m", "30m"),
    features=frozenset(FEATURES),
    bounds=ExpressionBounds(max_window=40, max_lookback=120, max_nodes=24),
)


def candles_of_pairs(rows: int = ROWS, n_pairs: int = 5) -> dict[str, pd.DataFrame]:
    """Return candles and features, the worse the later the pair."""
    return {f"P{k}/USDT": _candles(rows, k) for k in range(n_pairs)}


def _candles(rows: int, k: int) -> pd.DataFrame:
    rng = np.random.default_rng(k)
    frame = random_candles(rows, seed=k)
    prices = ["open", "high", "low", "close"]
    frame[prices] = (frame[prices] * 10.0 ** (2 * k - 4)).round(6)
    frame["volume"] = frame["volume"].round(k)
    frame["%-z"] = rng.normal(size=rows)
    frame["%-count"] = rng.integers(0, 4, rows).astype(float)
    frame["%-wild"] = rng.normal(size=rows) * 10.0 ** rng.integers(-4, 5, rows)
    if k % 2:
        flat = slice(rows // 3, rows // 3 + 40)
        frame.loc[flat, prices] = frame["close"].iloc[rows // 3]
        frame.loc[flat, "volume"] = 0.0
    if k > 1:
        frame.loc[rng.random(rows) < 0.003, list(FEATURES)] = np.nan
    if k > 2:
        frame = frame.drop(index=[rows // 2, rows // 2 + 1])
    return frame.iloc[17 * max(k - 3, 0) :].reset_index(drop=True)


def funding_of_pairs(candles: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return funding every four hours, the same for hours on end; the last pair has none."""
    dates = pd.date_range("2023-12-31 20:00", periods=80, freq="4h", tz="UTC")
    rates = np.random.default_rng(9).integers(-3, 4, (len(candles), 80)) * 1e-4
    names = list(candles)[:-1]
    return {
        pair: pd.DataFrame({"date": dates, "open": rate})
        for pair, rate in zip(names, rates[:-1], strict=True)
    }


def small_panel(rows: int = ROWS) -> Panel:
    """Return the market as a panel."""
    candles = candles_of_pairs(rows)
    return panel_of_candles(candles, "5m", funding=funding_of_pairs(candles), features=FEATURES)


def as_market(panel: Panel) -> Market:
    """Return a panel as the reference takes it."""
    opens = pd.to_datetime(
        (panel.first_candle + np.arange(panel.shape[1])) * 300, unit="s", utc=True
    )
    frames = [
        {name: pd.DataFrame(x.T, opens, list(panel.pairs)) for name, x in arrays.items()}
        for arrays in (panel.series, panel.features)
    ]
    return Market(panel.timeframe, *frames)


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays are NaN at the same places and else equal to the last bit."""
    known = ~np.isnan(x)
    same = np.array_equal(known, ~np.isnan(y))
    return same and x[known].tobytes() == y[known].tobytes()
