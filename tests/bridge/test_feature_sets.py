"""HybridMultiMode with and without freqai_features.json."""

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from freqtrade.exceptions import OperationalException

from agent_market.bridge import FeatureHooks
from agent_market.features import (
    FeatureSet,
    add_calendar_features,
    add_candle_features,
    add_period_features,
    write_feature_set,
)
from tests.candles import random_candles

PROJECT = Path(__file__).resolve().parents[2]
PAIR = {"pair": "BTC/USDT:USDT", "tf": "5m"}
CHOSEN = FeatureSet(
    groups=("momentum", "candle", "calendar", "regime"),
    periods=(24,),
    timeframes=("5m",),
    correlated_pairs=(),
)


def _config(userdir: Path) -> dict[str, Any]:
    config = json.loads((PROJECT / "config.json").read_text())
    return {**copy.deepcopy(config), "user_data_dir": userdir, "datadir": userdir / "data"}


def _strategy(config: dict[str, Any]) -> Any:
    path = PROJECT / "strategies" / "HybridMultiMode.py"
    spec = importlib.util.spec_from_file_location("HybridMultiMode", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.HybridMultiMode(config)


def test_that_without_a_file_nothing_changes(tmp_path: Path) -> None:
    config = _config(tmp_path)
    before = copy.deepcopy(config)
    strategy = _strategy(config)
    assert config == before
    assert strategy.startup_candle_count == 150
    assert FeatureHooks.informative_pairs(strategy) == []
    candles = random_candles(400)
    for ours, theirs in (
        (
            strategy.feature_engineering_expand_all(candles.copy(), 24, PAIR),
            add_period_features(candles, 24),
        ),
        (
            strategy.feature_engineering_expand_basic(candles.copy(), PAIR),
            add_candle_features(candles),
        ),
        (
            strategy.feature_engineering_standard(candles.copy(), {"pair": "BTC/USDT:USDT"}),
            add_calendar_features(candles, "5m"),
        ),
    ):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_that_the_file_decides_columns_parameters_and_startup(tmp_path: Path) -> None:
    write_feature_set(tmp_path / "freqai_features.json", CHOSEN)
    config = _config(tmp_path)
    strategy = _strategy(config)
    parameters = config["freqai"]["feature_parameters"]
    assert parameters["indicator_periods_candles"] == [24]
    assert parameters["include_timeframes"] == ["5m"]
    assert parameters["include_corr_pairlist"] == []
    assert strategy.startup_candle_count == CHOSEN.memory("5m") + 2 == 986


def test_that_the_configured_timeframe_counts_and_not_that_of_the_class(tmp_path: Path) -> None:
    hourly = CHOSEN.model_copy(update={"timeframes": ("1h",)})
    write_feature_set(tmp_path / "freqai_features.json", hourly)
    config = {**_config(tmp_path), "timeframe": "1h"}
    assert _strategy(config).feature_set.content() == hourly.content()


def test_that_a_mistake_stops_freqtrade_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "freqai_features.json"
    path.write_text(json.dumps({**CHOSEN.content(), "groups": ["momentun"]}))
    with pytest.raises(OperationalException, match=r"freqai_features.json: groups: unknown group"):
        _strategy(_config(tmp_path))


def test_that_freqai_switched_off_needs_no_file(tmp_path: Path) -> None:
    (tmp_path / "freqai_features.json").write_text("{")
    config = _config(tmp_path)
    config["freqai"]["enabled"] = False
    assert _strategy(config).feature_set is None
