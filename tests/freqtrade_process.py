"""Drive a real `freqtrade` process and talk to its API, for tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from freqtrade.misc import deep_merge_dicts

from agent_market.market.replay import ccxt_overlay

PROJECT = Path(__file__).resolve().parents[1]
INTERRUPTED = 130
TRADE = (
    "trade",
    "--dry-run",
    "--strategy",
    "HybridMultiMode",
    "--freqaimodel",
    "CatboostRegressor",
)
T = TypeVar("T")
WIDE = os.environ | {"COLUMNS": "400"}  # or Freqtrade wraps its log lines


def overlay(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a configuration overlay and return its path."""
    path.write_text(json.dumps(content))
    return path


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def api_server(port: int) -> dict[str, Any]:
    """Return the section `api_server` of a bot that `Bot` can talk to."""
    return {
        "listen_port": port,
        "username": "tester",
        "password": "secret",
        "jwt_secret_key": "a" * 64,
        "ws_token": "b" * 32,
    }


def minute_bot(
    url: str, folder: Path, port: int, pairs: Sequence[str], **changes: Any
) -> dict[str, Any]:
    """Return a bot of 1m candles and small models at a replay exchange, below `folder`."""
    (folder / "userdir").mkdir(exist_ok=True)
    config: dict[str, Any] = {
        **ccxt_overlay(url),
        "user_data_dir": str(folder / "userdir"),
        "db_url": f"sqlite:///{folder}/trades.sqlite",
        "timeframe": "1m",
        "internals": {"process_throttle_secs": 1},
        "api_server": api_server(port),
        "freqai": {
            "train_period_days": 1,
            "feature_parameters": {
                "include_timeframes": ["1m", "5m"],
                "include_corr_pairlist": [pairs[0]],
                "indicator_periods_candles": [12],
                "label_period_candles": 3,
            },
            "model_training_parameters": {
                "catboost_regressor": {"iterations": 40},
                "lightgbm_regressor": {"n_estimators": 30},
            },
        },
    }
    config["exchange"]["pair_whitelist"] = list(pairs)
    merged: dict[str, Any] = deep_merge_dicts(changes, config)
    return merged


def run_freqtrade(
    command: str, configs: Sequence[Path], *options: str, timeout: float = 500
) -> subprocess.CompletedProcess[str]:
    """Run a `freqtrade` command in the project's root with config.json and more; return it."""
    arguments = [sys.executable, "-m", "freqtrade", command, "-c", "config.json"]
    for config in configs:
        arguments += ["-c", str(config)]
    return subprocess.run(
        [*arguments, *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=WIDE,
    )


class Bot:
    """A `freqtrade` process with an API: by default a dry run of ours."""

    def __init__(self, configs: Sequence[Path], log: Path, port: int, *command: str) -> None:
        arguments = [sys.executable, "-m", "freqtrade", *(command or TRADE), "-c", "config.json"]
        for config in configs:
            arguments += ["-c", str(config)]
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                arguments, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, env=WIDE
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1",
            auth=("tester", "secret"),
            timeout=20,
            trust_env=False,
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON answer of one API call."""
        answer = self.client.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def wait_for(self, what: str, probe: Callable[[], T | None], seconds: float) -> T:
        """Return the first true result of `probe`; fail with the log's end when time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the bot ended before {what}\n{self.tail()}"
            try:
                if result := probe():
                    return result
            except (httpx.TransportError, httpx.HTTPStatusError):
                pass  # not up yet, or busy with a candle: ask again
            time.sleep(1)
        raise AssertionError(f"{what} did not happen within {seconds} s\n{self.tail()}")

    def predictions(
        self, pair: str, timeframe: str, label: str = "&-forward_return"
    ) -> dict[str, Any]:
        """Return the trusted predictions that the API shows, by candle date."""
        answer = self.get("/pair_candles", pair=pair, timeframe=timeframe, limit=500)
        names = answer["columns"]
        if "do_predict" not in names:
            return {}
        date, trust, value = (names.index(n) for n in ("date", "do_predict", label))
        return {row[date]: row[value] for row in answer["data"] if row[trust] == 1}

    def stop_in_order(self, seconds: float = 60) -> None:
        """Send what Ctrl-C sends; fail unless Freqtrade cleans up and ends as it does by hand."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(seconds) == INTERRUPTED, self.tail()
        log = self.log.read_text()
        assert "Cleaning up modules" in log
        assert "Traceback" not in log, self.tail(100)

    def tail(self, lines: int = 40) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Kill what is left."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def outlive(processes: Sequence[psutil.Process], seconds: float = 5) -> list[psutil.Process]:
    """Return the processes that still run after so long; a zombie does not."""
    left = list(processes)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if _runs(process)]
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
