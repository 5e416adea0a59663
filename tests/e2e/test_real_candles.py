"""The whole flow on real candles, by the command that the README gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.freqtrade_process import PROJECT, WIDE, overlay


@pytest.mark.timeout(900)
def test_that_the_flow_runs_on_real_candles(real_data: Path, tmp_path: Path) -> None:
    apart = overlay(
        tmp_path / "apart.json",
        {
            "user_data_dir": str(tmp_path / "userdir"),
            "agent_market": {
                "state_dir": str(tmp_path / "state"),
                "flow": {"summary_path": str(tmp_path / "summary.json")},
            },
        },
    )
    configs = ["-c", "config.json", "-c", "config.replay.json", "-c", str(apart)]
    run = subprocess.run(
        [
            *[sys.executable, "scripts/agent_flow.py", "run", *configs],
            *["--datadir", str(real_data / "futures_2023_24"), "--timerange", "20240101-20240401"],
        ],
        cwd=PROJECT,
        env=WIDE,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    report = Path(run.stdout.strip().splitlines()[-1].removeprefix("Report: "))
    assert report.stat().st_size > 1_000_000
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["totals"]["trades"] > 0
    assert summary["backtest"]["pairs"] == ["BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT"]
    assert summary["predictions"]["overall"]["n_windows"] == 3 * 14  # the last holds one candle
    assert not any("whole market is simulated" in line for line in summary["simulated"])
