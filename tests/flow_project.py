"""A small project in a temporary directory: candles, configuration, and the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.flow.configuration import deep_merge
from agent_market.market.candles import write_candles

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT = PROJECT / "scripts" / "agent_flow.py"
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
START, DAYS = "2024-01-01", 8
TIMERANGE = "20240105-20240107"


class FlowProject:
    """Configuration, candles, copies of the strategy and the model, and the state of runs."""

    def __init__(self, root: Path, **overlay: Any) -> None:
        self.root = root
        self.state_dir = root / "state"
        self.datadir = root / "data"
        self.summary_path = root / "latest.json"
        root.mkdir(parents=True, exist_ok=True)
        for folder in ("strategies", "freqaimodels"):
            shutil.copytree(
                PROJECT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        self.config = self._config()
        self.change(overlay)

    def change(self, overlay: dict[str, Any]) -> None:
        """Lay `overlay` over the configuration file."""
        self.config = deep_merge(self.config, overlay)
        (self.root / "config.json").write_text(json.dumps(self.config))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPT), *arguments, "-c", str(self.root / "config.json")]

    def flow(self, *arguments: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """Run `agent_flow` to its end."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=PROJECT,
            env=environment(),
            check=False,
        )

    def start(self, *arguments: str, script: Path = SCRIPT) -> subprocess.Popen[bytes]:
        """Start `agent_flow` and leave it running."""
        command = self.command(*arguments)
        command[1] = str(script)
        output = (self.root / "output.txt").open("ab")
        with output:
            return subprocess.Popen(
                command, stdout=output, stderr=output, cwd=PROJECT, env=environment()
            )

    def runs(self) -> list[Path]:
        return sorted(self.state_dir.glob("runs/*"))

    def record(self, run: int = -1) -> dict[str, Any]:
        """Return the record of a run, by default of the newest."""
        record: dict[str, Any] = json.loads((self.runs()[run] / "run.json").read_text())
        return record

    def steps(self, run: int = -1) -> dict[str, dict[str, Any]]:
        return {step["name"]: step for step in self.record(run)["steps"]}

    def states(self, run: int = -1) -> dict[str, str]:
        return {name: step["state"] for name, step in self.steps(run).items()}

    def _config(self) -> dict[str, Any]:
        return {
            "dry_run": True,
            "dry_run_wallet": 10000,
            "trading_mode": "futures",
            "margin_mode": "isolated",
            "stake_currency": "USDT",
            "stake_amount": "unlimited",
            "max_open_trades": 2,
            "timeframe": "5m",
            "timerange": TIMERANGE,
            "strategy": "HybridMultiMode",
            "strategy_path": str(self.root / "strategies"),
            "freqaimodel": "CatboostRegressor",
            "freqaimodel_path": str(self.root / "freqaimodels"),
            "user_data_dir": str(self.root / "user_data"),
            "entry_pricing": {"price_side": "other", "use_order_book": True},
            "exit_pricing": {"price_side": "other", "use_order_book": True},
            "exchange": {
                "name": "binance",
                "key": "a-key",
                "secret": "a-secret",
                "pair_whitelist": list(PAIRS),
                "only_from_ccxt": True,
            },
            "pairlists": [{"method": "StaticPairList"}],
            "freqai": {
                "enabled": True,
                "identifier": "small",
                "train_period_days": 2,
                "backtest_period_days": 1,
                "activate_tensorboard": False,
                "feature_parameters": {
                    "include_timeframes": ["5m"],
                    "include_corr_pairlist": ["BTC/USDT:USDT"],
                    "include_shifted_candles": 0,
                    "indicator_periods_candles": [12],
                    "label_period_candles": 12,
                    "shuffle_after_split": False,
                },
                "data_split_parameters": {"test_size": 0.15, "shuffle": False},
                "model_training_parameters": {
                    "iterations": 20,
                    "depth": 3,
                    "random_seed": 7,
                    "thread_count": 1,
                },
            },
            "agent_market": {
                "state_dir": str(self.state_dir),
                "market": {"source": "directory", "datadir": str(self.datadir)},
                "flow": {"summary_path": str(self.summary_path)},
            },
        }


def environment() -> dict[str, str]:
    """Return the environment of a child: one thread, and a wide terminal."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def write_small_market(datadir: Path, seed: int = 7) -> None:
    """Write random-walk candles of two pairs with their funding and mark files."""
    random = np.random.default_rng(seed)
    dates = pd.date_range(START, periods=DAYS * 288, freq="5min", tz="UTC")
    for number, pair in enumerate(PAIRS):
        steps = random.normal(0.0, 0.002, len(dates))
        close = 100.0 * (number + 1) * np.exp(np.cumsum(steps))
        candles = pd.DataFrame({"date": dates, "open": np.roll(close, 1), "close": close})
        candles.loc[0, "open"] = close[0]
        candles["high"] = candles[["open", "close"]].max(axis=1) * 1.0005
        candles["low"] = candles[["open", "close"]].min(axis=1) * 0.9995
        candles["volume"] = random.lognormal(3.0, 1.0, len(dates))
        write_candles(datadir, pair, "5m", "futures", candles)
        periodic = candles.iloc[::96]
        write_candles(datadir, pair, "1h", "mark", periodic)
        funding = periodic.assign(open=0.0001, high=0.0, low=0.0, close=0.0, volume=0.0)
        write_candles(datadir, pair, "1h", "funding_rate", funding)
