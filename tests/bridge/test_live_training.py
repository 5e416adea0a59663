"""Live training with real worker processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from freqtrade.enums import RunMode

from agent_market.bridge.live_provider import SnapshotProvider
from agent_market.bridge.live_tasks import Table, training_frame, training_table
from agent_market.bridge.live_training import LiveTrainer
from agent_market.bridge.live_worker import NICENESS
from agent_market.errors import DataError, ModelUnavailable
from agent_market.learning.window_model import ModelSpec, Rows, WindowModel, fit_window
from tests.bridge.live_bot import (
    BTC,
    ETH,
    PROJECT,
    Candles,
    LiveBot,
    configuration,
    simulated_candles,
)
from tests.freqtrade_process import outlive

ENDLESS = ModelSpec("lightgbm_regressor", {"n_estimators": 1_000_000}, seed=1, horizon_candles=1)
SHORT = ModelSpec("lightgbm_regressor", {"n_estimators": 5}, seed=1, horizon_candles=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Candles:
    return simulated_candles(tmp_path_factory.mktemp("market"), (BTC, ETH))


@pytest.fixture
def bots(history: Candles, tmp_path: Path) -> Iterator[Callable[..., LiveBot]]:
    started = []

    def start(**changes: Any) -> LiveBot:
        copied = {pair: dict(frames) for pair, frames in history.items()}
        started.append(LiveBot.start(configuration(tmp_path, **changes), copied))
        return started[-1]

    yield start
    for bot in started:
        bot.model.trainer.close()


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[LiveTrainer]:
    trainer = LiveTrainer({}, tmp_path / "training", deadline_minutes=2)
    yield trainer
    trainer.close()


def tables(n_rows: int = 2000, n_features: int = 40) -> list[Table]:
    draws = np.random.default_rng(0).normal(size=(n_rows, n_features + 1))
    rows = Rows(draws[:, 1:].astype(np.float32), draws[:, :1].copy(), np.arange(n_rows))
    return [Table(rows, tuple(f"%-{number}" for number in range(n_features)), ("&-label",))]


def kitchen(folder: Path) -> Any:
    return LiveBot.kitchen(LiveBot(configuration(folder), None, None, 0), BTC)  # type: ignore[arg-type]


def fitted_here(bot: LiveBot, pair: str) -> tuple[WindowModel, Table]:
    """Compute and fit in this process what a training is made from."""
    dk = bot.kitchen(pair)
    made = training_table(training_frame(bot.snapshot(pair), bot.strategy, dk), dk, 300)
    model, _ = fit_window([made.rows], made.feature_names, made.label_names, bot.model.spec)
    return model, made


def model_of(bot: LiveBot, pair: str) -> WindowModel:
    model: WindowModel = bot.model.dd.load_data(pair, bot.kitchen(pair))
    return model


def predictions(model: WindowModel, made: Table) -> bytes:
    outputs = model.predict(made.rows.X).outputs
    return b"".join(values.tobytes() for values in outputs.values())


def in_background(run: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    failures: list[BaseException] = []

    def caught() -> None:
        try:
            run()
        except ModelUnavailable as error:
            failures.append(error)

    thread = threading.Thread(target=caught)
    thread.start()
    return thread, failures


def wait_until_busy(pid: int) -> None:
    """Wait until a worker trains: it takes processor time for longer than its start does."""
    process = psutil.Process(pid)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        before = process.cpu_times().user
        time.sleep(0.3)
        if process.num_threads() >= 2 and before > 0 and process.cpu_times().user > before + 0.1:
            return
    raise AssertionError("the worker does nothing")


def test_that_the_worker_predicts_to_the_byte_what_a_fit_in_the_bot_predicts(
    bots: Callable[..., LiveBot],
) -> None:
    bot = bots()
    for pair in (ETH, BTC):
        bot.train(pair)
    pid = bot.model.trainer.worker.pid
    for pair in (ETH, BTC):
        here, made = fitted_here(bot, pair)
        there = model_of(bot, pair)
        assert there.feature_names == here.feature_names
        assert predictions(there, made) == predictions(here, made)
        assert there.label_mean == here.label_mean
        assert there.calibration_errors == here.calibration_errors
    assert bot.model.dd.get_pair_dict_info(ETH)[1] == bot.end
    assert pid is not None
    assert psutil.Process(pid).nice() == min(psutil.Process().nice() + NICENESS, 19)
    assert psutil.Process(pid).environ()["OMP_NUM_THREADS"] == "1"
    bot.train(ETH)
    assert bot.model.trainer.worker.pid == pid, "the worker lives between trainings"


def test_that_continual_learning_goes_on_from_the_stored_model(
    bots: Callable[..., LiveBot],
) -> None:
    bot = bots(freqai={"continual_learning": True})
    bot.train(BTC)
    first = model_of(bot, BTC)
    bot.train(BTC, bot.end + 1)
    here, made = fitted_here(bot, BTC)
    rows = [made.rows]
    on, _ = fit_window(rows, made.feature_names, made.label_names, bot.model.spec, first)
    assert predictions(model_of(bot, BTC), made) == predictions(on, made)
    assert predictions(model_of(bot, BTC), made) != predictions(here, made)


NEEDS_EXCHANGE = """
from typing import Any
from freqtrade.strategy import IStrategy

