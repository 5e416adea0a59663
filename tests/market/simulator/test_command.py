"""`scripts/simulate_market.py` from the outside."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "scripts" / "simulate_market.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=PROJECT)


def test_that_a_config_and_options_make_a_market(tmp_path: Path) -> None:
    market = {"datadir": str(tmp_path / "data"), "simulator": {"days": 30, "seed": 4}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"agent_market": {"market": market}}))
    done = run("-c", str(config), "--days", "1", "--pairs", "BTC/USDT:USDT", "--timeframes", "5m")
    assert done.returncode == 0, done.stderr
    assert "order_flow" in done.stdout
    manifest = json.loads((tmp_path / "data" / "market.json").read_text())
    assert (manifest["settings"]["days"], manifest["settings"]["seed"]) == (1, 4)


def test_that_a_wrong_option_is_one_clear_line(tmp_path: Path) -> None:
    done = run("--datadir", str(tmp_path), "--pairs", "BTCUSDT")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "'BTCUSDT' is not a USDT-M perpetual" in done.stderr
    done = run("--datadir", str(tmp_path), "--days", "0")
    assert done.returncode == 1 and "simulator.days" in done.stderr
