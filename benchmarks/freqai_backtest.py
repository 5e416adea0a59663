"""Backtest one configuration with FreqAI's LightGBMRegressor and with FastLightGBMRegressor.

Three pairs of real 5m candles, Freqtrade's own FreqaiExampleStrategy, the same windows and
parameters, each model in a cold folder, the two in turn. Prints the ratio of wall-clock times
(medians), the median information coefficient out of sample, the disk a window takes, how soon a
second run trains, and what is left of the ratio where ours takes LightGBM's own defaults for the
parameters that are not given. Writes `benchmarks/results/freqai_backtest.json`. Budgets: ratio
>= 5, information coefficient not lower, a second run trains in <= 1 s, disk <= 1/20.

    python benchmarks/freqai_backtest.py --datadir DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import freqtrade.templates
import numpy as np
import pandas as pd

from agent_market.market.candles import read_candles
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.store import read_json, write_json

PROJECT = Path(__file__).resolve().parents[1]
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT")
PARAMETERS = {"n_estimators": 400, "learning_rate": 0.02, "random_state": 7}
LIGHTGBM_DEFAULTS = {
    "num_leaves": 31,
    "extra_trees": False,
    "max_bin": 255,
    "feature_fraction": 1.0,
}
RIVAL, OURS = "LightGBMRegressor", "FastLightGBMRegressor"
STRATEGIES = Path(freqtrade.templates.__file__).parent
LABEL, HORIZON = "&-s_close", 12
_RESULT = Path(__file__).parent / "results" / "freqai_backtest.json"


class Run:
    """One backtest in a folder of its own."""

    def __init__(self, folder: Path, options: argparse.Namespace, model: str) -> None:
        self.folder = folder / model
        self.options = options
        self.model = model

    def clear(self) -> None:
        """Forget models, predictions and features."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, url: str, parameters: Mapping[str, Any]) -> tuple[float, str]:
        """Return the seconds of the whole process and its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = json.loads((PROJECT / "config.json").read_text())
        config.pop("add_config_files")
        config.pop("api_server")
        config |= {
            "strategy": "FreqaiExampleStrategy",
            "strategy_path": str(STRATEGIES),
            "freqaimodel_path": str(PROJECT / "freqaimodels"),
        }
        config["freqai"] |= {
            "identifier": "bench",
            "save_backtest_models": True,
            "model_training_parameters": dict(parameters),
        }
        overlay = ccxt_overlay(url)
        config["exchange"] |= overlay.pop("exchange") | {"pair_whitelist": list(PAIRS)}
        config |= overlay
        config["agent_market"]["state_dir"] = str(self.folder / "state")
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        command = ["backtesting", "-c", str(path), "--userdir", str(self.folder)]
        command += ["--datadir", str(self.options.datadir), "--timerange", self.options.timerange]
        command += ["--freqaimodel", self.model, "--cache", "none"]
        started = time.monotonic()
        process = subprocess.run(
            [sys.executable, "-m", "freqtrade", *command],
            cwd=PROJECT,
            env=os.environ | {"COLUMNS": "400"},
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise SystemExit(process.stderr[-3000:])
        return time.monotonic() - started, process.stderr

    def predictions(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Return the stored predictions by pair and window."""
        found = {}
        for pair in PAIRS:
            coin = pair.split("/")[0].lower()
            folder = self.folder / "models" / "bench" / "backtesting_predictions"
            for path in folder.glob(f"cb_{coin}_*_prediction.feather"):
                found[pair, path.stem.split("_")[2]] = pd.read_feather(path)
        return found

    def bytes_per_window(self) -> float:
        """Return what `models/` holds for each prediction file."""
        files = [path for path in (self.folder / "models").rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files) / len(self.predictions())

    def feature_bytes(self) -> int:
        """Return the size of the feature cache."""
        files = (self.folder / "state").rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datadir", type=Path, default=Path("../shared/data/futures_2023_24"))
    parser.add_argument("--timerange", default="20240101-20240401")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--second-run",
        action="store_true",
        help="measure how soon a second run trains alone, and keep the other figures",
    )
    options = parser.parse_args()
    options.datadir = options.datadir.resolve()
    folder = Path(tempfile.mkdtemp(prefix="freqai_backtest_"))
    try:
        with launch_replay(options.datadir) as replay:
            if options.second_run:
                later = until_training(Run(folder, options, OURS), replay.url)
                result = read_json(_RESULT) | {"second_runs_train_after_seconds": later}
            else:
                result = measure(folder, options, replay.url)
    finally:
        shutil.rmtree(folder)
    write_json(_RESULT, result)
    for line in describe(result):
        print(line)
    print(f"written to {_RESULT}")


