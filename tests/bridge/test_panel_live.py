"""One live model for all pairs, with real workers, FreqAI's own loop and a real dry run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from freqtrade.enums import RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.resolvers.freqaimodel_resolver import FreqaiModelResolver

from agent_market.bridge.features import FeatureBuilder
from agent_market.bridge.live_tasks import (
    Panel,
    Table,
    panel_tables,
    training_frame,
    training_table,
)
from agent_market.bridge.targets import compute_targets
from agent_market.learning.feature_store import FeatureStore
from agent_market.learning.window_model import Rows, WindowModel, fit_window
from agent_market.market.replay import launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.bridge.live_bot import (
    BTC,
    ETH,
    TRAIN_DAYS,
    Candles,
    LiveBot,
    configuration,
    simulated_candles,
)
from tests.freqtrade_process import Bot, free_port, minute_bot, outlive, overlay

SOL = "SOL/USDT:USDT"
PAIRS = (BTC, ETH, SOL)
RETURN = "&-forward_return"
PARAMETERS = {"lightgbm_regressor": {"n_estimators": 30, "early_stopping_rounds": 20}}


class Provider:
    """The bot's candles and its list of pairs, which may change."""

    runmode = RunMode.DRY_RUN

    def __init__(self, history: Candles, whitelist: tuple[str, ...]) -> None:
        self.history = history
        self.whitelist = whitelist

    def current_whitelist(self) -> list[str]:
        return list(self.whitelist)

    def get_pair_dataframe(
        self, pair: str, timeframe: str | None = None, candle_type: str = ""
    ) -> pd.DataFrame:
        return self.history[pair][timeframe or "5m"].copy()

    def ticker(self, pair: str) -> dict[str, float]:
        """What the worker has no twin of."""
        return {"bid": float(len(pair))}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Candles:
    return simulated_candles(tmp_path_factory.mktemp("market"), PAIRS)


Start = Callable[..., LiveBot]


@pytest.fixture
def bots(history: Candles, tmp_path: Path) -> Iterator[Start]:
    started = []

    def start(
        whitelist: tuple[str, ...] = PAIRS, candles: Candles = history, **changes: Any
    ) -> LiveBot:
        parameters = {
            "include_corr_pairlist": [BTC],
            "indicator_periods_candles": [12],
            **changes.pop("feature_parameters", {}),
        }
        freqai = {
            "model_training_parameters": PARAMETERS,
            "expiration_hours": 0,
            "feature_parameters": parameters,
            **changes.pop("freqai", {}),
        }
        config = configuration(
            tmp_path,
            freqaimodel="PanelLightGBMRegressor",
            exchange={"name": "binance", "pair_whitelist": list(whitelist)},
            freqai=freqai,
            **changes,
        )
        copied = {pair: dict(frames) for pair, frames in candles.items()}
        bot = LiveBot.start(config, copied)
        bot.strategy.dp = Provider(copied, whitelist)
        bot.model.scanning = True  # trainings are asked for here, not by FreqAI's thread
        started.append(bot)
        return bot

    yield start
    for bot in started:
        bot.model._stop_event.set()
        bot.model.trainer.close()


def model_of(bot: LiveBot, pair: str) -> WindowModel:
    model: WindowModel = bot.model.dd.load_data(pair, bot.kitchen(pair))
    return model


def candles_of(bot: LiveBot) -> Panel:
    trained, loaded = bot.periods()
    panel: Panel = bot.model._panel(bot.strategy, bot.kitchen(BTC), trained, loaded)
    return panel


def tables_here(bot: LiveBot) -> tuple[Table, ...]:
    """Make in this process what a training is made from."""

    def made(candles: Any) -> Table:
        dk = bot.kitchen(candles.pair)
        return training_table(training_frame(candles, bot.strategy, dk), dk, 300)

    return panel_tables(candles_of(bot), made, bot.model.corr_pairlist)[0]


def fitted(bot: LiveBot, tables: tuple[Table, ...], init: WindowModel | None = None) -> WindowModel:
    rows = [table.rows for table in tables]
    first = tables[0]
    return fit_window(rows, first.feature_names, first.label_names, bot.model.spec, init)[0]


def predictions(model: WindowModel, tables: tuple[Table, ...]) -> bytes:
    return b"".join(
        values.tobytes()
        for table in tables
        for values in model.predict(table.rows.X).outputs.values()
    )


def shown(bot: LiveBot, pair: str) -> pd.DataFrame:
    """Return what the strategy gets for a pair, from FreqAI's entry point."""
    frame = bot.strategy.dp.get_pair_dataframe(pair, "5m")
    answer: pd.DataFrame = bot.model.start(frame, {"pair": pair}, bot.strategy)
    return answer


def trainings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if ": trained on" in text]


