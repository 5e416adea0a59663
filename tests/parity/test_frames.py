"""Our frames and FreqAI's, byte by byte: features, labels, rows, names, order."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.bridge import load_plans
from agent_market.bridge.features import FeatureBuilder
from agent_market.bridge.offline import handed_over
from agent_market.learning.feature_store import FeatureStore, as_float32
from agent_market.learning.window_plan import PairPlan, Window
from tests.conftest import SmallMarket
from tests.parity.freqai import HandedWindow, config_for, freqai_windows, strategy_of

BTC, ETH, SUI = "BTC/USDT:USDT", "ETH/USDT:USDT", "SUI/USDT:USDT"


def _freqai(corr: list[str], **parameters: Any) -> dict[str, Any]:
    return {
        "train_period_days": 4,
        "backtest_period_days": 1.5,
        "feature_parameters": {
            "include_timeframes": ["5m", "1h"],
            "include_corr_pairlist": corr,
            "include_shifted_candles": 2,
            "indicator_periods_candles": [10, 24],
            "label_period_candles": 12,
            **parameters,
        },
    }


def _require_equal(plan: PairPlan, windows: list[HandedWindow]) -> None:
    by_end = {window.trained_at: window for window in plan.windows}
    assert [window.trained_at for window in windows] == sorted(by_end)[: len(windows)]
    assert len(by_end) - len(windows) in (0, 1)  # ours may open one for the last candle
    for theirs in windows:
        ours = by_end[theirs.trained_at]
        assert tuple(theirs.features) == plan.table.names
        assert tuple(theirs.labels) == plan.label_names
        _require_equal_rows(plan, ours.train, theirs.train, theirs.features)
        first, last = ours.predict
        # and the last candle, which FreqAI leaves out
        assert last - first - len(theirs.predict) in (0, int(theirs is windows[-1]))
        rows = (first, first + len(theirs.predict))
        _require_equal_rows(plan, rows, theirs.predict, theirs.features)
        _require_equal_labels(plan, ours, theirs)


def _require_equal_rows(
    plan: PairPlan, rows: tuple[int, int], frame: pd.DataFrame, names: list[str]
) -> None:
    dates = plan.candles["date"].iloc[slice(*rows)].reset_index(drop=True)
    assert dates.equals(frame["date"].reset_index(drop=True))
    ours, theirs = plan.table.read(*rows), as_float32(frame[names])
    wrong = np.flatnonzero(~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(axis=0))
    assert not wrong.size, [names[column] for column in wrong]
    assert np.isnan(ours).tobytes() == np.isnan(theirs).tobytes()
    assert np.nan_to_num(ours).tobytes() == np.nan_to_num(theirs).tobytes()


def _require_equal_labels(plan: PairPlan, ours: Window, theirs: HandedWindow) -> None:
    """FreqAI's training rows: what is left when every row with a NaN is dropped."""
    features, labels = plan.table.read(*ours.train), plan.training_labels(ours)
    known = ~np.isnan(features).any(axis=1) & ~np.isnan(labels).any(axis=1)
    assert known.sum() == len(theirs.clean_labels)
    for column, name in enumerate(theirs.labels):
        # hooks are handed features in float32, so a label made of one has its precision
        kind = np.float32 if name == "&-of_feature" else np.float64
        expected = theirs.clean_labels[name].to_numpy(kind)
        assert labels[known, column].astype(kind).tobytes() == expected.tobytes(), name
    clean = as_float32(theirs.clean_features)
    assert np.ascontiguousarray(features[known]).tobytes() == clean.tobytes()


def _require_same_shown(config: dict[str, Any], pair: str, returned: pd.DataFrame) -> None:
    """What the strategy gets back beside the predictions."""
    strategy = strategy_of(config)
    candles = strategy.dp.get_pair_dataframe(pair, config["timeframe"])
    builder = FeatureBuilder(config, strategy, FeatureStore(None))
    frame = builder.build(pair, handed_over(strategy, pair, candles)).returned()
    for name in returned:
        if name.startswith("&") or name == "do_predict":
            continue
        ours, theirs = (one[name].iloc[: len(returned)] for one in (frame, returned))
        if name.startswith("%%"):  # a feature: FreqAI has it in the windows only, else 0
            ours, theirs = ours[theirs != 0].astype(np.float32), theirs[theirs != 0]
            theirs = theirs.astype(np.float32)
        assert ours.equals(theirs), name
    kept = {name for name in frame if not name.startswith("%") or name.startswith("%%")}
    assert kept <= set(returned)  # `IFreqaiModel.start` takes the other features out


@pytest.mark.parametrize(
    ("strategy", "market"),
    [
        ("HybridMultiMode", "simulated"),
        ("FreqaiExampleStrategy", "simulated"),
        ("Rewriting", "simulated"),
        ("HybridMultiMode", "real"),
        ("FreqaiExampleStrategy", "real"),
        ("Awkward", "real"),
    ],
)
def test_that_features_labels_and_windows_are_freqais(
    strategy: str,
    market: str,
    small_market: SmallMarket,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    if market == "simulated":
        pairs, datadir, timerange = [BTC, ETH], small_market.datadir, "20250112-20250116"
    else:
        datadir = request.getfixturevalue("real_data") / "futures_2023_24"
        pairs, timerange = [SUI, BTC], "20230511-20230516"
    freqai = _freqai([BTC, "1000PEPE/USDT:USDT"] if market == "real" else [BTC, ETH])
    config = config_for(tmp_path, datadir, strategy, pairs, timerange, freqai)
    (plans,) = load_plans(config).values()
    assert [plan.pair for plan in plans] == pairs
    for plan in plans:
        windows, returned = freqai_windows(config, plan.pair)
        assert len(windows) >= 3
        _require_equal(plan, windows)
        _require_same_shown(config, plan.pair, returned)
