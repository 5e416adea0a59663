"""The strategy's decisions, asked as Freqtrade asks: the same live as in a backtest."""

import importlib.util
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.enums import RunMode
from freqtrade.persistence import LocalTrade, disable_database_use, enable_database_use

from agent_market.decisions.budgets import ENGINE_BUDGETS, parameter_store
from agent_market.learning.labels import ForwardReturn
from tests.candles import random_candles

PAIR = "BTC/USDT:USDT"
STRATEGY = Path(__file__).resolve().parents[2] / "strategies" / "HybridMultiMode.py"
LOADED = 500  # candles that a bot has


@pytest.fixture(autouse=True)
def _no_database() -> Iterator[None]:
    disable_database_use("5m")
    LocalTrade.reset_trades()
    yield
    LocalTrade.reset_trades()
    enable_database_use()


class _Provider:
    """Freqtrade's data provider as far as the decisions ask it."""

    def __init__(self) -> None:
        self.frame = pd.DataFrame()
        self.messages: list[str] = []

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[pd.DataFrame, None]:
        return self.frame, None

    def send_msg(self, message: str) -> None:
        self.messages.append(message)

    def current_whitelist(self) -> list[str]:
        return [PAIR]


def _strategy(tmp_path: Path, runmode: RunMode = RunMode.BACKTEST, **settings: Any) -> Any:
    spec = importlib.util.spec_from_file_location("HybridMultiMode", STRATEGY)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = {
        "runmode": runmode,
        "freqai": {"feature_parameters": {"label_period_candles": 12}},
        "agent_market": {
            "state_dir": str(tmp_path),
            "modes": {"entry_edge_bps": 5},
            "regime": {"shock_z": 3.0},
            "risk": {"thin_volume": 0, "max_volume_share": 100},
            **settings,
        },
    }
    strategy = module.HybridMultiMode(config)
    strategy.dp = _Provider()
    strategy.wallets = SimpleNamespace(
        get_starting_balance=lambda: 10_000.0,
        get_available_stake_amount=lambda: 10_000.0,
        get_total_stake_amount=lambda: 10_000.0,
    )
    return strategy


def _predicted(rows: int = 1200, seed: int = 1) -> pd.DataFrame:
    """Candles with a prediction of some skill, which is missing now and then."""
    candles = random_candles(rows, seed)
    random = np.random.default_rng(seed)
    column = "&-forward_return"
    truth = ForwardReturn(horizon_candles=12, column=column).compute(candles).fillna(0)
    prediction = 0.5 * truth + random.normal(0, 0.002, rows)
    stands = random.random(rows) > 0.02
    stands[700:730] = False
    return candles.assign(**{column: prediction.where(stands)}, do_predict=stands.astype(int))


def _entry(strategy: Any, frame: pd.DataFrame) -> tuple[str, int, float, float] | None:
    """Return tag, direction, leverage and stake that the newest candle of a frame leads to."""
    candle = frame.iloc[-1]
    if candle["am_direction"] == 0:
        return None
    strategy.dp.frame = frame
    asked = {
        "pair": PAIR,
        "current_time": (candle["date"] + timedelta(minutes=5)).to_pydatetime(),
        "current_rate": candle["close"],
        "entry_tag": candle["enter_tag"],
        "side": "long" if candle["enter_long"] else "short",
    }
    leverage = strategy.leverage(**asked, proposed_leverage=1.0, max_leverage=20.0)
    stake = strategy.custom_stake_amount(
        **asked, proposed_stake=3000.0, min_stake=5.0, max_stake=9000.0, leverage=leverage
    )
    amount = stake * leverage / candle["close"]
    rules = {"order_type": "limit", "time_in_force": "GTC"}
    if stake > 0:
        assert strategy.confirm_trade_entry(**asked, **rules, amount=amount, rate=candle["close"])
        assert not strategy.confirm_trade_entry(
            **asked, **rules, amount=100 * amount, rate=candle["close"]
        )
    return candle["enter_tag"], int(candle["am_direction"]), leverage, stake


def test_that_a_live_bot_fed_candle_by_candle_enters_as_the_backtest_does(tmp_path: Path) -> None:
    backtest, live = _strategy(tmp_path), _strategy(tmp_path, RunMode.DRY_RUN)
    frame, metadata = _predicted(), {"pair": PAIR}
    whole = backtest.populate_entry_trend(backtest.desk.measure(frame, metadata), metadata)
    entries = []
    for end in range(640, 840):  # over the rows that the model leaves out
        loaded = frame[end - LOADED : end].reset_index(drop=True)
        seen = live.populate_entry_trend(live.desk.measure(loaded, metadata), metadata)
        live.dp.frame = seen
        live.bot_loop_start((loaded["date"].iloc[-1] + timedelta(minutes=5)).to_pydatetime())
        ours = _entry(live, seen)
        assert ours == _entry(backtest, whole[:end])
        entries.append(ours)
    entered = [entry for entry in entries if entry and entry[3] > 0]
    assert len(entered) > 20
    assert [line.split(":", 3)[2].strip() for line in live.dp.messages] == [
        "level full -> rules", "level rules -> full",
    ]  # fmt: skip
    assert len({tag for tag, *_ in entered}) >= 3
    assert {direction for _, direction, *_ in entered} == {-1, 1}


