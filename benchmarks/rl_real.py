"""Train the four policies over FreqAI's windows of real futures candles; compare, losses included.

BTC, ETH and LTC perpetuals at 5 minutes, 30 days to learn from, 28 days traded, four windows,
three seeds. Settings are the defaults of `config.rl.json`: six basis points a side, and a policy
stays flat where its validation rows do not speak for it. `exact` and `imitation` also run without
that gate. Beside them a trend rule, buy and hold, and on request FreqAI's own learner. Writes
`benchmarks/results/rl_real.json` and prints the table of docs/rl-trading.md.

    python benchmarks/rl_real.py --data DIRECTORY

It takes an hour and more. With `--keep FOLDER` each window that was trained is kept there, and a
second call goes on where the first was stopped; empty the folder after a change of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import joblib

from agent_market.bridge import load_plans, model_spec, read_config
from agent_market.bridge.trade_positions import price_path, trading_rules
from agent_market.evaluation.rl import PolicyExperiment, run_policies
from agent_market.evaluation.rl.freqai_learner import LEARNER, learner_signals
from agent_market.evaluation.training import installed_versions, local_processes
from agent_market.evaluation.training.runner import Execute
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_tasks import WindowOutcome, WindowTask
from agent_market.rl.adapters import POLICY_ADAPTERS
from agent_market.store import write_json

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = "futures_2023_24"
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT")
TIMERANGE, TRAIN_DAYS, TRADED_DAYS = "20240101-20240421", 30, 28
COST_BPS = 6.0
UNGATED = ("exact", "imitation")
_RESULT = Path(__file__).parent / "results" / "rl_real.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timerange", default=TIMERANGE)
    parser.add_argument("--freqai-cycles", type=int, default=0, help="of FreqAI's learner; 0: none")
    parser.add_argument("--policies", nargs="+", help="of the table; all by default")
    parser.add_argument("--keep", type=Path, help="folder for what was trained")
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rl_real_") as folder:
        for result in measure(asked, (asked.keep or Path(folder)).resolve()):
            write_json(asked.output, result)  # what is done is kept if the rest takes too long
    for line in lines(result):
        print(line)
    print(f"written to {asked.output}")


def measure(asked: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the figures of the rules and of all policies up to each one."""
    datadir = (asked.data / FOLDER).resolve()
    sys.path.insert(0, str(PROJECT / "strategies"))
    windows = folder / "windows"
    windows.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(settings(folder)))
    config = read_config([path], {"timerange": asked.timerange, "datadir": datadir})
    started = time.monotonic()
    (plans,) = load_plans(config).values()
    further = {}
    if asked.freqai_cycles:
        learner = learner_signals(plans, [path], config, folder / "learner", asked.freqai_cycles)
        further[f"{LEARNER}, {asked.freqai_cycles} cycles, one seed"] = learner
    whole = PolicyExperiment(
        plans=plans,
        paths={plan.pair: price_path(config, plan) for plan in plans},
        policies={},
        seeds=range(1, asked.seeds + 1),
        rules=trading_rules(config, fee=COST_BPS / 1e4, slippage=0.0, leverage=1.0),
        timeframe=config["timeframe"],
        further=further,
        versions=installed_versions(),
    )
    print(f"loaded in {time.monotonic() - started:.0f} s", flush=True)

    def progress(stage: str, done: int, total: int | None) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {stage} {done}/{total}", flush=True)

    rows: list[dict[str, Any]] = []
    known = specs(config, plans[0].horizon_candles)
    for name in asked.policies or known:
        print(name, flush=True)
        experiment = replace(whole, policies={name: known[name]})
        seconds: list[float] = []
        execute = timed(kept(local_processes(asked.workers), windows), seconds)
        found = compact(run_policies(experiment, execute, progress))
        own, *rules = found["rows"]
        rows.append(own | {"fit_seconds": seconds})
        found["experiment"]["policies"] = [row["name"] for row in rows]
        yield found | {
            "rows": [*rows, *rules],
            "timerange": asked.timerange,
            "wall_seconds": round(time.monotonic() - started),
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "train_days": TRAIN_DAYS,
            "traded_days": TRADED_DAYS,
        }


