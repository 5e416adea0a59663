"""Plans made from synthetic candles: one feature knows the next returns, the others do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.learning.feature_table import FeatureBlock, FeatureTable
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan, Window

HORIZON = 4
N_ROWS, N_TRAIN, N_PREDICT = 1400, 500, 200
START = pd.Timestamp("2024-01-01", tz="UTC")
LABEL = "&-forward_return"
NAMES = (
    "%-signal-period_12_BTC/USDTUSDT_5m",
    "%-noise-period_12_BTC/USDTUSDT_5m",
    "%-noise-period_12_ETH/USDTUSDT_1h",
    "%-news_age",
)
LIGHTGBM = {"n_estimators": 30, "num_leaves": 7, "learning_rate": 0.1, "extra_trees": False}

MakePlan = Callable[..., PairPlan]


def forward_return(close: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
    label = np.full(len(close), np.nan)
    label[:-horizon] = close[horizon:] / close[:-horizon] - 1
    return label


def windows(n_rows: int = N_ROWS, first: int = 0) -> tuple[Window, ...]:
    return tuple(
        Window(
            int((START + pd.Timedelta(minutes=5 * stop)).timestamp()),
            (stop - N_TRAIN, stop),
            (stop, min(stop + N_PREDICT, n_rows)),
            known=stop,
        )
        for stop in range(first + N_TRAIN, n_rows, N_PREDICT)
    )


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    """Return a builder of plans; `strength` is how much the signal knows."""

    def build(
        pair: str = "BTC/USDT:USDT",
        seed: int = 0,
        strength: float = 0.5,
        horizon: int = HORIZON,
        classes: bool = False,
        first: int = 0,
    ) -> PairPlan:
        rng = np.random.default_rng(seed)
        returns = rng.normal(0, 0.002, N_ROWS)
        close = 100 * np.exp(np.cumsum(returns))
        opens = np.concatenate([[100.0], close[:-1]])
        label = forward_return(close, horizon)
        future = np.nan_to_num(label) / np.nanstd(label)
        features = rng.normal(0, 1, (N_ROWS, len(NAMES))).astype(np.float32)
        features[:, 0] = strength * future + np.sqrt(1 - strength**2) * features[:, 0]
        folder = tmp_path / f"{pair.split('/')[0]}_{seed}_{horizon}"
        folder.mkdir(exist_ok=True)
        np.save(folder / "values.npy", features)
        np.save(folder / "candles.npy", np.arange(N_ROWS, dtype=np.int64) + 1000)
        table = FeatureTable(
            (FeatureBlock(folder / "values.npy", NAMES),), folder / "candles.npy", f"{pair} {seed}"
        )
        candles = pd.DataFrame(
            {
                "date": pd.date_range(START, periods=N_ROWS, freq="5min"),
                "open": opens,
                "high": np.maximum(opens, close),
                "low": np.minimum(opens, close),
                "close": close,
                "volume": 1.0,
            }
        )
        labels = _classes(label) if classes else label
        return PairPlan(
            pair, table, candles, labels[:, None], (LABEL,), horizon, windows(first=first)
        )

    return build


def _classes(label: np.ndarray) -> np.ndarray:
    names = np.full(len(label), None, dtype=object)
    names[label > 0.002] = "up"
    names[label < -0.002] = "down"
    names[np.abs(label) <= 0.002] = "flat"
    return names


def spec(
    adapter: str = "lightgbm_regressor", params: dict[str, Any] | None = None, **changes: Any
) -> ModelSpec:
    if params is None:
        params = LIGHTGBM if adapter.startswith("lightgbm") else {}
    return replace(ModelSpec(adapter, params, seed=7, horizon_candles=HORIZON), **changes)