class NeedsExchange(IStrategy):
    timeframe = "5m"
    minimal_roi = {"0": 10}
    stoploss = -0.1
    startup_candle_count = 10

    def feature_engineering_standard(self, dataframe, metadata, **kwargs):
        dataframe["%-change"] = dataframe["close"].pct_change()
        try:
            dataframe["%-bid"] = self.dp.ticker(metadata["pair"])["bid"]
        except RuntimeError if STRICT else Exception:
            dataframe["%-bid"] = 0.0
        dataframe["%-noise"] = dataframe["%-bid"] * dataframe["close"]
        return dataframe

    def set_freqai_targets(self, dataframe, metadata, **kwargs):
        dataframe["&-next"] = dataframe["close"].shift(-12) / dataframe["close"] - 1
        return dataframe

    def populate_indicators(self, dataframe, metadata):
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


class Exchange(SnapshotProvider):
    """The bot's data provider, of which the worker has no twin."""

    def ticker(self, pair: str) -> dict[str, float]:
        return {"bid": 17.0}


@pytest.mark.parametrize("strict", [True, False], ids=["raises", "catches the error"])
def test_that_a_strategy_that_needs_the_exchange_gets_its_features_in_the_bot(
    bots: Callable[..., LiveBot], tmp_path: Path, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    (tmp_path / "NeedsExchange.py").write_text(NEEDS_EXCHANGE.replace("STRICT", str(strict)))
    bot = bots(strategy="NeedsExchange", strategy_path=str(tmp_path))
    bot.strategy.dp = Exchange(bot.config, bot.snapshot(BTC))
    with caplog.at_level(logging.WARNING):
        for pair in (BTC, ETH):
            bot.train(pair)
    said = [record.getMessage() for record in caplog.records if "hooks" in record.getMessage()]
    assert len(said) == 1
    assert "dp.ticker" in said[0]
    for pair in (BTC, ETH):
        here, made = fitted_here(bot, pair)
        column = made.feature_names.index("%-bid")
        assert set(made.rows.X[:, column]) == {17.0}
        assert predictions(model_of(bot, pair), made) == predictions(here, made)


def test_that_the_worker_serves_the_candles_of_the_training_and_nothing_else(
    bots: Callable[..., LiveBot], history: Candles
) -> None:
    bot = bots()
    snapshot = bot.snapshot(ETH)
    provider = SnapshotProvider(bot.config, snapshot)
    pd.testing.assert_frame_equal(provider.get_pair_dataframe(ETH), snapshot.base["5m"])
    pd.testing.assert_frame_equal(
        provider.get_pair_dataframe(BTC, "1h", "futures"), snapshot.corr[BTC]["1h"]
    )
    assert provider.runmode is RunMode.DRY_RUN
    assert provider.current_whitelist() == [BTC, ETH]
    assert not provider.refused
    for call, named in (
        (lambda: provider.get_pair_dataframe("XRP/USDT:USDT", "5m"), "'XRP/USDT:USDT', '5m'"),
        (lambda: provider.get_pair_dataframe(BTC, "15m"), "'15m'"),
        (lambda: provider.get_pair_dataframe(BTC, "1h", "funding_rate"), "'funding_rate'"),
        (lambda: provider.orderbook(BTC, 5), "dp.orderbook"),
    ):
        with pytest.raises(DataError, match=named):
            call()
    assert len(provider.refused) == 4


def test_that_a_training_beyond_its_deadline_is_ended_and_the_next_one_works(
    trainer: LiveTrainer, tmp_path: Path
) -> None:
    dk = kitchen(tmp_path)
    assert trainer.fit(tables(), SHORT, dk, None).label_names == ("&-label",)
    first = trainer.worker.pid
    trainer.worker.deadline_minutes = 1 / 60
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="longer than agent_market"):
        trainer.fit(tables(), ENDLESS, dk, None)
    assert 1 <= time.monotonic() - started < 4
    trainer.worker.deadline_minutes = 2
    trainer.fit(tables(), SHORT, dk, None)
    assert trainer.worker.pid != first


