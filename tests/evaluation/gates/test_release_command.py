"""The command as a process, on a database and an exported backtest that Freqtrade wrote."""

import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freqtrade.persistence import Order, Trade, enable_database_use, init_db

from agent_market.decisions.audit import AuditTrail
from agent_market.evaluation.gates import Assessment, current, judge, promote, start
from agent_market.flow.release import AuditLedger, read_evidence
from agent_market.settings import load_settings
from agent_market.store.database import database_url, open_database
from tests.conftest import PROJECT
from tests.evaluation.gates.gate_trades import GOOD

RESULT = PROJECT / "tests/evaluation/data/freqtrade_2026_9_btc_eth.zip"
LOW = {
    "max_drawdown": 0.5,
    "min_sharpe": -1000,
    "min_sharpe_low": -1000,
    "min_hit_rate": 0.1,
    "max_cost_share": 0.9,
    "min_trades": 5,
    "min_days": 10,
}
NOW = datetime.now(UTC)
BEGAN = NOW - timedelta(days=20)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    stages = dict.fromkeys(("paper", "small_paper", "live_hints", "small_live"), LOW)
    path = tmp_path / "config.json"
    own = {"state_dir": str(tmp_path / "state"), "release": stages}
    path.write_text(json.dumps({"dry_run": True, "dry_run_wallet": 1000, "agent_market": own}))
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A dry run's database: twelve closed long trades, a day apart, every third at a loss."""
    path = tmp_path / "tradesv3.dryrun.sqlite"
    enable_database_use()  # a backtest in this process may have turned it off
    init_db(f"sqlite:///{path}")
    for day in range(12):
        Trade.session.add(
            _closed(BEGAN + timedelta(days=day + 1), 9_900 if day % 3 == 2 else 10_200)
        )
    Trade.commit()
    Trade.session.remove()
    return path


def _closed(opened: datetime, close_rate: float) -> Trade:
    closed = opened + timedelta(hours=1)
    trade = Trade(
        pair="BTC/USDT:USDT",
        stake_amount=100.0,
        amount=0.01,
        amount_requested=0.01,
        open_rate=10_000.0,
        open_date=opened.replace(tzinfo=None),
        close_rate=close_rate,
        close_date=closed.replace(tzinfo=None),
        min_rate=9_900.0,
        max_rate=10_200.0,
        fee_open=0.0005,
        fee_close=0.0005,
        close_profit_abs=0.01 * (close_rate - 10_000) - 0.1,
        close_profit=0.01,
        exchange="binance",
        is_open=False,
        funding_fees=0.0,
    )
    for side, moment, rate in (("buy", opened, 10_000.0), ("sell", closed, close_rate)):
        trade.orders.append(
            Order(
                ft_order_side=side,
                ft_pair=trade.pair,
                ft_is_open=False,
                ft_amount=0.01,
                ft_price=rate,
                order_id=f"{side}{opened}",
                status="closed",
                side=side,
                price=rate,
                average=rate,
                amount=0.01,
                filled=0.01,
                remaining=0.0,
                order_date=moment.replace(tzinfo=None),
                order_filled_date=moment.replace(tzinfo=None),
            )
        )
    return trade


def _run(config: Path, *words: object) -> tuple[int, str]:
    command = [sys.executable, PROJECT / "scripts/release_stage.py", *words, "-c", config]
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        input="",
        timeout=300,
        env=os.environ | {"COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


def _ledger_at(config: Path, steps: int) -> AuditLedger:
    """A release that began 20 days ago and was promoted that often."""
    settings = load_settings(json.loads(config.read_text()))
    folder = settings.state_dir
    ledger = AuditLedger(AuditTrail(open_database(database_url(folder, None))), folder)
    start(ledger, settings.release, BEGAN, who="me", why="test")
    for _ in range(steps):
        state = current(ledger)
        found = Assessment(state, GOOD, judge(GOOD, state.limits), ())
        promote(ledger, settings.release, found, BEGAN, who="me", why="test")
    return ledger


def test_that_real_money_wants_a_person_who_understands(config: Path, database: Path) -> None:
    ledger = _ledger_at(config, 2)
    words = ("promote", "--trades", database, "--why", "twelve good days")
    for refused in ((), ("--yes",)):
        code, said = _run(config, *words, *refused)
        assert code == 1 and "small_live trades real money" in said
        assert current(ledger).stage == "live_hints"
    code, said = _run(config, *words, "--yes", "--i-understand", "--who", "ann")
    assert (code, current(ledger).stage) == (0, "small_live"), said
    assert (ledger.entries()[-1].who, ledger.entries()[-1].why) == ("ann", "twelve good days")


def test_that_a_check_rolls_back_and_stops_the_bot_without_asking(config: Path) -> None:
    code, said = _run(config, "status", "--trades", RESULT)
    assert code == 2 and "no release has begun" in said
    code, said = _run(config, "start", "--why", "limits agreed", "--yes")
    assert code == 0 and "paper began" in said
    code, said = _run(config, "check", "--trades", RESULT)
    assert code == 2 and "before the limits were written down" in said
    config.write_text(config.read_text().replace('"max_drawdown": 0.5', '"max_drawdown": 0.2'))
    ledger = _ledger_at(config, 0)
    code, said = _run(config, "check", "--trades", _run_now(RESULT, config.parent))
    assert code == 1 and "paper was left for paper: max drawdown" in said
    assert "max drawdown" in (config.parent / "state/KILL").read_text()
    assert ledger.entries()[-1].action == "roll back"
    code, said = _run(config, "history")
    assert code == 0 and "roll back, paper -> paper: max drawdown" in said


def _run_now(result: Path, folder: Path) -> Path:
    """Copy an exported backtest as one that was run now."""
    copy = folder / result.name
    with zipfile.ZipFile(result) as source, zipfile.ZipFile(copy, "w") as target:
        content = json.loads(source.read(f"{result.stem}.json"))
        for stats in content["strategy"].values():
            stats["backtest_run_start_ts"] = int(NOW.timestamp())
        target.writestr(f"{copy.stem}.json", json.dumps(content))
    return copy


def test_that_a_comparison_is_written_and_real_orders_out_of_stage_stop_the_bot(
    config: Path, database: Path
) -> None:
    output = config.parent / "comparison.json"
    code, said = _run(config, "compare", RESULT, RESULT, "--output", output)
    assert code == 0, said
    found = json.loads(output.read_text())
    assert (found["days"], found["first_trades"], len(found["cases"])) == (10, 352, 8)
    _ledger_at(config, 1)
    config.write_text(config.read_text().replace('"dry_run": true', '"dry_run": false'))
    code, said = _run(config, "check", "--trades", database, "--balance", 1000)
    assert code == 1 and "only small_live has real orders" in said
    assert (config.parent / "state/KILL").is_file()


def test_that_both_files_of_freqtrade_are_read_alike(database: Path) -> None:
    bot = read_evidence(
        database, {"dry_run_wallet": {"USDT": 500}, "stake_currency": "USDT"}, None, NOW
    )
    assert (len(bot.trades), bot.starting_balance, bot.ran_at) == (12, 500.0, None)
    backtest = read_evidence(RESULT, {}, None, NOW)
    assert (len(backtest.trades), backtest.starting_balance) == (352, 1000.0)
    assert backtest.ran_at is not None
