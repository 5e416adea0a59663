"""Every FreqAI model of ours in a live bot without its loop: trained, asked, read back, asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.data.history import load_pair_history
from freqtrade.enums import CandleType

from agent_market.bridge.live_training import TrainingWorker
from agent_market.learning.window_model import WindowModel
from tests.bridge.live_bot import BTC, TIMEFRAMES, LiveBot, configuration
from tests.conftest import SmallMarket
from tests.parity.freqai import FOLDERS, STRATEGIES
from tests.parity.models import CLASSIFIERS, PARAMETERS, REGRESSORS

LABELS = {
    "HybridMultiMode": ["&-forward_return"],
    "FreqaiExampleStrategy": ["&-s_close"],
    "TwoTargets": ["&-s_close", "&-s_range"],
    "UpOrDown": ["&s-up_or_down", "up", "down"],
}
FOR_REGRESSORS = ("HybridMultiMode", "FreqaiExampleStrategy", "TwoTargets")
CASES = [
    *((strategy, model) for strategy in FOR_REGRESSORS for model in REGRESSORS),
    *(("UpOrDown", model) for model in CLASSIFIERS),
]
NEW = 500  # candles that a bot has at hand


@pytest.fixture(scope="module")
def candles(small_market: SmallMarket) -> dict[str, pd.DataFrame]:
    return {
        timeframe: load_pair_history(
            BTC,
            timeframe,
            small_market.datadir,
            candle_type=CandleType.FUTURES,
            data_format="feather",
        )
        for timeframe in TIMEFRAMES
    }


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, TrainingWorker]]:
    """One worker for all models of a strategy, which it loads once."""
    started = {strategy: TrainingWorker(5) for strategy in LABELS}
    yield started
    for worker in started.values():
        worker.close()


def _bot(
    folder: Path,
    strategy: str,
    model: str,
    candles: dict[str, pd.DataFrame],
    **options: Any,
) -> LiveBot:
    config = configuration(
        folder,
        strategy=strategy,
        strategy_path=str(FOLDERS.get(strategy, STRATEGIES)),
        freqaimodel=model,
        exchange={"name": "binance", "pair_whitelist": [BTC]},
        freqai={
            "feature_parameters": {
                "include_corr_pairlist": [],
                "include_shifted_candles": 0,
                "indicator_periods_candles": [12],
                **options,
            },
            "model_training_parameters": PARAMETERS,
            "expiration_hours": 0,  # the candles are of the past
        },
    )
    bot = LiveBot.start(config, {BTC: dict(candles)})
    bot.model.scanning = True  # no thread that trains: the test does
    bot.strategy.freqai = bot.model
    return bot


def _newest(bot: LiveBot) -> pd.Series:
    """Return the newest candle as the strategy gets it from FreqAI."""
    frame = bot.strategy.dp.get_pair_dataframe(BTC).iloc[-NEW:].reset_index(drop=True)
    return bot.strategy.advise_indicators(frame, {"pair": BTC}).iloc[-1]


def _asked(bot: LiveBot) -> dict[str, bytes]:
    """Return what the model in force says of rows that nobody has seen."""
    model: WindowModel = bot.model.dd.load_data(BTC, bot.kitchen(BTC))
    rows = np.random.default_rng(0).normal(size=(100, len(model.feature_names)))
    outputs = model.predict(rows.astype(np.float32)).outputs
    return {name: repr(values.tolist()).encode() for name, values in outputs.items()}


@pytest.mark.parametrize(("strategy", "model"), CASES)
def test_that_a_model_predicts_live_and_after_a_restart_the_same(
    strategy: str,
    model: str,
    candles: dict[str, pd.DataFrame],
    workers: dict[str, TrainingWorker],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot = _bot(tmp_path, strategy, model, candles)
    bot.model.trainer.worker = workers[strategy]
    before = _newest(bot)
    assert before["do_predict"] == 0 and before[LABELS[strategy][:1]].isna().all()

    bot.train(BTC)
    newest = _newest(bot)
    assert newest["do_predict"] == 1
    assert newest[LABELS[strategy]].notna().all()
    assert "hooks do not work in the training worker" not in caplog.text

    after = _bot(tmp_path, strategy, model, candles)
    again = _newest(after)
    assert after.model.trainer.worker.pid is None, "it trains no model"
    assert again["do_predict"] == 1
    for name in LABELS[strategy]:
        assert again[name] == newest[name]
    assert _asked(after) == _asked(bot)


@pytest.mark.parametrize(("threshold", "trusted"), [(2, True), (0.01, False)])
@pytest.mark.parametrize("model", ["FastLightGBMRegressor", "LSTMRegressor"])
def test_that_outliers_are_the_same_live_and_after_a_restart(
    model: str,
    threshold: float,
    trusted: bool,
    candles: dict[str, pd.DataFrame],
    workers: dict[str, TrainingWorker],
    tmp_path: Path,
) -> None:
    options = {"DI_threshold": threshold, "principal_component_analysis": True}
    bot = _bot(tmp_path, "HybridMultiMode", model, candles, **options)
    bot.model.trainer.worker = workers["HybridMultiMode"]
    bot.train(BTC)
    newest = _newest(bot)
    assert newest["do_predict"] == trusted
    assert (0 < newest["DI_values"] < threshold) == trusted  # an outlier's is not stored
    assert pd.notna(newest["&-forward_return"]) == trusted
    again = _newest(_bot(tmp_path, "HybridMultiMode", model, candles, **options))
    names = ["DI_values", "do_predict", "&-forward_return"]
    assert again[names].equals(newest[names])
