"""Score every model of ours, and FreqAI's own, on real candles, losses included.

Two data sets: USDT-M futures and spot. Ours run on FreqAI's windows through the training pipeline,
whose predictions equal those of `freqtrade backtesting`; FreqAI's own run in a real
`freqtrade backtesting` process. Same pairs, features, windows and scores. Parameters are each
model's defaults, but for the number of rounds of the boosted trees. Writes
`benchmarks/results/real_models.json` and prints the table of docs/model-skill.md.

    python benchmarks/real_models.py --data DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from agent_market.bridge import load_plans, model_spec, read_config
from agent_market.evaluation.training.runner import (
    Candidate,
    PairPredictions,
    candidate_tasks,
    run_candidates,
)
from agent_market.evaluation.training.scores import score_label
from agent_market.learning.labels import QuantileClass
from agent_market.learning.window_plan import PairPlan
from agent_market.learning.window_tasks import run_windows
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.store import write_json

PROJECT = Path(__file__).resolve().parents[1]
HORIZON, COST_BPS, SEED = 12, 6.0, 7
_TREES = {"n_estimators": 300, "learning_rate": 0.03}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "FastLightGBMRegressor": ("lightgbm_regressor", _TREES),
    "FastXGBoostRegressor": ("xgboost_regressor", _TREES),
    "CatboostRegressor": ("catboost_regressor", {"iterations": 300}),
    "StackingRegressor": ("stacking_regressor", {}),
    "MLPRegressor": ("mlp_regressor", {}),
    "LSTMRegressor": ("lstm_regressor", {}),
    "TCNRegressor": ("tcn_regressor", {}),
    "TransformerRegressor": ("transformer_regressor", {}),
    "ridge (adapter)": ("linear_regressor", {"imputer": "median"}),
}
CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "FastLightGBMClassifier": ("lightgbm_classifier", _TREES),
    "CatboostClassifier": ("catboost_classifier", {"iterations": 300}),
}
BUILT_IN = {
    "LightGBMRegressor (FreqAI)": ("LightGBMRegressor", _TREES | {"random_state": SEED}),
    "XGBoostRegressor (FreqAI)": ("XGBoostRegressor", _TREES | {"random_state": SEED}),
}
PANEL = "PanelLightGBMRegressor"
_RESULT = Path(__file__).parent / "results" / "real_models.json"


@dataclass(frozen=True)
class Market:
    """One data set, and what is backtested on it."""

    folder: str
    pairs: tuple[str, ...]
    timerange: str
    mode: str


MARKETS = (
    Market(
        "futures_2023_24",
        ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT"),
        "20240101-20240408",
        "futures",
    ),
    Market("spot_2024", ("BTC/USDT", "ETH/USDT", "SOL/USDT"), "20240301-20240510", "spot"),
)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default="", help="names of models, comma separated")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    rows = []
    for market in MARKETS:
        folder = Path(tempfile.mkdtemp(prefix="real_models_"))
        try:
            for row in measure(market, options, folder):
                print(describe(row), flush=True)
                rows.append(row)
        finally:
            shutil.rmtree(folder)
    write_json(_RESULT, {"horizon_candles": HORIZON, "cost_bps": COST_BPS, "rows": rows})
    print(f"written to {_RESULT}")


def measure(market: Market, options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one row a model."""
    data, workers = options.data.resolve(), options.workers
    config = configured(market, data, folder)
    plans = load_plans(config)[HORIZON]
    classes = [with_classes(plan) for plan in plans]
    asked = options.only.split(",") if options.only else [*OURS, PANEL, *CLASSIFIERS, *BUILT_IN]
    for name in asked:
        if name == PANEL:
            yield panel(market, plans, config, folder, workers)
        elif name in BUILT_IN:
            yield built_in(market, name, *BUILT_IN[name], plans, data, folder)
        else:
            adapter, params = (OURS | CLASSIFIERS)[name]
            labeled = classes if name in CLASSIFIERS else plans
            yield ours(market, name, adapter, params, labeled, config, folder, workers)


