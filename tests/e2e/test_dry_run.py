"""The dry run for real: a `freqtrade trade` process against a replay exchange that goes on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_market.decisions import Mode
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.replay.launch import Replay
from tests.e2e.conftest import PAIRS
from tests.freqtrade_process import Bot, free_port, minute_bot, overlay, run_freqtrade

FAULTS = {
    "error_share": 0.10,
    "timeout_share": 0.05,
    "timeout_seconds": 12,
    "cut_share": 0.03,
    "socket_cuts_per_minute": 2,
}


@pytest.fixture(scope="module")
def replay(minute_market: Path) -> Iterator[Replay]:
    # the history is pinned, so that a restart of the exchange would serve the same one
    with launch_replay(minute_market, clock="live", reserve_days=1, epoch=datetime.now(UTC)) as it:
        yield it


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def configs(replay: Replay, port: int, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The replay overlay at the test's port, and one that makes 1m trades frequent and short."""
    folder = tmp_path_factory.mktemp("dry_run")
    eager = minute_bot(
        replay.url,
        folder,
        port,
        PAIRS,
        max_open_trades=len(PAIRS),
        freqai={"identifier": "dry", "train_period_days": 2, "live_retrain_hours": 0.05},
        agent_market={
            "modes": {
                "entry_edge_bps": 0,
                "deviation_z": 0,
                "window_candles": 10,
                "mean_reversion": {"min_score": 0},
            },
            "regime": {"window_candles": 10},
            "exits": {"max_holding_candles": 3},
            "sizing": {"cost_bps": 0},
        },
    )
    return [Path("config.replay.json"), overlay(folder / "eager.json", eager)]


def _closed_trades(bot: Bot) -> list[dict[str, Any]]:
    return [trade for trade in bot.get("/trades")["trades"] if not trade["is_open"]]


def _known_trades(bot: Bot) -> dict[int, str]:
    return {trade["trade_id"]: trade["open_date"] for trade in bot.get("/trades")["trades"]}


def _trainings(bot: Bot) -> list[str]:
    return [line for line in bot.log.read_text().splitlines() if ": trained on " in line]


def _set_faults(replay: Replay, faults: dict[str, Any]) -> None:
    httpx.post(f"{replay.url}/replay/faults", json=faults, trust_env=False).raise_for_status()


@pytest.mark.timeout(900)
def test_that_a_dry_run_trains_trades_survives_faults_and_goes_on_after_a_restart(
    configs: list[Path], replay: Replay, port: int, tmp_path: Path
) -> None:
    first = Bot(configs, tmp_path / "first.log", port)
    try:
        first.wait_for("the API", lambda: first.get("/ping")["status"] == "pong", 90)
        early = first.wait_for("a prediction", lambda: first.predictions(PAIRS[0], "1m"), 240)
        assert len(set(early.values())) >= 1
        assert all(value != 0 for value in early.values())
        first.wait_for("an open trade", lambda: first.get("/status"), 240)
        assert first.get("/health")["last_process_ts"] > 0

        _set_faults(replay, FAULTS)
        before, seen = _known_trades(first), len(first.predictions(PAIRS[0], "1m"))
        first.wait_for("a trade closed under faults", lambda: _closed_trades(first), 400)
        first.wait_for(
            "predictions under faults",
            lambda: len(first.predictions(PAIRS[0], "1m")) >= seen + 3,
            400,
        )
        status = httpx.get(f"{replay.url}/replay/status", trust_env=False).json()
        assert sum(status["injected"].values()) > 0
        httpx.delete(f"{replay.url}/replay/faults", trust_env=False).raise_for_status()

        first.wait_for("a second training", lambda: len(_trainings(first)) > len(PAIRS), 300)

        known = _known_trades(first)
        assert before.items() <= known.items()
        tags = {trade["enter_tag"] for trade in first.get("/trades")["trades"]}
        assert tags <= {mode.tag for mode in Mode}
        first.stop_in_order()
    finally:
        first.close()

    second = Bot(configs, tmp_path / "second.log", port)
    try:
        second.wait_for("the API again", lambda: second.get("/ping")["status"] == "pong", 90)
        assert (
            known.items()
            <= second.wait_for("the trades again", lambda: _known_trades(second), 60).items()
        )
        later = second.wait_for(
            "a newer prediction",
            lambda: {
                date: value
                for date, value in second.predictions(PAIRS[0], "1m").items()
                if date > max(early)
            },
            240,
        )
        assert later
        assert "No model ready" not in second.log.read_text()  # the saved ones are used
        second.stop_in_order()
    finally:
        second.close()


@pytest.mark.timeout(300)
def test_that_freqtrade_accepts_both_configurations(replay: Replay) -> None:
    for configs in ([], [Path("config.replay.json")]):
        shown = run_freqtrade("show-config", configs, timeout=100)
        assert shown.returncode == 0, shown.stderr[-2000:]
        assert "HybridMultiMode" in shown.stdout


def test_that_the_overlay_points_every_address_at_the_replay_exchange() -> None:
    exchange = json.loads(Path("config.replay.json").read_text())["exchange"]
    assert exchange == ccxt_overlay("http://127.0.0.1:8480")["exchange"]
