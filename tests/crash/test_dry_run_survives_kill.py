"""A real dry run, killed ten times as it trains and saves, always starts with its predictions."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from agent_market.market.replay import launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.freqtrade_process import Bot, free_port, minute_bot, outlive, overlay

PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
LABEL = "&-forward_return"
KILLS = 10
EAGER = {"identifier": "killed", "live_retrain_hours": 0}  # trains for ever, a second apart
Key = tuple[str, str]  # pair and candle
COMMAND = (
    *("trade", "--dry-run", "--strategy", "HybridMultiMode"),
    *("--freqaimodel", "FastLightGBMRegressor"),
)


class State:
    """What a bot has on disk, read without touching it."""

    def __init__(self, userdir: Path) -> None:
        self.models = userdir / "models" / "killed"

    def is_training(self, bot: Bot) -> bool:
        folder = self.models / "training"
        began = psutil.Process(bot.process.pid).create_time()
        try:
            return folder.stat().st_mtime > began  # an older one is what a kill has left
        except FileNotFoundError:
            return False

    def is_saving(self, bot: Bot) -> bool:
        return any(self.models.glob(f"state/models/*/.generation-*.{bot.process.pid}.tmp"))

    def predictions(self) -> dict[Key, list[float | None]]:
        """Return what is stored of each pair and candle; a start may predict the newest again."""
        found: dict[Key, list[float | None]] = {}
        for log in self.models.glob("state/predictions/*.jsonl"):
            # a kill may have cut the last line, which nobody was told of
            complete = log.read_text().split("\n")[:-1]
            for record in (json.loads(line)["record"] for line in complete):
                if record["do_predict"] == 1:
                    key = record["pair"], record["date_pred"][:16]
                    found.setdefault(key, []).append(record[LABEL])
        return found


def _shown(bot: Bot) -> dict[Key, float]:
    """Return the trusted predictions that the API gives out: the bot has acknowledged them."""
    return {
        (pair, date[:16].replace(" ", "T")): value
        for pair in PAIRS
        for date, value in bot.predictions(pair, "1m").items()
    }


def _kill_when(bot: Bot, is_so: Callable[[Bot], bool], delay: float) -> bool:
    """Kill the bot and see that its worker goes with it; return whether it was still so."""
    deadline = time.monotonic() + 60
    while not is_so(bot):
        assert bot.process.poll() is None, bot.tail()
        assert time.monotonic() < deadline, bot.tail()
        time.sleep(0.0005)
    time.sleep(delay)
    bot.process.send_signal(signal.SIGSTOP)  # to see where the kill falls
    children = psutil.Process(bot.process.pid).children(recursive=True)
    was_so = is_so(bot)
    bot.process.kill()
    bot.process.wait()
    assert not outlive(children)
    return was_so


@pytest.mark.timeout(600)
def test_that_a_dry_run_killed_ten_times_always_restarts_with_its_predictions(
    tmp_path: Path,
) -> None:
    settings = SimulatorSettings(seed=11, days=5, pairs=PAIRS, timeframes=("1m", "5m", "1h"))
    write_market(settings, tmp_path / "market")
    state, draws = State(tmp_path / "userdir"), random.Random(5)
    acknowledged: dict[Key, float] = {}
    hits = {"training": 0, "saving": 0}
    with launch_replay(
        tmp_path / "market", clock="live", reserve_days=1, epoch=datetime.now(UTC)
    ) as replay:
        port = free_port()
        eager = minute_bot(replay.url, tmp_path, port, PAIRS, freqai=EAGER)
        config = overlay(tmp_path / "eager.json", eager)
        configs = [Path("config.replay.json"), config]
        for life in range(KILLS + 1):
            bot = Bot(configs, tmp_path / f"{life}.log", port, *COMMAND)
            try:
                shown = bot.wait_for(
                    "predictions", lambda bot=bot: _both(_shown(bot)), 180 if life == 0 else 60
                )
                assert acknowledged.keys() <= shown.keys(), f"life {life}"
                assert all(value != 0 for value in shown.values())
                acknowledged |= shown
                if life == KILLS:
                    bot.stop_in_order()
                    break
                if life % 2:
                    hits["saving"] += _kill_when(bot, state.is_saving, draws.uniform(0, 0.004))
                else:
                    hits["training"] += _kill_when(bot, state.is_training, draws.uniform(0, 3))
            finally:
                bot.close()
            stored = state.predictions()
            assert all(value in stored[key] for key, value in acknowledged.items())
            assert not any(0 in values for values in stored.values())
            assert "Traceback" not in bot.log.read_text(), bot.tail(100)
    assert min(hits.values()) > 0, hits


def _both(shown: dict[Key, float]) -> dict[Key, float] | None:
    """Return the predictions once every pair has one."""
    return shown if {pair for pair, _ in shown} == set(PAIRS) else None
