"""Real `freqtrade` processes against the replay exchange."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_market import rows_of, walk

from agent_market.market.replay import Replay, ccxt_overlay

FREQTRADE = Path(sys.executable).parent / "freqtrade"
STRATEGY = """
from freqtrade.strategy import IStrategy


class BuyAtOnce(IStrategy):
    timeframe = "1m"
    minimal_roi = {"0": 10}
    stoploss = -0.5
    startup_candle_count = 30

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


def configure(folder: Path, replay: Replay, **changes: Any) -> Path:
    """Write a config for Binance futures that points at the replay exchange."""
    (folder / "strategies").mkdir(exist_ok=True)
    (folder / "strategies" / "BuyAtOnce.py").write_text(STRATEGY)
    pricing = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    market = dict.fromkeys(["entry", "exit", "stoploss"], "market")
    exchange = {
        "name": "binance",
        "pair_whitelist": ["BTC/USDT:USDT", "ETH/USDT:USDT"],
        "enable_ws": True,
        "_ft_has_params": {"ws_enabled": True},
        **ccxt_overlay(replay.url)["exchange"],
    }
    config = {
        "dry_run": True,
        "initial_state": "running",
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "stake_amount": 200,
        "max_open_trades": 2,
        "entry_pricing": pricing,
        "exit_pricing": pricing,
        "order_types": {**market, "stoploss_on_exchange": False},
        "exchange": exchange,
        "pairlists": [{"method": "StaticPairList"}],
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def freqtrade(folder: Path, config: Path, command: str, *arguments: str) -> str:
    """Run a freqtrade command to its end; return what it printed."""
    ended = subprocess.run(
        [FREQTRADE, command, "-c", config, "--userdir", folder, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_that_freqtrade_downloads_exactly_the_stored_candles(
    tmp_path: Path, stored_exchange: Replay
) -> None:
    config = configure(tmp_path, stored_exchange)
    target = tmp_path / "data"
    options = ["--datadir", str(target), "-t", "1m", "5m", "--timerange", "20250303-20250305"]
    freqtrade(tmp_path, config, "download-data", *options)
    stored = walk(0, 60_000.0)
    fetched = pd.read_feather(target / "futures" / "BTC_USDT_USDT-1m-futures.feather")
    assert len(fetched) >= 2 * 1440
    assert rows_of(fetched) == rows_of(stored)[: len(fetched)]
    for name in (
        "ETH_USDT_USDT-5m-futures",
        "BTC_USDT_USDT-1h-mark",
        "BTC_USDT_USDT-1h-funding_rate",
    ):
        assert (target / "futures" / f"{name}.feather").is_file()


def test_that_freqtrade_lists_the_pairs_of_the_directory(
    tmp_path: Path, stored_exchange: Replay
) -> None:
    config = configure(tmp_path, stored_exchange)
    out = freqtrade(tmp_path, config, "list-pairs", "--all", "--print-json")
    assert '["BTC/USDT:USDT","ETH/USDT:USDT"]' in out.replace(" ", "")


def test_that_freqtrade_ranks_the_pairs_by_volume(tmp_path: Path, live_exchange: Replay) -> None:
    pairlist = {"method": "VolumePairList", "number_assets": 2, "sort_key": "quoteVolume"}
    filters = [{"method": "SpreadFilter", "max_spread_ratio": 0.005}]
    config = configure(tmp_path, live_exchange, pairlists=[pairlist, *filters])
    out = freqtrade(tmp_path, config, "test-pairlist", "--print-json")
    assert '["BTC/USDT:USDT","ETH/USDT:USDT"]' in out.replace(" ", "")


def test_that_a_dry_run_opens_trades_from_the_book_and_follows_the_streams(
    tmp_path: Path, live_exchange: Replay
) -> None:
    config = configure(tmp_path, live_exchange)
    log = tmp_path / "log"
    command = [FREQTRADE, "trade", "--dry-run", "-c", config, "--userdir", tmp_path, "-v"]
    with log.open("w") as out:
        bot = subprocess.Popen(
            [*command, "--strategy", "BuyAtOnce", "--db-url", "sqlite://"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "500"},  # or the log is wrapped
        )
    try:
        await_text(bot, log, "MARKET_BUY has been fulfilled", count=2, seconds=45)
        await_text(bot, log, "watch done BTC/USDT:USDT, 1m", count=2, seconds=20)
    finally:
        bot.send_signal(signal.SIGINT)
        bot.wait(30)
    assert "Traceback" not in log.read_text()


def await_text(
    bot: subprocess.Popen[bytes], log: Path, text: str, *, count: int, seconds: float
) -> None:
    end = time.monotonic() + seconds
    while log.read_text().count(text) < count:
        if bot.poll() is not None or time.monotonic() > end:
            pytest.fail(f"{text!r} did not show {count} times:\n{log.read_text()[-5000:]}")
        time.sleep(0.25)
