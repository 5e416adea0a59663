"""Freqtrade's own bias analyses, run as a user runs them."""

from pathlib import Path

import pandas as pd
import pytest

from agent_market.features import GROUPS, FeatureSet, write_feature_set
from tests.conftest import SmallMarket
from tests.freqtrade_process import overlay, run_freqtrade


@pytest.mark.timeout(600)
@pytest.mark.parametrize("on", ["every mode", "every group"])
def test_that_lookahead_analysis_finds_no_bias(
    small_market: SmallMarket, tmp_path: Path, on: str
) -> None:
    result = tmp_path / "lookahead.csv"
    chosen = _every_mode(tmp_path) if on == "every mode" else _every_group(tmp_path)
    run = run_freqtrade(
        "lookahead-analysis",
        [small_market.config, chosen],
        *["--datadir", str(small_market.datadir), "--timerange", "20250120-20250127"],
        *["--targeted-trade-amount", "6", "--minimum-trade-amount", "3"],
        *["--lookahead-analysis-exportfilename", str(result)],
    )
    assert result.is_file(), run.stdout[-3000:] + run.stderr[-3000:]
    if (
        on == "every group"
    ):  # six days of training, the memory of the longest group, a shift, an open candle
        memory = GROUPS["regime"].memory(12, "5m")
        assert f"for freqai on 5m to {6 * 288 + memory + 2}" in run.stderr
    row = pd.read_csv(result).iloc[0]
    assert row["total_signals"] >= 3
    assert not row["has_bias"], row.to_dict()
    assert pd.isna(row["biased_indicators"]), row["biased_indicators"]


@pytest.mark.timeout(600)
def test_that_recursive_analysis_finds_no_bias(small_market: SmallMarket, tmp_path: Path) -> None:
    # A model a candle, as if live: then the analysis' shorter backtests train the same models, and
    # what differs can only come from the indicators.
    every_candle = overlay(
        tmp_path / "every_candle.json",
        {"freqai": {"backtest_period_days": 300.1 / 86_400, "train_period_days": 3}},
    )
    run = run_freqtrade(
        "recursive-analysis",
        [small_market.config, every_candle, _every_mode(tmp_path)],
        *["--datadir", str(small_market.datadir), "--timerange", "1737936000-1737943200"],
        *["-p", "BTC/USDT:USDT", "--startup-candle", "150", "400"],
    )
    log = " ".join((run.stdout + run.stderr).split())
    assert "No variance on indicator(s) found due to recursive formula" in log, log[-3000:]
    assert "No lookahead bias on indicators found" in log, log[-3000:]


def _every_mode(folder: Path) -> Path:
    """Return a configuration in which each mode is on and entered before long."""
    anywhere = {"regimes": ["range", "trend", "shock"], "turbulence": "any", "min_score": 0}
    modes = {
        "crowded_funding_bps": 0.5,
        "long_shot": {**anywhere, "enabled": True},
        "defensive": {**anywhere, "levels": ["full", "price-only", "rules"]},
    }
    regime = {"filter": "hidden_markov"}
    # the analysis runs one pair where it found trades in several: losses in a row of all of them
    # are another account's, no look-ahead
    risk = {"losing_streak": 1_000_000}
    section = {"modes": modes, "regime": regime, "risk": risk}
    return overlay(folder / "modes.json", {"agent_market": section})


def _every_group(folder: Path) -> Path:
    """Return a configuration that turns on all groups, each standardized where it can be."""
    chosen = FeatureSet(
        groups=tuple(GROUPS),
        standardization={"volume": "rank", "news": "winsorize", "crowding": "zscore"},
        periods=(12,),
        timeframes=("5m", "1h"),
        correlated_pairs=("BTC/USDT:USDT",),
    )
    write_feature_set(folder / "features.json", chosen)
    features = {"freqai": {"feature_set_file": str(folder / "features.json")}}
    return overlay(folder / "every_group.json", features)