def test_that_a_worker_killed_from_outside_fails_its_training_and_the_next_one_works(
    trainer: LiveTrainer, tmp_path: Path
) -> None:
    dk = kitchen(tmp_path)
    trainer.fit(tables(), SHORT, dk, None)
    pid = trainer.worker.pid
    assert pid is not None
    thread, failures = in_background(lambda: trainer.fit(tables(), ENDLESS, dk, None))
    wait_until_busy(pid)
    os.kill(pid, signal.SIGKILL)
    thread.join(5)
    assert "died with signal SIGKILL" in str(failures[0])
    trainer.fit(tables(), SHORT, dk, None)

    idle = trainer.worker.pid
    assert idle is not None and idle != pid
    psutil.Process(idle).kill()
    psutil.Process(idle).wait(5)
    trainer.fit(tables(), SHORT, dk, None)


def test_that_a_pair_that_cannot_be_trained_keeps_its_model_and_the_log_says_why(
    bots: Callable[..., LiveBot], caplog: pytest.LogCaptureFixture
) -> None:
    bot = bots()
    bot.train(BTC)
    stored, end = model_of(bot, BTC), bot.end
    frames = bot.model.dd.historic_data[BTC]
    frames["5m"] = frames["5m"].assign(close=np.nan)
    bot.train(BTC, end + 600)
    assert "BTC/USDT:USDT: not trained." in caplog.text
    assert model_of(bot, BTC) is stored
    assert bot.model.dd.get_pair_dict_info(BTC)[1] == end


def test_that_stopping_without_waiting_ends_a_training_at_once(
    bots: Callable[..., LiveBot],
) -> None:
    bot = bots(freqai={"wait_for_training_iteration_on_reload": False})
    bot.train(BTC)
    trainer, pid = bot.model.trainer, bot.model.trainer.worker.pid
    assert pid is not None
    thread, failures = in_background(lambda: trainer.fit(tables(), ENDLESS, bot.kitchen(BTC), None))
    wait_until_busy(pid)
    started = time.monotonic()
    bot.model.shutdown()
    thread.join(5)
    assert time.monotonic() - started < 2
    assert "The bot is stopping." in str(failures[0])
    assert not psutil.pid_exists(pid)
    with pytest.raises(ModelUnavailable, match="stopping"):
        trainer.fit(tables(), SHORT, bot.kitchen(BTC), None)


KILLED_BOT = """
import sys, threading, time
from pathlib import Path
from tests.bridge.test_live_training import ENDLESS, SHORT, LiveTrainer, kitchen, tables

def tell() -> None:
    while trainer.worker.pid is None:
        time.sleep(0.001)
    print(trainer.worker.pid, flush=True)

trainer = LiveTrainer({}, Path(sys.argv[1]) / "training", 5)
dk = kitchen(Path(sys.argv[1]))
if sys.argv[2] == "training":
    trainer.fit(tables(), SHORT, dk, None)
threading.Thread(target=tell).start()
trainer.fit(tables(), ENDLESS, dk, None)
"""


@pytest.mark.parametrize("moment", ["starting", "training"])
def test_that_no_worker_outlives_a_bot_that_is_killed(tmp_path: Path, moment: str) -> None:
    bot = subprocess.Popen(
        [sys.executable, "-c", KILLED_BOT, str(tmp_path), moment],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert bot.stdout is not None
        worker = psutil.Process(int(bot.stdout.readline()))
        if moment == "training":
            wait_until_busy(worker.pid)
    finally:
        bot.kill()
        bot.wait()
    assert not outlive([worker], 2)
