"""A dry run loses its feeds one after the other, does less each time, and comes back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from agent_market.decisions.advice import publish
from agent_market.decisions.bias import Bias, BiasSource, PairBias
from agent_market.market.candles import read_candles, write_candles
from agent_market.market.replay import launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.freqtrade_process import Bot, free_port, minute_bot, overlay

PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
COMMAND = (
    *("trade", "--dry-run", "--strategy", "HybridMultiMode"),
    *("--freqaimodel", "PanelLightGBMRegressor"),
)
WALK = ["full", "price-only", "rules", "flat", "full"]
FULL, PRICE_ONLY, RULES, FLAT = range(4)
CHANGE = re.compile(r"(\S+): level (\S+) -> (\S+): (.+)")
EVERY_REGIME = {
    "regimes": ["unknown", "range", "trend", "shock"],
    "levels": ["full", "price-only", "rules"],
    "needs_prediction": False,
    "exits": [],  # what is open stays open until the level closes it
}


def _write_market(datadir: Path) -> None:
    """Write a market whose funding is settled each minute, as others settle each hour."""
    settings = SimulatorSettings(seed=11, days=5, pairs=PAIRS, timeframes=("1m", "5m", "1h"))
    write_market(settings, datadir)
    for pair in PAIRS:
        hourly = read_candles(datadir, pair, "1h", "funding_rate")
        minutes = read_candles(datadir, pair, "1m", "futures")["date"]
        rates = np.resize(hourly["open"], len(minutes))
        frame = pd.DataFrame({"date": minutes, "open": rates})
        frame = frame.assign(high=0.0, low=0.0, close=0.0, volume=0.0)
        write_candles(datadir, pair, "1h", "funding_rate", frame)


def _config(url: str, folder: Path, port: int, webhook: dict[str, Any]) -> dict[str, Any]:
    """A bot that enters whenever it may; budgets and expiry are minutes instead of hours."""
    return minute_bot(
        url,
        folder,
        port,
        PAIRS,
        exchange={"_ft_has_params": {"funding_fee_timeframe": "1m"}},
        webhook=webhook,
        force_entry_enable=True,
        max_open_trades=len(PAIRS),
        freqai={
            "identifier": "walk",
            "live_retrain_hours": 0,
            "expiration_hours": 90 / 3600,
            "feature_parameters": {"include_timeframes": ["1m"], "include_corr_pairlist": []},
        },
        agent_market={
            "state_dir": str(folder / "state"),
            "degrade": {
                "recovery_candles": 0,
                "freshness": {"candles": 2, "prediction": 2, "funding_hours": 100 / 3600},
            },
            "learning": {"conformal": {"coverage": 0.9, "abstain_coverage": 0.001}},
            "modes": {"entry_edge_bps": 0, "window_candles": 10, "trend": EVERY_REGIME},
            "regime": {"window_candles": 10},
            "sizing": {"cost_bps": 0},
        },
    )


def _publish_bias(folder: Path) -> None:
    now = datetime.now(UTC)
    bias = Bias(
        version=1,
        id="of-the-test",
        created_at=now,
        expires_at=now + timedelta(hours=1),
        source=BiasSource(model="none", data_hash="0" * 64),
        pairs={PAIRS[0]: PairBias(direction=1, confidence=0.5)},
    )
    (folder / "state").mkdir()
    publish(folder / "state" / "bias.json", bias, now)


class Messages:
    """Takes what the bot sends to people, as Telegram would, from Freqtrade's webhook."""

    def __init__(self) -> None:
        lines: list[str] = []
        self.lines = lines

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                lines.extend(
                    self.rfile.read(int(self.headers["Content-Length"])).decode().split("\n")
                )
                self.send_response(200)
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.section = {
            "enabled": True,
            "url": f"http://127.0.0.1:{self.server.server_port}",
            "format": "raw",
            "allow_custom_messages": True,
            "strategy_msg": {"data": "{msg}"},
        }

    def __enter__(self) -> Messages:
        threading.Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def _training_hangs(bot: Bot) -> Iterator[None]:
    """Let the worker that trains stand still; the bot waits for it, and its model gets old."""
    (worker,) = psutil.Process(bot.process.pid).children()
    worker.suspend()
    yield
    worker.resume()


def _cut(url: str, *endpoints: str) -> None:
    faults = {"error_share": 1, "endpoints": endpoints}
    httpx.post(f"{url}/replay/faults", json=faults, trust_env=False).raise_for_status()


def _restore(url: str) -> None:
    httpx.delete(f"{url}/replay/faults", trust_env=False).raise_for_status()