def measure(folder: Path, options: argparse.Namespace, url: str) -> dict[str, Any]:
    """Run the two models in turn; return every figure."""
    rival, ours = (Run(folder, options, model) for model in (RIVAL, OURS))
    seconds: dict[str, list[float]] = {RIVAL: [], OURS: []}
    for _ in range(options.rounds):
        for run in (rival, ours):
            run.clear()
            taken, _ = run.start(url, PARAMETERS)
            seconds[run.model].append(round(taken, 1))
            print(f"{run.model}: {taken:.1f} s", flush=True)
    scores = compare(rival.predictions(), ours.predictions(), options.datadir)
    disk = {run.model: round(run.bytes_per_window()) for run in (rival, ours)}
    cache = ours.feature_bytes()
    second_runs = until_training(ours, url)
    ours.clear()
    same, _ = ours.start(url, PARAMETERS | LIGHTGBM_DEFAULTS)
    plain_scores = compare(rival.predictions(), ours.predictions(), options.datadir)
    medians = {model: statistics.median(values) for model, values in seconds.items()}
    return {
        "what": f"freqtrade backtesting, {len(PAIRS)} pairs, {options.timerange}, {PARAMETERS}",
        "seconds": seconds,
        "ratio": round(medians[RIVAL] / medians[OURS], 2),
        "with_lightgbm_defaults": {
            "seconds": round(same, 1),
            "ratio": round(medians[RIVAL] / same, 2),
            "median_ic": plain_scores["median_ic"][OURS],
        },
        **scores,
        "bytes_per_window": disk,
        "disk_ratio": round(disk[RIVAL] / disk[OURS], 1),
        "feature_cache_bytes": cache,
        "second_runs_train_after_seconds": second_runs,
        "cores": os.cpu_count(),
    }


def until_training(ours: Run, url: str) -> list[float]:
    """Return how long each further run takes to its first training, once features are stored."""
    if not ours.folder.is_dir():
        ours.start(url, PARAMETERS)
    logs = [  # with another seed the features are there, the models are not
        ours.start(url, PARAMETERS | {"random_state": 8 + number})[1]
        for number in range(ours.options.rounds)
    ]
    return [round(seconds_to_training(log), 2) for log in logs]


def compare(
    rival: dict[tuple[str, str], pd.DataFrame],
    ours: dict[tuple[str, str], pd.DataFrame],
    datadir: Path,
) -> dict[str, Any]:
    """Return the median information coefficient over windows, on the rows that both predict."""
    scores: dict[str, list[float]] = {RIVAL: [], OURS: []}
    for (pair, window), theirs in sorted(rival.items()):
        closes = read_candles(datadir, pair, "5m", "futures").set_index("date")["close"]
        # what the example strategy predicts
        realized = (closes.shift(-HORIZON).rolling(HORIZON).mean() / closes - 1).rename("realized")
        both = theirs.set_index("date")[[LABEL, "do_predict"]].join(
            ours[pair, window].set_index("date")[[LABEL, "do_predict"]],
            suffixes=("", "_ours"),
            how="inner",
        )
        used = both[(both["do_predict"] == 1) & (both["do_predict_ours"] == 1)].join(realized)
        used = used.dropna()
        scores[RIVAL].append(float(np.corrcoef(used[LABEL], used["realized"])[0, 1]))
        scores[OURS].append(float(np.corrcoef(used[f"{LABEL}_ours"], used["realized"])[0, 1]))
    return {
        "n_windows": len(scores[OURS]),
        # a model that says the same of every row has no skill there: 0
        "median_ic": {
            model: round(float(np.median(np.nan_to_num(values))), 4)
            for model, values in scores.items()
        },
        "mean_ic": {
            model: round(float(np.mean(np.nan_to_num(values))), 4)
            for model, values in scores.items()
        },
        "constant_windows": {
            model: int(np.isnan(values).sum()) for model, values in scores.items()
        },
    }


def seconds_to_training(log: str) -> float:
    """Return the time from FreqAI's start to the first window's training."""

    def moment(text: str) -> datetime:
        line = next(line for line in log.splitlines() if text in line)
        return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007

    return (moment("windows to train") - moment("Using resolved freqaimodel")).total_seconds()


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return what to print."""
    second_run = statistics.median(result["second_runs_train_after_seconds"])
    return [
        f"wall clock: ratio {result['ratio']}, budget 5",
        f"with LightGBM's own defaults in place of ours: {result['with_lightgbm_defaults']}",
        f"information coefficient, median of {result['n_windows']} windows: {result['median_ic']}",
        f"information coefficient, mean: {result['mean_ic']}",
        f"disk a window: ratio {result['disk_ratio']}, budget 20, {result['bytes_per_window']}",
        f"feature cache, once: {result['feature_cache_bytes']:,} bytes",
        f"second run: trains after {second_run} s, budget 1 s",
    ]


if __name__ == "__main__":
    main()