def ours(
    market: Market,
    name: str,
    adapter: str,
    params: Mapping[str, Any],
    plans: Sequence[PairPlan],
    config: Mapping[str, Any],
    folder: Path,
    workers: int,
) -> dict[str, Any]:
    """Train a model of ours on every window; return its row."""
    spec = model_spec(config, adapter, HORIZON, params=params)
    candidate = Candidate(name, HORIZON, spec)
    models = folder / "models" / adapter
    by_horizon = {HORIZON: list(plans)}
    tasks = [
        replace(task, save_to=models / str(number))
        for number, task in enumerate(candidate_tasks(candidate, by_horizon))
    ]
    started = time.monotonic()
    found = run_candidates([candidate], by_horizon, lambda _: run_windows(tasks, workers))[
        candidate.key
    ]
    wall = time.monotonic() - started
    reports = [
        outcome.report
        for entry in found
        for outcome in entry.outcomes.values()
        if outcome.report is not None
    ]
    return row_of(
        market,
        name,
        found,
        statistics.median(report.fit_seconds for report in reports),
        wall / len(tasks),
        size_of(models) / len(tasks),
    )


def panel(
    market: Market,
    plans: Sequence[PairPlan],
    config: Mapping[str, Any],
    folder: Path,
    workers: int,
) -> dict[str, Any]:
    """Train one model for all pairs on every window; return its row."""
    spec = model_spec(config, "lightgbm_regressor", HORIZON, params=_TREES)
    alike = load_plans(config, panel=True)[HORIZON]
    models = folder / "models" / "panel"
    tasks = []
    for number, windows in enumerate(zip(*(plan.windows for plan in alike), strict=True)):
        series = tuple(plan.series(window) for plan, window in zip(alike, windows, strict=True))
        first = alike[0].task(windows[0], spec, models / str(number))
        tasks.append(replace(first, series=series, key=str(windows[0].trained_at)))
    started = time.monotonic()
    outcomes = {int(outcome.key): outcome for outcome in run_windows(tasks, workers)}
    wall = time.monotonic() - started
    found = []
    for plan in plans:
        own = {at: outcome.predictions[plan.pair] for at, outcome in outcomes.items()}
        found.append(PairPredictions(plan, stored(plan, own), outcomes))
    seconds = [outcome.report.fit_seconds for outcome in outcomes.values() if outcome.report]
    n_windows = len(tasks) * len(alike)
    return row_of(
        market,
        PANEL,
        found,
        statistics.median(seconds) / len(alike),
        wall / n_windows,
        size_of(models) / n_windows,
    )


def stored(plan: PairPlan, by_window: Mapping[int, Any]) -> pd.DataFrame:
    """Return predictions by window as the training pipeline lays them out."""
    parts = []
    for window in plan.windows:
        rows = range(*window.predict)
        prediction = by_window[window.trained_at]
        parts.append(
            pd.DataFrame(
                {
                    "date": plan.candles["date"].array[rows],
                    "candle": plan.table.index[window.predict[0] : window.predict[1]],
                    "trained_at": window.trained_at,
                    **prediction.outputs,
                    "trusted": prediction.trusted,
                },
                index=list(rows),
            )
        )
    return pd.concat(parts)


def with_classes(plan: PairPlan) -> PairPlan:
    """Return the plan with the terciles of the return as classes, cut by the past alone."""
    label = QuantileClass(horizon_candles=HORIZON)
    classes = label.compute(plan.candles)
    column = classes.to_frame() if isinstance(classes, pd.Series) else classes
    objects = column.astype(object)
    labels = objects.where(objects.notna(), None).to_numpy(dtype=object)
    return replace(plan, labels=labels, label_names=tuple(map(str, column.columns)))


