"""The loop beside a dry run: two runs on the newest candles, each bias taken over by the bot."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_market.market.replay import ccxt_overlay, launch_replay
from tests.e2e.conftest import PAIRS
from tests.freqtrade_process import PROJECT, Bot, api_server, free_port, overlay

TWO = list(PAIRS[:2])
TAKEN = re.compile(r"bias\.json: (bias-\S+) is in force until")


@pytest.fixture
def configs(minute_market: Path, tmp_path: Path) -> Iterator[list[Path]]:
    """One configuration for the bot and the loop, on an exchange that goes on now."""
    epoch = datetime.now(UTC)
    with launch_replay(minute_market, clock="live", reserve_days=1, epoch=epoch) as exchange:
        (tmp_path / "userdir").mkdir()
        small: dict[str, Any] = {
            **ccxt_overlay(exchange.url),
            "user_data_dir": str(tmp_path / "userdir"),
            "db_url": f"sqlite:///{tmp_path}/trades.sqlite",
            "timeframe": "1m",
            "internals": {"process_throttle_secs": 1},
            "api_server": api_server(free_port()),
            "freqai": {
                "identifier": "loop",
                "train_period_days": 1,
                "backtest_period_days": 0.5,
                "feature_parameters": {
                    "include_timeframes": ["1m"],
                    "include_corr_pairlist": [],
                    "indicator_periods_candles": [12],
                    "label_period_candles": 3,
                },
                "model_training_parameters": {"catboost_regressor": {"iterations": 20}},
            },
            "agent_market": {
                "state_dir": str(tmp_path / "state"),
                "flow": {"summary_path": str(tmp_path / "latest.json")},
                "loop": {"every": "1m", "windows": 1},
                "bias": {"lifetime_minutes": 30},
            },
        }
        small["exchange"]["pair_whitelist"] = TWO
        yield [Path("config.replay.json"), overlay(tmp_path / "small.json", small)]


def biases_taken(bot: Bot) -> list[str]:
    return TAKEN.findall(bot.log.read_text())


@pytest.mark.timeout(600)
def test_that_a_running_bot_takes_the_bias_of_each_run_without_a_restart(
    configs: list[Path], tmp_path: Path
) -> None:
    port = json.loads(configs[-1].read_text())["api_server"]["listen_port"]
    bot = Bot(configs, tmp_path / "bot.log", port)
    try:
        bot.wait_for("the API", lambda: bot.get("/ping")["status"] == "pong", 120)
        files = [part for file in (Path("config.json"), *configs) for part in ("-c", str(file))]
        script = [sys.executable, str(PROJECT / "scripts" / "agent_flow.py")]
        loop = subprocess.run(
            [*script, "loop", "--runs", "2", *files],
            cwd=PROJECT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert loop.returncode == 0, loop.stdout + loop.stderr
        records = [
            json.loads(path.read_text())
            for path in sorted((tmp_path / "state" / "runs").glob("*/run.json"))
        ]
        facts = [{s["name"]: s["facts"] for s in record["steps"]} for record in records]
        made = [each["bias"]["bias_id"] for each in facts]
        assert len(set(made)) == 2
        bot.wait_for("the second bias", lambda: made[1] in biases_taken(bot), 120)
        assert made[0] in biases_taken(bot)
        candles = bot.get("/pair_candles", pair=TWO[0], timeframe="1m", limit=5)
        column = candles["columns"].index("am_bias_position")
        published = json.loads((tmp_path / "state" / "bias.json").read_text())
        wanted = published["pairs"][TWO[0]]["position_multiplier"]
        assert candles["data"][-1][column] == pytest.approx(wanted)
        bot.stop_in_order()
    finally:
        bot.close()