def test_that_a_refusal_is_logged_with_its_reasons_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strategy, metadata = _strategy(tmp_path, RunMode.DRY_RUN), {"pair": PAIR}
    frame = strategy.populate_entry_trend(strategy.desk.measure(_predicted(), metadata), metadata)
    last = frame.index[(frame["am_direction"] != 0) & (frame["am_level"] == 0)][-1]
    (tmp_path / "KILL").write_text("the operator sleeps")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            entry = _entry(strategy, frame[: last + 1])
    assert entry is not None and entry[2:] == (1.0, 0.0)
    refusals = [each.message for each in caplog.records if "refused" in each.message]
    assert len(refusals) == 1
    assert "kill switch: the file exists (the operator sleeps)" in refusals[0]
    (tmp_path / "KILL").unlink()
    entry = _entry(strategy, frame[: last + 1])
    assert entry is not None and entry[3] > 0


def test_that_the_stored_engine_budgets_reach_the_gate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strategy, metadata = _strategy(tmp_path, RunMode.DRY_RUN), {"pair": PAIR}
    frame = strategy.populate_entry_trend(strategy.desk.measure(_predicted(), metadata), metadata)
    last = frame.index[(frame["am_direction"] != 0) & (frame["am_level"] == 0)][-1]
    seen = frame[: last + 1]
    before = _entry(strategy, seen)
    close = (seen["date"].iloc[-1] + timedelta(minutes=5)).to_pydatetime()
    store = parameter_store(strategy.settings)
    moments = {"effective_at": close, "recorded_at": close}
    for share, stake in ((0.01, 100.0), (0.0, 0.0)):
        store.add(ENGINE_BUDGETS, {"intraday": share}, who="mo", why="calm", **moments)
        strategy = _strategy(tmp_path, RunMode.DRY_RUN)
        strategy.dp.frame = seen
        assert any("engine_budgets: version" in line for line in strategy.desk.observe(close))
        with caplog.at_level(logging.INFO):
            entry = _entry(strategy, seen)
        assert before is not None and entry is not None
        assert entry[3] == pytest.approx(stake) and before[3] > 100
    assert "intraday budget: leaves a stake of 0.00" in caplog.text


def test_that_the_clock_alone_takes_a_running_bot_down_and_candles_bring_it_back(
    tmp_path: Path,
) -> None:
    strategy, metadata = _strategy(tmp_path, RunMode.DRY_RUN), {"pair": PAIR}
    frame = strategy.desk.measure(_predicted(600), metadata)

    def loop(candles: int, minutes_late: int) -> list[str]:
        strategy.dp.frame = frame[:candles]
        close = frame["date"].iloc[candles - 1] + timedelta(minutes=5 + minutes_late)
        return [line.split(":", 3)[2].strip() for line in strategy.desk.observe(close)]

    assert loop(500, 0) == []
    assert loop(500, 4) == []
    assert loop(500, 16) == ["level full -> flat"]
    assert loop(500, 30) == []
    assert [loop(rows, 0) for rows in (507, 508, 509)] == [[], [], []]
    assert loop(510, 0) == ["level flat -> full"]


def test_that_the_column_of_a_running_bot_keeps_what_the_clock_said(tmp_path: Path) -> None:
    strategy, metadata = _strategy(tmp_path, RunMode.DRY_RUN), {"pair": PAIR}
    whole = _predicted(600)

    def levels(candles: int, minutes_late: int) -> list[int]:
        frame = strategy.dp.frame = strategy.desk.measure(whole[:candles], metadata)
        close = frame["date"].iloc[-1] + timedelta(minutes=5 + minutes_late)
        strategy.desk.observe(close.to_pydatetime())
        return list(frame["am_level"][498:])

    assert levels(500, 0) == [0, 0]
    assert levels(500, 16) == [0, 0]  # measured before the candles stopped
    assert levels(503, 0) == [0, 3, 3, 3, 0]  # three came late, at once
    assert levels(504, 0) == [0, 3, 3, 3, 3, 0]  # won back only after three candles
    assert [levels(rows, 0)[-1] for rows in (505, 506, 507)] == [0, 0, 0]
    assert levels(508, 0)[2:] == [3, 3, 3, 3, 3, 0, 0, 0]


def test_that_a_model_that_stops_leaves_the_rules(tmp_path: Path) -> None:
    strategy, metadata = _strategy(tmp_path), {"pair": PAIR}
    frame = strategy.populate_entry_trend(strategy.desk.measure(_predicted(), metadata), metadata)
    without = frame[704:730]
    assert (without["am_level"] == 2).all()
    assert set(without["enter_tag"].dropna()) <= {"defensive"}
    assert (frame["am_level"][740:] == 0).mean() > 0.9


def test_that_hyperopt_finds_the_thresholds_with_the_defaults_of_the_configuration(
    tmp_path: Path,
) -> None:
    strategy = _strategy(tmp_path, exits={"max_holding_candles": 17})
    strategy.ft_load_hyper_params(hyperopt=False)
    found = {name: each.value for name, each in strategy.enumerate_parameters()}
    assert found == {"entry_edge_bps": 5, "deviation_z": 1, "max_holding_candles": 17}
    frame = strategy.desk.measure(_predicted(), {"pair": PAIR})
    few = strategy.desk.choose(frame, entry_edge_bps=60.0, deviation_z=1.0)
    many = strategy.desk.choose(frame, entry_edge_bps=1.0, deviation_z=1.0)
    assert 0 < (few["am_direction"] != 0).sum() < (many["am_direction"] != 0).sum()
