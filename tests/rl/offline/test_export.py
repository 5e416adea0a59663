"""The command, run as a user runs it, and the trades of real results and databases."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from freqtrade.persistence import Trade, enable_database_use, init_db

from agent_market.bridge.trade_positions import read_trades
from agent_market.errors import DataError
from agent_market.rl.offline.files import read_buffer
from tests.conftest import PROJECT, SmallMarket
from tests.rl.offline.logged import assert_equal

RESULT = PROJECT / "tests/evaluation/data/freqtrade_2026_9_btc_eth.zip"
PAIR = "BTC/USDT:USDT"
OPENED = datetime(2025, 1, 20, 12, 5, 7, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A dry run's database with a closed long trade and an open short one."""
    path = tmp_path / "tradesv3.dryrun.sqlite"
    enable_database_use()  # a backtest in this process may have turned it off
    init_db(f"sqlite:///{path}")
    for number, is_short in enumerate((False, True)):
        opened = OPENED + timedelta(hours=number)
        trade = Trade(
            pair=PAIR,
            stake_amount=100.0,
            amount=0.01,
            amount_requested=0.01,
            open_rate=1e4,
            open_date=opened,
            fee_open=0.0005,
            fee_close=0.0005,
            exchange="binance",
            strategy="HybridMultiMode",
            is_short=is_short,
            leverage=1.0,
            is_open=is_short,
        )
        if not is_short:
            trade.close_rate, trade.close_date = 1.01e4, opened + timedelta(minutes=20)
            trade.exit_reason = "exit_signal"
        Trade.session.add(trade)
    Trade.commit()
    Trade.session.remove()
    return path


def _export(market: SmallMarket, *words: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, PROJECT / "scripts/export_rl_buffer.py",
        "-c", PROJECT / "config.json", "-c", market.config, "-d", market.datadir,
        "--strategy", "HybridMultiMode", "--freqaimodel", "CatboostRegressor",
        "--timerange", "20250119-20250125", *words,
    ]  # fmt: skip
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd=PROJECT
    )


def test_that_the_trades_of_a_backtest_and_of_a_database_are_read(database: Path) -> None:
    assert len(read_trades(RESULT)) == 352
    trades = read_trades(database, "HybridMultiMode")
    assert trades["is_short"].tolist() == [False, True]
    assert trades["close_date"].isna().tolist() == [False, True]
    assert read_trades(database, "Another").empty
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM trades").fetchone() == (2,)


def test_that_what_is_no_database_is_named_and_none_is_made(tmp_path: Path) -> None:
    missing, text, empty = (tmp_path / f"{n}.sqlite" for n in ("missing", "text", "empty"))
    text.write_text("no database " * 100)
    sqlite3.connect(empty).close()
    empty.touch()
    for path in (missing, text, empty):
        with pytest.raises(DataError, match=str(path)):
            read_trades(path)
    assert not missing.exists()


def test_that_the_command_writes_both_formats_of_one_log(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    outputs = [tmp_path / "log.parquet", tmp_path / "log.jsonl"]
    done = _export(small_market, "-o", outputs[0], "-o", outputs[1], "--explore", 0.1)
    assert done.returncode == 0, done.stderr
    first, second = (read_buffer(path) for path in outputs)
    assert_equal(first, second)
    assert first.header.pairs == (PAIR, "ETH/USDT:USDT")
    assert not first.header.knows_future
    assert set(np.unique(first.action)) == {0, 1, 2}
    assert f"{len(first):,} rows" in done.stdout
    assert first.reward.mean() < 0


def test_that_the_command_reads_a_dry_run_candle_by_candle(
    small_market: SmallMarket, database: Path, tmp_path: Path
) -> None:
    output = tmp_path / "log.parquet"
    done = _export(small_market, "--behavior", "trades", "--trades", database, "-o", output)
    assert done.returncode == 0, done.stderr
    log = read_buffer(output)
    other = log.pair == 1
    assert (log.action[other] == 1).all()
    wanted = log.action[~other]
    candle = np.timedelta64(300_000, "ms")
    asked = log.date[~other][wanted == 2]
    assert asked.tolist() == [
        (np.datetime64("2025-01-20T12:00", "ms") + n * candle).item() for n in range(4)
    ]
    assert (wanted[log.date[~other] >= np.datetime64("2025-01-20T13:00", "ms")] == 0).all()


def test_that_a_mistake_is_one_line(small_market: SmallMarket, tmp_path: Path) -> None:
    done = _export(small_market, "-o", tmp_path / "log.parquet", "--trades", RESULT)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--trades and --behavior trades belong together" in done.stderr