def kept(execute: Execute, folder: Path) -> Execute:
    """Return an executor that writes every outcome, and reads those that are written already."""

    def run(tasks: Sequence[WindowTask]) -> Iterator[WindowOutcome]:
        files = {task.key: folder / f"{task.key.replace('/', '_')}.joblib" for task in tasks}
        yield from (joblib.load(files[task.key]) for task in tasks if files[task.key].exists())
        for outcome in execute([task for task in tasks if not files[task.key].exists()]):
            joblib.dump(outcome, files[outcome.key].with_suffix(".part"))
            files[outcome.key].with_suffix(".part").rename(files[outcome.key])
            yield outcome

    return run


def timed(execute: Execute, seconds: list[float]) -> Execute:
    """Return an executor that notes how long each fit took."""

    def run(tasks: Sequence[WindowTask]) -> Iterator[WindowOutcome]:
        for outcome in execute(tasks):
            if outcome.report is not None:
                seconds.append(round(outcome.report.fit_seconds, 2))
            yield outcome

    return run


def specs(config: Mapping[str, Any], horizon: int) -> dict[str, ModelSpec]:
    """Return the models by name, those without the gate last."""
    own = {
        adapter.policy_type.name: model_spec(config, adapter.name, horizon)
        for adapter in POLICY_ADAPTERS
    }
    for name in UNGATED:
        params = {**own[name].params, "least_valid_t": -1e9}
        own[f"{name}, no gate"] = model_spec(config, own[name].adapter, horizon, params=params)
    return own


def compact(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without daily curves."""

    def without_days(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without_days(each) for name, each in value.items() if name != "daily"}
        return [without_days(each) for each in value] if isinstance(value, list) else value

    kept: dict[str, Any] = without_days(dict(result))
    return kept


def settings(folder: Path) -> dict[str, Any]:
    """Return the project's configuration, with that of policies over it."""
    config: dict[str, Any] = json.loads((PROJECT / "config.json").read_text())
    overlay = json.loads((PROJECT / "config.rl.json").read_text())
    for key in ("add_config_files", "api_server"):
        config.pop(key)
    freqai = config.pop("freqai")
    for name, value in overlay.pop("freqai").items():
        freqai[name] = {**freqai[name], **value} if isinstance(value, dict) else value
    freqai["model_training_parameters"].pop("seed")
    freqai |= {"train_period_days": TRAIN_DAYS, "backtest_period_days": TRADED_DAYS}
    config["exchange"]["pair_whitelist"] = list(PAIRS)
    config["agent_market"]["state_dir"] = str(folder / "state")
    return {
        **config,
        **overlay,
        "freqai": freqai,
        "user_data_dir": str(folder),
        "strategy_path": str(PROJECT / "strategies"),
        "freqaimodel_path": str(PROJECT / "freqaimodels"),
    }


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table."""
    found = [
        (
            "| | net return | Sharpe [95 %] | Sortino | drawdown | trades | losses in a row | "
            "exposure | turnover a day | windows traded | fit |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        net = row["strategy"]["net"]
        seeds = [each["strategy"]["net"]["return_percent"] for each in row.get("seeds", [])]
        spread = f" ({min(seeds):+.2f} to {max(seeds):+.2f})" if seeds else ""
        windows = f"{row['windows_traded']} of {row['n_windows']}" if seeds else ""
        fit = f"{statistics.median(row['fit_seconds']):.1f} s" if seeds else ""
        low, high = net["sharpe_interval_95"]
        interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
        found.append(
            f"| {row['name']} | {net['return_percent']:+.2f} %{spread} | "
            f"{_figure(net['sharpe'])}{interval} | {_figure(row['sortino'])} | "
            f"{net['max_drawdown_percent']:.2f} % | {row['trades']:,} | "
            f"{row['longest_losing_streak']} | {100 * row['exposure']:.0f} % | "
            f"{row['strategy']['turnover_per_day']:.2f} | {windows} | {fit} |"
        )
    return found


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
