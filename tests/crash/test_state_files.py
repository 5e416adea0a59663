"""Every state file cut and flipped, and a bot killed while it writes: it starts again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from agent_market.bridge.drawer import CrashSafeDrawer
from tests.crash.state_bot import (
    CANDLE,
    LABEL,
    PAIR,
    START,
    append_prediction,
    drawer_of,
    first_prediction,
    kitchen_of,
    predicted,
    save_model,
    trained,
)

PROJECT = Path(__file__).resolve().parents[2]
N_PREDICTIONS = 8
MODELS = "state/models/BTC_USDT_USDT"
NEWEST = "generation-00000002"
LOG = "state/predictions/BTC_USDT_USDT.jsonl"


class Stored(NamedTuple):
    folder: Path
    state: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Two generations of everything and ten predictions."""
    folder = tmp_path_factory.mktemp("stored")
    drawer = drawer_of(folder)
    for timestamp in (1, 2):
        save_model(drawer, folder, timestamp)
        drawer.save_global_metadata_to_disk({"start_dry_live_date": timestamp})
        drawer.metric_tracker = {PAIR: {"n": {"timestamp": [timestamp], "value": [1.5]}}}
        drawer.save_metric_tracker_to_disk()
    first_prediction(drawer, START, n_candles=2)
    for n in range(1, N_PREDICTIONS + 1):
        append_prediction(drawer, folder, START + n * CANDLE, n / 7)
    state = folder / "models" / "crash"
    files = {
        path.relative_to(state).as_posix(): path.read_bytes()
        for path in state.rglob("*")
        if path.is_file()
    }
    return Stored(folder, state, files)


def names_of_files() -> list[str]:
    values = [
        f"state/{kind}/generation-0000000{n}/manifest.json"
        for kind in ("global_metadata", "metric_tracker")
        for n in (1, 2)
    ]
    models = [
        f"{MODELS}/generation-0000000{n}/{name}"
        for n in (1, 2)
        for name in ("manifest.json", "model.zip")
    ]
    return [*values, *models, LOG]


def test_that_the_damage_below_reaches_every_file_of_the_state(stored: Stored) -> None:
    assert sorted(stored.files) == sorted(names_of_files())


def damages(content: bytes) -> Iterator[bytes]:
    """Cut everywhere, or at 200 places of a longer file, and flip a bit there."""
    step = 1 if len(content) <= 256 else len(content) / 200
    for position in sorted({int(i * step) for i in range(int(len(content) / step))}):
        yield content[:position]
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        yield bytes(flipped)


def assert_that_everything_is_there(
    drawer: CrashSafeDrawer, folder: Path, damaged: str, content: bytes, intact: bytes
) -> None:
    """Where the newest generation is damaged, the one before it is in force."""

    def expected(kind: str) -> set[int]:
        if f"{kind}/{NEWEST}" not in damaged:
            return {2}
        # white space in a manifest carries nothing
        return {1, 2} if b"".join(content.split()) == b"".join(intact.split()) else {1}

    timestamp = drawer.get_pair_dict_info(PAIR)[1]
    assert {timestamp} <= expected(MODELS)
    kitchen = kitchen_of(folder)
    model = drawer.load_data(PAIR, kitchen)
    assert predicted(model) == predicted(trained(timestamp))
    assert kitchen.data["trained_timestamp"] == timestamp
    metadata = drawer.load_global_metadata_from_disk()["start_dry_live_date"]
    assert {metadata} <= expected("global_metadata")
    metrics = drawer.metric_tracker[PAIR]["n"]["timestamp"]
    assert set(metrics) <= expected("metric_tracker")


def undamaged_dates(content: bytes, intact: bytes) -> list[str]:
    """Dates of the lines that are in the damaged log byte for byte."""
    return [
        json.loads(line)["record"]["date_pred"] for line in intact.splitlines() if line in content
    ]


@pytest.mark.parametrize("name", names_of_files())
def test_that_a_damaged_state_file_costs_at_most_what_was_damaged(
    stored: Stored, name: str
) -> None:
    path, intact = stored.state / name, stored.files[name]
    log = stored.files[LOG]
    for content in damages(intact):
        path.write_bytes(content)
        drawer = drawer_of(stored.folder)
        assert_that_everything_is_there(drawer, stored.folder, name, content, intact)
        history = drawer.historic_predictions.get(PAIR, pd.DataFrame({"date_pred": []}))
        dates = [date.isoformat() for date in history["date_pred"]]
        assert dates == undamaged_dates(content if name == LOG else log, log)
        path.write_bytes(intact)


@pytest.mark.parametrize("name", names_of_files())
def test_that_a_missing_state_file_is_survived(stored: Stored, name: str) -> None:
    (stored.state / name).unlink()
    drawer = drawer_of(stored.folder)
    (stored.state / name).write_bytes(stored.files[name])
    assert drawer.get_pair_dict_info(PAIR)[1] == (1 if f"{MODELS}/{NEWEST}" in name else 2)
    assert bool(drawer.historic_predictions) == (name != LOG)


def test_that_ten_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    bot = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.state_bot", str(tmp_path)],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bot.stdin is not None and bot.stdout is not None
    moments = random.Random(3)
    dates: set[str] = set()
    timestamp = 0
    with bot:
        for _ in range(10):
            bot.stdin.write("live\n")
            bot.stdin.flush()
            life = int(bot.stdout.readline().removeprefix("pid "))
            lines = [bot.stdout.readline().split()]  # it lives
            time.sleep(moments.uniform(0.02, 0.4))
            os.kill(life, signal.SIGKILL)
            while lines[-1] != ["dead"]:
                lines.append(bot.stdout.readline().split())
            said = {kind: [what for k, what in lines[:-1] if k == kind] for kind, _ in lines[:-1]}
            assert int(said["model"][0]) == timestamp + 1, "the bot went on from where it was"
            dates.update(said.get("prediction", []))

            drawer = drawer_of(tmp_path)
            timestamp = drawer.get_pair_dict_info(PAIR)[1]
            # the kill may have come between the rename and the word of it
            assert timestamp - int(said["model"][-1]) in (0, 1)
            model = drawer.load_data(PAIR, kitchen_of(tmp_path))
            assert predicted(model) == predicted(trained(timestamp))
            metadata = drawer.load_global_metadata_from_disk()
            assert metadata["start_dry_live_date"] >= int(said.get("metadata", ["0"])[-1])
            history = drawer.historic_predictions[PAIR].set_index("date_pred")
            for date in dates:
                assert history.loc[date, LABEL] == pd.Timestamp(date).timestamp() / 7
            assert not history.index.has_duplicates
        bot.stdin.close()
        assert bot.wait(20) == 0
    assert len(dates) > 30
    assert timestamp > 10