def test_that_one_fit_on_the_rows_of_all_pairs_is_the_model_of_each(
    bots: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bot = bots()
    bot.train(ETH)
    tables = tables_here(bot)
    here = fitted(bot, tables)
    assert len(tables) == len(PAIRS)
    assert len(trainings(caplog)) == 1
    for pair in PAIRS:
        assert predictions(model_of(bot, pair), tables) == predictions(here, tables)
        assert bot.model.dd.get_pair_dict_info(pair)[1] == bot.end
    assert model_of(bot, BTC) is model_of(bot, SOL), "one model in memory"
    assert [path.name for path in (bot.model.dd.state_path / "models").iterdir()] == ["panel"]


@pytest.mark.parametrize("corr", [[BTC], [ETH, BTC]], ids=["one", "two"])
def test_that_live_names_features_and_predicts_as_a_backtest_does(
    bots: Start, history: Candles, corr: list[str]
) -> None:
    parameters = {"include_corr_pairlist": corr, "include_shifted_candles": 1}
    bot = bots(feature_parameters=parameters)
    bot.train(SOL)
    model = model_of(bot, BTC)
    assert any("_PAIR_" in name for name in model.feature_names)
    builder = FeatureBuilder(bot.config, bot.strategy, FeatureStore(None))
    for pair in PAIRS:
        table = builder.build(pair, history[pair]["5m"], panel=True).table
        assert model.feature_names == tuple(table.names)
        expected = model.predict(table.read(0, len(table)))
        live = shown(bot, pair)
        np.testing.assert_array_equal(live[RETURN], expected.outputs[RETURN])
        assert np.isfinite(live[RETURN]).mean() > 0.9
        assert live["do_predict"].iloc[-1] == 1


def test_that_a_backtest_makes_the_same_model_of_the_same_candles(bots: Start) -> None:
    bot = bots(feature_parameters={"include_corr_pairlist": [ETH, BTC]})
    bot.train(BTC)
    members = candles_of(bot).members
    bot.strategy.dp.history = {member.pair: member.base for member in members}
    builder = FeatureBuilder(bot.config, bot.strategy, FeatureStore(None))
    offline = []
    for member in members:
        features = builder.build(member.pair, member.base["5m"], panel=True)
        targets = compute_targets(bot.strategy, member.pair, features, (), bot.model.horizon)
        dates, n_rows = member.base["5m"]["date"], len(features.table)
        period = slice(int((dates < member.timerange.startdt).sum()), n_rows)
        rows = Rows(
            features.table.read(period.start, n_rows),
            targets.labels[period],
            np.asarray(features.table.index[period]),
        )
        offline.append(Table(rows, tuple(features.table.names), targets.names))
    tables = tuple(offline)
    assert predictions(model_of(bot, SOL), tables) == predictions(fitted(bot, tables), tables)
    assert model_of(bot, SOL).calibration_errors == fitted(bot, tables).calibration_errors


def now(history: Candles) -> Candles:
    """Move the candles so that the newest is the present one."""
    newest = next(iter(history.values()))["1h"]["date"].iloc[-1]
    shift = pd.Timestamp.now("UTC").floor("1h") - newest
    return {
        pair: {
            timeframe: frame.assign(date=(frame["date"] + shift).astype(frame["date"].dtype))
            for timeframe, frame in frames.items()
        }
        for pair, frames in history.items()
    }


def test_that_freqais_loop_fits_once_for_all_pairs_until_the_model_is_due(
    bots: Start, history: Candles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bot = bots(candles=now(history), freqai={"live_retrain_hours": 1})
    loop = threading.Thread(target=bot.model._start_scanning, args=(bot.strategy,))
    loop.start()
    deadline = time.monotonic() + 90
    while not trainings(caplog) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(len(PAIRS) + 3)  # the loop asks for one pair a second
    bot.model._stop_event.set()
    loop.join(30)
    assert len(trainings(caplog)) == 1
    assert {bot.model.dd.get_pair_dict_info(pair)[1] > 0 for pair in PAIRS} == {True}
    assert list(bot.model.train_queue) == [ETH, SOL, BTC], "each pair has its turn"


def test_that_a_restart_predicts_every_pair_from_disk_before_any_training(bots: Start) -> None:
    first = bots()
    first.train(ETH)
    before = {pair: shown(first, pair)[RETURN].iloc[-1] for pair in PAIRS}
    second = bots()
    for pair in PAIRS:
        answer = shown(second, pair)
        assert answer["do_predict"].iloc[-1] == 1
        assert answer[RETURN].iloc[-1] == before[pair]
    assert second.model.trainer.worker.pid is None
    assert model_of(second, BTC) is model_of(second, SOL)


def test_that_intervals_of_every_pair_start_from_the_errors_of_the_one_model(bots: Start) -> None:
    bot = bots(agent_market={"learning": {"conformal": {"coverage": 0.8}}})
    bot.train(BTC)
    for pair in PAIRS:
        last = shown(bot, pair).iloc[-1]
        assert last[f"{RETURN}_lo"] < last[RETURN] < last[f"{RETURN}_hi"]


PICKY = """
from freqtrade.strategy import IStrategy

class Picky(IStrategy):
    timeframe = "5m"
    minimal_roi = {"0": 10}
    stoploss = -0.1
    startup_candle_count = 10

    def feature_engineering_standard(self, dataframe, metadata, **kwargs):
        pair = metadata["pair"]
        if pair in FAILS:
            raise KeyError("funding")
        dataframe["%-change"] = dataframe["close"].pct_change()
        dataframe["%-range"] = dataframe["high"] / dataframe["low"]
        if pair in ODD:
            dataframe["%-odd"] = 1.0
        if ASKS:
            try:
                dataframe["%-bid"] = self.dp.ticker(pair)["bid"]
            except Exception:
                dataframe["%-bid"] = 0.0
        return dataframe

    def set_freqai_targets(self, dataframe, metadata, **kwargs):
        dataframe["&-forward_return"] = dataframe["close"].shift(-12) / dataframe["close"] - 1
        return dataframe

    def populate_indicators(self, dataframe, metadata):
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


def picky(
    bots: Start,
    folder: Path,
    *,
    fails: tuple[str, ...] = (),
    odd: tuple[str, ...] = (),
    asks: bool = False,
) -> LiveBot:
    """Return a bot whose hooks fail, add a feature or ask the exchange, for some pairs."""
    code = PICKY.replace("FAILS", repr(fails)).replace("ODD", repr(odd))
    (folder / "Picky.py").write_text(code.replace("ASKS", repr(asks)))
    parameters = {"include_corr_pairlist": []}
    return bots(strategy="Picky", strategy_path=str(folder), feature_parameters=parameters)


@pytest.mark.parametrize("asks", [False, True], ids=["in the worker", "in the bot"])
def test_that_pairs_without_candles_or_features_do_not_stop_the_others(
    bots: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, asks: bool
) -> None:
    bot = picky(bots, tmp_path, fails=(ETH,), asks=asks)
    empty = bot.model.dd.historic_data[SOL]
    empty["1h"] = empty["1h"].iloc[:0]
    bot.train(ETH)
    assert f"{SOL}: not in the training of the panel. FreqAI has no candles" in caplog.text
    assert f"{ETH}: not in the training of the panel. KeyError: 'funding'" in caplog.text
    (table,) = tables_here(bot)
    assert predictions(model_of(bot, BTC), (table,)) == predictions(fitted(bot, (table,)), (table,))
    assert ("hooks do not work in the training worker" in caplog.text) == asks
    assert bot.model.dd.get_pair_dict_info(ETH)[1] == bot.end, "no pair asks for a fit of its own"


def test_that_a_pair_with_other_features_is_left_out_even_if_it_is_the_first(
    bots: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot = picky(bots, tmp_path, odd=(BTC,))
    bot.train(BTC)
    assert f"{BTC}: not in the training of the panel. Other pairs have other" in caplog.text
    assert "%-odd" in caplog.text
    assert "%-odd" not in model_of(bot, ETH).feature_names
    assert len(tables_here(bot)) == 2


def test_that_no_model_is_made_where_the_features_of_all_pairs_fail(
    bots: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot = picky(bots, tmp_path, fails=PAIRS)
    bot.train(BTC)
    assert f"{BTC}: not trained. no pair of the panel has features." in caplog.text
    assert bot.model.dd.get_pair_dict_info(BTC) == ("", 0)


def test_that_hooks_that_need_the_exchange_are_called_in_the_bot_for_all_pairs(
    bots: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot = picky(bots, tmp_path, asks=True)
    for end in (bot.end, bot.end + 1):
        bot.train(BTC, end)
    assert caplog.text.count("hooks do not work in the training worker") == 1
    assert "dp.ticker" in caplog.text
    tables = tables_here(bot)
    assert len(tables) == len(PAIRS)
    for table in tables:
        column = table.feature_names.index("%-bid")
        assert set(table.rows.X[:, column]) == {float(len(BTC))}
    assert predictions(model_of(bot, SOL), tables) == predictions(fitted(bot, tables), tables)


def test_that_continual_learning_goes_on_from_the_model_of_all_pairs(bots: Start) -> None:
    bot = bots(freqai={"continual_learning": True})
    bot.train(BTC)
    first = model_of(bot, BTC)
    bot.train(ETH, bot.end + 1)
    tables = tables_here(bot)
    second = predictions(model_of(bot, SOL), tables)
    assert second == predictions(fitted(bot, tables, first), tables)
    assert second != predictions(fitted(bot, tables), tables)


def test_that_a_pair_that_joins_is_predicted_at_once_and_trained_on_next_time(
    bots: Start,
) -> None:
    bot = bots()
    bot.strategy.dp.whitelist = (BTC, ETH)  # a filter of pairs takes SOL out for a while
    bot.train(BTC)
    assert [member.pair for member in candles_of(bot).members] == [BTC, ETH]
    bot.strategy.dp.whitelist = PAIRS
    assert shown(bot, SOL)["do_predict"].iloc[-1] == 1
    assert bot.model.dd.get_pair_dict_info(SOL)[1] == bot.end, "it asks for no fit of its own"
    bot.train(ETH, bot.end + 1)
    tables = tables_here(bot)
    assert len(tables) == 3
    assert predictions(model_of(bot, SOL), tables) == predictions(fitted(bot, tables), tables)


def test_that_a_pair_that_freqai_has_no_candles_of_leaves_the_others_alone(
    bots: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bot = bots(whitelist=(BTC, ETH))
    del bot.model.dd.historic_data[SOL]  # it was in no configuration when the bot started
    bot.strategy.dp.whitelist = PAIRS
    bot.strategy.dp.history = {**bot.strategy.dp.history, SOL: bot.model.dd.historic_data[ETH]}
    bot.train(BTC)
    assert f"{SOL}: not in the training of the panel." in caplog.text
    with pytest.raises(KeyError):  # FreqAI's; Freqtrade logs it and goes on with the next pair
        shown(bot, SOL)
    assert shown(bot, ETH)["do_predict"].iloc[-1] == 1


OWN = """
from agent_market.bridge import AgentMarketPanelModel

class OwnTrain(AgentMarketPanelModel):
    adapter = "lightgbm_regressor"

    def train(self, unfiltered_df, pair, dk, **kwargs):
        return None
"""


def test_that_a_train_of_ones_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "OwnTrain.py").write_text(OWN)
    config = configuration(tmp_path, freqaimodel="OwnTrain", freqaimodel_path=str(tmp_path))
    with pytest.raises(OperationalException, match="OwnTrain has a train\\(\\) of its own"):
        FreqaiModelResolver.load_freqaimodel(config)


def test_that_the_candles_sent_to_the_worker_are_sent_once(bots: Start) -> None:
    members = candles_of(bots()).members
    by_pair = {member.pair: member for member in members}
    assert by_pair[ETH].corr[BTC]["5m"] is by_pair[BTC].base["5m"]
    assert by_pair[BTC].corr == {}
    assert by_pair[ETH].timerange.startts == by_pair[ETH].timerange.stopts - TRAIN_DAYS * 86_400


COMMAND = (
    *("trade", "--dry-run", "--strategy", "HybridMultiMode"),
    *("--freqaimodel", "PanelLightGBMRegressor"),
)


def newest(bot: Bot) -> dict[str, str] | None:
    """Return the newest trusted prediction's candle of each pair, once every pair has one."""
    found = {pair: max(bot.predictions(pair, "1m"), default="") for pair in PAIRS}
    return found if all(found.values()) else None


@pytest.mark.timeout(600)
def test_that_a_dry_run_trains_once_for_all_pairs_and_predicts_from_disk_after_a_kill(
    tmp_path: Path,
) -> None:
    settings = SimulatorSettings(seed=11, days=5, pairs=PAIRS, timeframes=("1m", "5m", "1h"))
    write_market(settings, tmp_path / "market")
    with launch_replay(
        tmp_path / "market", clock="live", reserve_days=1, epoch=datetime.now(UTC)
    ) as replay:
        port = free_port()
        rarely = {"identifier": "panel", "live_retrain_hours": 10}
        config = minute_bot(replay.url, tmp_path, port, PAIRS, freqai=rarely)
        configs = [
            Path("config.replay.json"),
            overlay(tmp_path / "minute.json", config),
        ]
        first = Bot(configs, tmp_path / "first.log", port, *COMMAND)
        try:
            before = first.wait_for("predictions", lambda: newest(first), 240)
            time.sleep(len(PAIRS) + 3)  # FreqAI's loop asks for one pair a second
            children = psutil.Process(first.process.pid).children(recursive=True)
        finally:
            first.close()  # by SIGKILL
        assert not outlive(children)
        log = first.log.read_text()
        assert log.count(": trained on") == 1, first.tail(100)
        assert "Traceback" not in log, first.tail(100)

        second = Bot(configs, tmp_path / "second.log", port, *COMMAND)
        try:

            def predicted() -> bool:
                after = newest(second)
                return after is not None and all(after[pair] > before[pair] for pair in PAIRS)

            second.wait_for("newer predictions", predicted, 240)
            second.stop_in_order()
        finally:
            second.close()
        log = second.log.read_text()
        assert ": trained on" not in log
        assert "No model ready" not in log
