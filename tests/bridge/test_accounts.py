from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from freqtrade.persistence import LocalTrade, disable_database_use, enable_database_use

from agent_market.bridge.accounts import KnownCloses, read_account, read_correlations
from agent_market.settings import AgentMarketSettings
from tests.candles import random_candles

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BTC, ETH, SOL = (f"{coin}/USDT:USDT" for coin in ("BTC", "ETH", "SOL"))
SETTINGS = AgentMarketSettings()


@pytest.fixture(autouse=True)
def _no_database() -> Iterator[None]:
    disable_database_use("5m")
    LocalTrade.reset_trades()
    yield
    LocalTrade.reset_trades()
    enable_database_use()


def _strategy() -> Any:
    """A strategy's wallets; the trades are Freqtrade's own."""
    wallets = SimpleNamespace(
        get_starting_balance=lambda: 10_000.0, get_available_stake_amount=lambda: 6_000.0
    )
    return SimpleNamespace(wallets=wallets)


def _closes(**frames: pd.DataFrame) -> KnownCloses:
    closes = KnownCloses("5m")
    for coin, frame in frames.items():
        closes.keep(f"{coin}/USDT:USDT", frame)
    return closes


def _trade(pair: str, profit: float | None, hours_ago: float = 1, tag: str = "trend") -> None:
    trade = LocalTrade(
        pair=pair,
        stake_amount=1000.0,
        amount=20.0,
        open_rate=100.0,
        fee_open=0.0,
        fee_close=0.0,
        leverage=2.0,
        is_open=profit is None,
        is_short=False,
        enter_tag=tag,
        open_date=NOW - timedelta(hours=hours_ago + 1),
        exchange="binance",
    )
    trade.recalc_open_trade_value()
    LocalTrade.add_bt_trade(trade)
    if profit is not None:
        trade.close_date = NOW - timedelta(hours=hours_ago)
        trade.close_profit_abs = profit
        LocalTrade.bt_total_profit += profit


def _account(**frames: pd.DataFrame) -> Any:
    return read_account(_strategy(), SETTINGS, NOW, _closes(**frames), live=False)


def test_that_equity_is_what_trades_left_of_the_start() -> None:
    for profit, hours_ago in ((500, 40), (-300, 30), (-200, 3), (100, 2), (-50, 1)):
        _trade(BTC, profit, hours_ago)
    account = _account()
    assert account.equity == 10_050
    assert account.peak_equity == 10_500
    assert account.day_start_equity == 10_200  # two of the trades closed before midnight
    assert (account.losing_streak, account.last_loss_at) == (1, NOW - timedelta(hours=1))
    assert account.free == 6_000


def test_that_a_drawdown_older_than_its_days_is_forgotten() -> None:
    _trade(BTC, 5_000, 24 * 41)
    _trade(BTC, -3_000, 24 * 40)
    _trade(BTC, 10, 24 * 2)
    assert _account().peak_equity == 12_010
    assert _account().equity == 12_010


def test_that_open_trades_count_at_their_newest_close() -> None:
    _trade(BTC, None)
    dates = pd.date_range(end=NOW, periods=4, freq="5min")
    account = _account(BTC=pd.DataFrame({"date": dates, "close": [90.0, 100.0, 101.0, 200.0]}))
    assert account.equity == pytest.approx(10_000 + 20 * 1.0)
    (trade,) = account.open_trades
    assert (trade.pair, trade.direction, trade.stake, trade.notional) == (BTC, 1, 1000, 2000)
    assert trade.engine == "intraday"


def test_that_long_shots_and_last_exits_are_told_apart_by_tag() -> None:
    _trade(ETH, -40, 5, "long_shot")
    _trade(ETH, 25, 4, "long_shot")
    _trade(ETH, -9, 3, "event")
    account = _account()
    assert account.long_shot_profit == -15
    assert account.last_exits[ETH, "long_shot"] == NOW - timedelta(hours=4)
    assert account.last_exits[ETH, "event"] == NOW - timedelta(hours=3)


def test_that_the_kill_switch_is_read_live_only(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"state_dir": tmp_path})

    def read(live: bool) -> str | None:
        return read_account(_strategy(), settings, NOW, _closes(), live=live).kill_switch

    assert read(live=True) is None
    (tmp_path / "KILL").write_text("stop")
    assert read(live=True) == "stop"
    assert read(live=False) is None


def test_that_correlations_are_of_the_same_candles_and_unknown_where_there_are_few() -> None:
    candles = random_candles(200)
    shifted = candles.assign(close=1e4 / candles["close"])[: 200 - 10]
    closes = _closes(BTC=candles, ETH=shifted, SOL=candles[:5])
    end = (candles["date"].iloc[-1] + timedelta(minutes=5)).to_pydatetime()
    found = read_correlations(closes, end, BTC, [BTC, ETH, SOL], 72)
    assert found[ETH] == pytest.approx(-1, abs=0.01)
    assert pd.isna(found[SOL])
    assert set(found) == {ETH, SOL}


def test_that_closes_known_later_change_nothing() -> None:
    candles = random_candles(300)
    cut = (candles["date"].iloc[149] + timedelta(minutes=5)).to_pydatetime()
    other = random_candles(300, seed=5)
    whole = read_correlations(_closes(BTC=candles, ETH=other), cut, BTC, [ETH], 72)
    known = read_correlations(_closes(BTC=candles[:150], ETH=other[:150]), cut, BTC, [ETH], 72)
    assert whole == known
    closes = _closes(BTC=candles)
    assert list(closes.newest(BTC, cut, 2)) == list(candles["close"][148:150])
    assert list(closes.newest(BTC, cut - timedelta(seconds=1))) == [candles["close"][148]]
    assert closes.newest(ETH, cut).empty
