"""Every FreqAI model of ours in real `freqtrade backtesting` processes."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import SmallMarket
from tests.freqtrade_process import PROJECT, overlay, run_freqtrade
from tests.parity.freqai import STRATEGIES, TEMPLATES
from tests.parity.models import CLASSIFIERS, PARAMETERS, POLICIES, REGRESSORS

FOR_REGRESSORS = ("HybridMultiMode", "FreqaiExampleStrategy", "TwoTargets")
FOR_CLASSIFIERS = ("UpOrDown",)
FOR_POLICIES = ("RLTrader",)
PREDICTED = {
    "HybridMultiMode": ["&-forward_return"],
    "TwoTargets": ["&-s_close", "&-s_range"],
    "UpOrDown": ["&s-up_or_down", "up", "down"],
    "RLTrader": ["&-gain", "&-gain_from_-1", "&-gain_from_0", "&-gain_from_1"],
}


def _backtest(
    model: str, strategies: tuple[str, ...], market: SmallMarket, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run the strategies one after the other in one process, with one model."""
    (folder / "results").mkdir(exist_ok=True)
    home = folder / "userdir" / "strategies"
    if not home.is_dir():
        home.mkdir(parents=True)
        for path in (*(PROJECT / "strategies").glob("*.py"), *STRATEGIES.glob("*.py")):
            shutil.copy(path, home)
    horizon = {"label_period_candles": 2} if model in POLICIES else {}
    content = {
        "user_data_dir": str(folder / "userdir"),
        "strategy_path": str(TEMPLATES),
        "startup_candle_count": 150,  # or the first strategy of a list decides for all
        "freqai": {
            "train_period_days": 2,
            "backtest_period_days": 1,
            "feature_parameters": {
                "include_timeframes": ["5m", "1h"],
                "include_shifted_candles": 0,
                "indicator_periods_candles": [12],
                **horizon,
            },
            "model_training_parameters": PARAMETERS,
        },
        "agent_market": {"state_dir": str(folder / "state"), "learning": {"workers": 1}},
    }
    return run_freqtrade(
        "backtesting",
        [market.config, overlay(folder / "model.json", content)],
        *["--datadir", str(market.datadir), "--timerange", "20250112-20250114"],
        *["--freqaimodel", model, "--strategy-list", *strategies],
        *["--backtest-directory", str(folder / "results"), "--cache", "none"],
        timeout=300,
    )


def _strategies(model: str) -> tuple[str, ...]:
    if model in POLICIES:
        return FOR_POLICIES
    return FOR_CLASSIFIERS if model in CLASSIFIERS else FOR_REGRESSORS


def _trades(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the trades of the newest backtest by strategy."""
    newest = max((folder / "results").glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
    with zipfile.ZipFile(newest) as archive:
        name = newest.with_suffix(".json").name
        strategies = json.loads(archive.read(name))["strategy"]
    return {name: found["trades"] for name, found in strategies.items()}


def _trained(run: subprocess.CompletedProcess[str]) -> list[int]:
    """Return how many windows each pair of each strategy had to train, in turn."""
    return [int(n) for n in re.findall(r": (\d+) windows to train", run.stdout + run.stderr)]


def _check_log(run: subprocess.CompletedProcess[str]) -> None:
    log = run.stdout + run.stderr
    assert run.returncode == 0, log[-3000:]
    assert "Traceback" not in log and "ERROR" not in log, log[-3000:]
    assert "window not trained" not in log


def _check_predictions(strategy: str, folder: Path) -> None:
    """The strategies share one identifier, so the files are those of the one that ran last."""
    files = sorted(folder.glob("userdir/models/*/backtesting_predictions/*.feather"))
    assert len(files) == 2 * 3  # two pairs, two days, and the candle after them
    for path in files:
        frame = pd.read_feather(path)
        assert (frame["do_predict"] == 1).all(), path
        assert frame[PREDICTED[strategy]].notna().all(axis=None), path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", [*REGRESSORS, *CLASSIFIERS, *POLICIES])
def test_that_a_model_works_with_freqtrades_example_and_with_ours(
    model: str, small_market: SmallMarket, tmp_path: Path
) -> None:
    strategies = _strategies(model)
    first = strategies[0]
    run = _backtest(model, (first,), small_market, tmp_path)
    _check_log(run)
    trained = _trained(run)
    assert trained == ([3] if model.startswith("Panel") else [3, 3])
    _check_predictions(first, tmp_path)
    trades = _trades(tmp_path)[first]
    assert trades

    # read back for the first of a list only: Freqtrade keeps the end of the correlated candles from
    # the strategies after it, so their features are others
    again = _backtest(model, strategies, small_market, tmp_path)
    _check_log(again)
    _check_predictions(strategies[-1], tmp_path)
    found = _trades(tmp_path)
    assert set(found) == set(strategies)
    assert found[first] == trades
    assert found[strategies[-1]]
    trained_again = _trained(again)
    assert trained_again[: len(trained)] == [0] * len(trained)
    assert all(trained_again[len(trained) :])
    assert len(trained_again) >= len(strategies) * len(trained)