def _changes(lines: list[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Return the changes of level of each pair: before, after, why."""
    found: dict[str, list[tuple[str, str, str]]] = {pair: [] for pair in PAIRS}
    for line in lines:
        if match := CHANGE.search(line):
            found[match[1]].append((match[2], match[3], match[4]))
    return found


def _logged(bot: Bot) -> dict[str, list[tuple[str, str, str]]]:
    lines = bot.log.read_text().splitlines()
    return _changes([line for line in lines if "bridge.decisions" in line])


def _reached(bot: Bot, level: str) -> bool:
    changes = _logged(bot).values()
    return all(of_pair and of_pair[-1][1] == level for of_pair in changes)


def _shown(bot: Bot, pair: str) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return the candles that the API shows, and the areas over them."""
    answer = bot.get("/pair_candles", pair=pair, timeframe="1m", limit=500)
    frame = pd.DataFrame(answer["data"], columns=answer["columns"])
    return frame, answer["annotations"]


def _levels(bot: Bot) -> list[int]:
    return [int(_shown(bot, pair)[0]["am_level"].iloc[-1]) for pair in PAIRS]


def _newest_area(bot: Bot, pair: str, kind: str) -> str:
    labels = [area["label"] for area in _shown(bot, pair)[1] if area["label"].startswith(kind)]
    return labels[-1] if labels else ""


def _trainings(bot: Bot) -> int:
    return bot.log.read_text().count(": trained on ")


def _refused_by_hand(bot: Bot, pair: str) -> bool:
    order = {"pair": pair, "side": "long", "entry_tag": "trend"}
    return bot.client.post("/forceenter", json=order).status_code == httpx.codes.BAD_GATEWAY


@pytest.mark.timeout(1200)
def test_that_a_dry_run_walks_down_as_feeds_are_cut_and_back_up_as_they_return(
    tmp_path: Path,
) -> None:
    _write_market(tmp_path / "market")
    _publish_bias(tmp_path)
    history = {"clock": "live", "reserve_days": 1, "epoch": datetime.now(UTC)}
    with launch_replay(tmp_path / "market", **history) as replay, Messages() as messages:
        port = free_port()
        content = _config(replay.url, tmp_path, port, messages.section)
        config = overlay(tmp_path / "walk.json", content)
        bot = Bot([Path("config.replay.json"), config], tmp_path / "bot.log", port, *COMMAND)
        try:
            bot.wait_for("the API", lambda: bot.get("/ping")["status"] == "pong", 90)
            bot.wait_for("level full", lambda: _reached(bot, "full"), 240)
            started = {pair: len(changes) for pair, changes in _logged(bot).items()}
            assert _levels(bot) == [FULL, FULL]

            with _training_hangs(bot):
                _cut(replay.url, "fundingRate")
                bot.wait_for("level price-only", lambda: _reached(bot, "price-only"), 240)
                bot.wait_for("its column", lambda: _levels(bot) == [PRICE_ONLY, PRICE_ONLY], 60)
                bot.wait_for("level rules", lambda: _reached(bot, "rules"), 400)
                bot.wait_for("its column", lambda: _levels(bot) == [RULES, RULES], 60)
                bot.wait_for("an open trade", lambda: bot.get("/status"), 200)
                held = {trade["trade_id"] for trade in bot.get("/status")}
                _cut(replay.url, "fundingRate", "klines")
                bot.wait_for("level flat", lambda: _reached(bot, "flat"), 240)
                flat_since = datetime.now(UTC)
                bot.wait_for("closed trades", lambda: not bot.get("/status"), 60)
                assert all(_refused_by_hand(bot, pair) for pair in PAIRS)
                assert all(_newest_area(bot, pair, "level") == "level flat" for pair in PAIRS)

            trained = _trainings(bot)
            # the first is the one that hung: its model is as old as its candles
            bot.wait_for("a new model", lambda: _trainings(bot) >= trained + 2, 240)
            assert not bot.get("/status")
            flat_until = datetime.now(UTC)
            _restore(replay.url)
            bot.wait_for("level full again", lambda: _reached(bot, "full"), 240)
            bot.wait_for("the messages", lambda: _changes(messages.lines) == _logged(bot), 60)

            logged = _logged(bot)
            for pair in PAIRS:
                steps = logged[pair][started[pair] :]
                assert [before for before, *_ in steps] == WALK[:-1], bot.tail(100)
                assert [after for _, after, _ in steps] == WALK[1:], bot.tail(100)
                reasons = [why.split(":")[0] for *_, why in steps]
                assert reasons == ["funding", "prediction", "candles", "inputs are fresh again"]

            assert _levels(bot) == [FULL, FULL]
            for pair in PAIRS:  # in hindsight, the candle that was the newest while all was silent
                assert FLAT in set(_shown(bot, pair)[0]["am_level"])
            _assert_trades(bot, held, flat_since, flat_until)
            _assert_chart(bot)
            assert "trend refused: level: flat" in bot.log.read_text()
        finally:
            bot.close()


def _assert_trades(bot: Bot, held: set[int], since: datetime, until: datetime) -> None:
    """What was open is closed because of the level, and nothing is entered while it is flat."""
    trades = bot.get("/trades")["trades"]
    closed = {each["trade_id"]: each["exit_reason"] for each in trades if not each["is_open"]}
    assert {closed[each] for each in held} == {"degraded_to_flat"}
    opened = [pd.Timestamp(each["open_date"], tz="UTC") for each in trades]
    assert not [each for each in opened if since <= each <= until]


def _assert_chart(bot: Bot) -> None:
    subplots = bot.get("/plot_config")["subplots"]
    drawn = {name for lines in subplots.values() for name in lines}
    frame, areas = _shown(bot, PAIRS[0])
    assert drawn <= set(frame)
    assert {"am_mode", "am_regime", "am_bias", "am_level"} <= drawn
    assert {"&-forward_return", "&-forward_return_lo", "&-forward_return_hi"} <= drawn
    labels = {area["label"] for area in areas}
    assert {"bias long", "level flat", "level price-only"} <= labels
    assert any(" in " in label for label in labels)
    assert all(area["type"] == "area" and area["start"] < area["end"] for area in areas)
