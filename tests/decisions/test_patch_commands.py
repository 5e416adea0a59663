"""The commands as real processes, on a configuration that Freqtrade itself reads."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent_market.decisions.strategy_advice import StrategyAdvice, event_mode_path
from agent_market.settings import AgentMarketSettings
from agent_market.store import AppendLog
from tests.decisions.advice_samples import PAIR
from tests.patched_config import write_config_in

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(folder: Path, script: str, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Run a script in `folder`; return its exit code and all it said."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
        cwd=folder,
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, and predictions of the candle that has just closed."""
    write_config_in(tmp_path)
    closed = datetime.now(UTC) - timedelta(minutes=6)
    log, _ = AppendLog.open(tmp_path / "user_data/models/mine/state/predictions/BTC.jsonl")
    log.append(
        {
            "pair": PAIR,
            "&-forward_return": 0.0016,
            "do_predict": 1,
            "date_pred": closed.isoformat(),
        }
    )
    return tmp_path


def test_that_predictions_become_a_bias_a_patch_and_back(folder: Path) -> None:
    config = folder / "config.json"
    original = config.read_bytes()
    code, said = run(folder, "policy_adapter", "--identifier", "mine")
    assert code == 0, said
    assert "BTC/USDT:USDT: direction 1, confidence 0.53, position x 1.03, leverage 2.07" in said

    code, said = run(folder, "strategy_bias_applier")
    assert code == 0, said
    (folder / "patch.json").write_text(said)
    assert PAIR in json.loads(said)["agent_market"]["bias"]["pinned"]["pairs"]

    refused = ("--inplace", "--patch", "patch.json", "--why", "try", "--yes")
    code, said = run(folder, "apply_bias_to_config", *refused)
    assert code == 1 and "--yes does not cover" in said
    assert "+" in said and "leverage: absent ->" in said
    assert config.read_bytes() == original

    code, said = run(folder, "apply_bias_to_config", *refused, "--i-understand")
    assert code == 0, said
    assert "Comments are not written; the backup keeps them." in said
    shown = subprocess.run(
        [sys.executable, "-m", "freqtrade", "show-config", "-c", "config.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert shown.returncode == 0 and '"pinned"' in shown.stdout, shown.stderr

    code, said = run(folder, "apply_bias_to_config", "--revert", answer="y\n")
    assert code == 0, said
    assert config.read_bytes() == original, "with its comments"
    code, said = run(folder, "apply_bias_to_config", "--audit")
    assert code == 0 and "patch config.json" in said and "revert config.json" in said


def test_that_an_invalid_patch_writes_nothing_and_says_why(folder: Path) -> None:
    original = (folder / "config.json").read_bytes()
    patches = {
        "dry_run: a patch may not change this key": {"dry_run": False},
        "Freqtrade refuses": {"max_open_trades": "many"},
        "Did you mean 'max_holding_candles'": {"agent_market": {"exits": {"max_holding": 3}}},
    }
    for expected, patch in patches.items():
        (folder / "patch.json").write_text(json.dumps(patch))
        options = ("--patch", "patch.json", "--inplace", "--why", "x", "--yes", "--i-understand")
        code, said = run(folder, "apply_bias_to_config", *options)
        assert code == 2 and expected in said, said
        assert (folder / "config.json").read_bytes() == original


def test_that_an_event_mode_is_over_although_the_process_that_set_it_is_dead(folder: Path) -> None:
    making = ("--reason", "CPI", "--hours", "1", "--position", "0.5", "--output", "event.json")
    code, said = run(folder, "event_mode_patch", *making)
    assert code == 0, said
    setter = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "event_mode_apply.py"), "event.json"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings = AgentMarketSettings(state_dir=folder / "state")
    assert setter.stdin is not None
    setter.stdin.write(b"y\n")
    setter.stdin.flush()
    path = event_mode_path(settings)
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(setter.pid, signal.SIGKILL)
    setter.wait()
    end = datetime.fromisoformat(json.loads(path.read_text())["expires_at"])
    start = end - timedelta(hours=1)
    bot = StrategyAdvice(settings, "1m", live=True)
    dates = pd.Series([pd.Timestamp(start) - timedelta(seconds=30), pd.Timestamp(end)])
    for date in dates:
        bot.refresh((date + timedelta(minutes=1)).to_pydatetime())
    assert list(bot.columns(PAIR, dates)["am_event_position"]) == [0.5, 1.0]

    past = event_now(-1) | {"id": "past"}
    path.write_text(json.dumps(past))
    code, said = run(folder, "event_mode_apply")
    assert code == 0 and "past expired at" in said
    code, said = run(folder, "event_mode_apply", "--revert-expired")
    assert code == 0 and not path.exists()


def test_that_an_event_mode_can_be_pinned_and_is_swept_out_once_over(folder: Path) -> None:
    config = folder / "config.json"
    run(folder, "event_mode_patch", "--reason", "CPI", "--hours", "1", "--leverage", "0.5",
        "--output", "event.json")  # fmt: skip
    code, said = run(folder, "event_mode_apply", "event.json", "--inplace", answer="n\n")
    assert code == 1 and "not confirmed" in said
    code, said = run(folder, "event_mode_apply", "event.json", "--inplace", answer="y\n")
    assert code == 0, said
    content = json.loads(config.read_text())
    content["agent_market"]["event_mode"]["pinned"] = event_now(-1)
    config.write_text(json.dumps(content))
    code, said = run(folder, "apply_bias_to_config", "--revert-expired", "--yes")
    assert code == 0, said
    assert "pinned" not in config.read_text()


def event_now(hours: float) -> dict[str, Any]:
    """Return an event mode of an hour that ends in so many hours."""
    end = datetime.now(UTC) + timedelta(hours=hours)
    begin = end - timedelta(hours=1)
    dates = {"created_at": begin.isoformat(), "expires_at": end.isoformat()}
    return {"version": 1, "id": "event", "reason": "test", "position_multiplier": 1.5, **dates}
