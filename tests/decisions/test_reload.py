"""A patch in place, and the bot that runs with it reads it again."""

from pathlib import Path

import pytest

from agent_market.bridge.running_bot import reload_bot
from agent_market.errors import ConfigError, StepFailed
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.freqtrade_process import Bot, api_server, free_port, overlay

STRATEGY = """
from freqtrade.strategy import IStrategy


class Waits(IStrategy):
    timeframe = "5m"
    minimal_roi = {"0": 10}
    stoploss = -0.1

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


def test_that_a_running_bot_takes_a_patched_configuration(tmp_path: Path) -> None:
    pair, port = "BTC/USDT:USDT", free_port()
    write_market(
        SimulatorSettings(seed=5, days=3, pairs=(pair,), detail_days=0), tmp_path / "market"
    )
    (tmp_path / "userdir").mkdir()
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "waits.py").write_text(STRATEGY)
    with launch_replay(tmp_path / "market", clock="live", reserve_days=1) as replay:
        content = {
            **ccxt_overlay(replay.url),
            "user_data_dir": str(tmp_path / "userdir"),
            "db_url": f"sqlite:///{tmp_path}/trades.sqlite",
            "strategy_path": str(tmp_path / "strategies"),
            "freqai": {"enabled": False},
            "api_server": api_server(port),
            "internals": {"process_throttle_secs": 1},
            "max_open_trades": 3,
        }
        content["exchange"]["pair_whitelist"] = [pair]
        config = overlay(tmp_path / "own.json", content)
        bot = Bot([config], tmp_path / "bot.log", port, "trade", "--dry-run", "--strategy", "Waits")
        try:
            bot.wait_for("start", lambda: bot.get("/show_config")["state"] == "running", 120)
            assert bot.get("/show_config")["max_open_trades"] == 3
            overlay(config, content | {"max_open_trades": 2})
            server = {**api_server(port), "enabled": True, "listen_ip_address": "127.0.0.1"}
            assert reload_bot({"api_server": server}) == "Reloading config ..."
            bot.wait_for(
                "the new value", lambda: bot.get("/show_config")["max_open_trades"] == 2, 120
            )
            with pytest.raises(StepFailed, match="refused"):
                reload_bot({"api_server": server | {"password": "wrong"}})
        finally:
            bot.close()


def test_that_a_bot_that_does_not_run_is_named() -> None:
    server = {**api_server(free_port()), "enabled": True, "listen_ip_address": "127.0.0.1"}
    with pytest.raises(StepFailed, match="no bot answers"):
        reload_bot({"api_server": server})
    with pytest.raises(ConfigError, match=r"api_server\.enabled"):
        reload_bot({})