def built_in(
    market: Market,
    name: str,
    model: str,
    params: Mapping[str, Any],
    plans: Sequence[PairPlan],
    data: Path,
    folder: Path,
) -> dict[str, Any]:
    """Backtest a model of FreqAI in a real process; return its row."""
    with launch_replay(data / market.folder) as replay:
        config = settings(market, data, folder / model, dict(params))
        overlay = ccxt_overlay(replay.url)
        config["exchange"] = overlay.pop("exchange") | config["exchange"]
        path = folder / model / "config.json"
        path.write_text(json.dumps(config | overlay))
        command = ["backtesting", "-c", str(path), "--freqaimodel", model, "--cache", "none"]
        command += ["--datadir", str(data / market.folder), "--timerange", market.timerange]
        started = time.monotonic()
        process = subprocess.run(
            [sys.executable, "-m", "freqtrade", *command],
            cwd=PROJECT,
            env=os.environ | {"COLUMNS": "400", "PYTHONPATH": str(PROJECT / "strategies")},
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.monotonic() - started
    if process.returncode:
        raise SystemExit(process.stderr[-3000:])
    found, n_windows = [], 0
    models = folder / model / "models" / "real"
    for plan in plans:
        coin = plan.pair.split("/")[0].lower()
        parts = []
        for file in sorted(models.glob(f"backtesting_predictions/cb_{coin}_*.feather")):
            frame = pd.read_feather(file).assign(trained_at=int(file.stem.split("_")[2]))
            parts.append(frame)
        n_windows += len(parts)
        frame = pd.concat(parts)
        frame["trusted"] = frame["do_predict"] == 1
        rows = pd.Series(range(len(plan.candles)), index=plan.candles["date"])
        frame.index = pd.Index(rows.reindex(frame["date"]).to_numpy())
        frame["candle"] = plan.table.index[frame.index.to_numpy()]
        found.append(PairPredictions(plan, frame, {}))
    fits = [float(text) for text in re.findall(r"Done training .* \((\S+) secs\)", process.stderr)]
    size = size_of(models) / n_windows
    return row_of(market, name, found, statistics.median(fits), wall / n_windows, size)


def row_of(
    market: Market,
    name: str,
    found: Sequence[PairPredictions],
    fit_seconds: float,
    wall_seconds: float,
    size: float,
) -> dict[str, Any]:
    """Return the figures of one model."""
    scores = score_label(found, found[0].plan.label_names[0], COST_BPS, SEED)
    overall = scores["overall"]
    strategy = overall["strategy"]
    return {
        "market": market.folder,
        "model": name,
        "windows": sum(len(entry.plan.windows) for entry in found),
        "ic": round(overall["ic"], 4),
        "ic_interval_95": [round(bound, 4) for bound in overall["ic_interval_95"]],
        "rank_ic": round(overall["rank_ic"], 4),
        "net": {key: value for key, value in strategy["net"].items() if key != "daily"},
        "turnover_per_day": strategy["turnover_per_day"],
        "fit_seconds": round(fit_seconds, 2),
        "wall_seconds_a_window": round(wall_seconds, 2),
        "kib_a_window": round(size / 1024, 1),
    }


def settings(market: Market, data: Path, folder: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a backtest, and write the strategy it names."""
    folder.mkdir(parents=True, exist_ok=True)
    can_short = market.mode == "futures"
    (folder / "strategies").mkdir(exist_ok=True)
    (folder / "strategies" / "Compared.py").write_text(
        "from HybridMultiMode import HybridMultiMode\n\n\n"
        f"class Compared(HybridMultiMode):\n    can_short = {can_short}\n"
    )
    config = json.loads((PROJECT / "config.json").read_text())
    for key in ("add_config_files", "api_server"):
        config.pop(key)
    config |= {
        "trading_mode": market.mode,
        "margin_mode": "isolated" if can_short else "",
        "user_data_dir": str(folder),
        "strategy": "Compared",
        "strategy_path": str(folder / "strategies"),
        "freqaimodel_path": str(PROJECT / "freqaimodels"),
    }
    config["exchange"]["pair_whitelist"] = list(market.pairs)
    config["freqai"] |= {
        "identifier": "real",
        "backtest_period_days": 14,
        "save_backtest_models": True,
        "model_training_parameters": params,
    }
    config["freqai"]["feature_parameters"]["include_corr_pairlist"] = list(market.pairs[:2])
    config["agent_market"]["state_dir"] = str(folder / "state")
    return config


def configured(market: Market, data: Path, folder: Path) -> dict[str, Any]:
    """Return the configuration as Freqtrade reads it."""
    sys.path.insert(0, str(PROJECT / "strategies"))
    path = folder / "config.json"
    path.write_text(json.dumps(settings(market, data, folder, {})))
    return read_config([path], {"timerange": market.timerange, "datadir": data / market.folder})


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def describe(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    low, high = row["ic_interval_95"]
    return (
        f"| {row['market']} | {row['model']} | {row['ic']:.3f} [{low:.3f}, {high:.3f}] | "
        f"{row['net']['sharpe']:.2f} | {row['fit_seconds']:.2f} | "
        f"{row['kib_a_window']:,.0f} |"
    )


if __name__ == "__main__":
    main()
