"""What prediction, bias and event mode add to the rules, on real futures candles.

Real `freqtrade backtesting` processes over the same days, each variant with one thing more than
the one before: rules without a model, predictions, a bias of a second model, event mode around
scheduled releases. The models are trained walk-forward, once for all variants. Beside them, every
mode without predictions. Differences of daily returns come with paired block-bootstrap intervals,
also at other costs. Writes `benchmarks/results/decisions.json` and prints the tables of
docs/ablation.md.

    python benchmarks/decisions.py --data DIRECTORY --keep FOLDER

Each variant that is done is kept in the folder, and a second call goes on where the first was
stopped; empty it after a change of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd

from agent_market.decisions.advice import record_advice
from agent_market.decisions.event_mode import EventMode
from agent_market.decisions.policy_bias import biases_of, view_of_predictions
from agent_market.evaluation import read_backtest_result
from agent_market.evaluation.gates import Comparison, compare
from agent_market.evaluation.metrics import sharpe_interval, sharpe_ratio
from agent_market.evaluation.summary import plain_values
from agent_market.evaluation.trade_breakdown import breakdown, modes, trade_figures
from agent_market.features.macro_events import SCHEDULES, release_times
from agent_market.flow.configuration import deep_merge
from agent_market.flow.release import read_evidence
from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.settings import BiasSettings
from agent_market.store import write_json

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = "futures_2023_24"
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT")
TIMERANGE = "20231101-20240501"
MODEL, STRATEGY, RULES = "CatboostRegressor", "HybridMultiMode", "HybridRulesOnly"
BIAS_MODEL, BIAS_CANDLES = "FastLightGBMRegressor", 48
LABEL = "&-forward_return"
BEFORE, AFTER = timedelta(minutes=60), timedelta(minutes=120)
LAST_OF_HOUR = 55  # minute at which an hour's last candle opens
SEED = 7
_RESULT = Path(__file__).parent / "results" / "decisions.json"


class Variant(NamedTuple):
    """One backtest: its strategy, and what its configuration has over the project's."""

    name: str
    strategy: str
    overlay: Mapping[str, Any]


def variants(folder: Path) -> list[Variant]:
    """Return the ladder, and at its end the rules of every mode without predictions."""
    bias = {"agent_market": {"bias": {"history": str(folder / "bias.jsonl")}}}
    event = {"agent_market": {"event_mode": {"history": str(folder / "event_mode.jsonl")}}}
    named = ("trend", "mean_reversion", "breakout", "squeeze", "event", "defensive")
    alone = {"levels": ["rules"], "needs_prediction": False}
    without = {"agent_market": {"modes": dict.fromkeys(named, alone)}}
    return [
        Variant("AI off", RULES, {}),
        Variant("prediction", STRATEGY, {}),
        Variant("prediction, bias", STRATEGY, bias),
        Variant("prediction, bias, event mode", STRATEGY, deep_merge(bias, event)),
        Variant("AI off, every mode", RULES, without),
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--timerange", default=TIMERANGE)
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="folder for what is done")
    parser.add_argument("--output", type=Path, default=_RESULT)
    asked = parser.parse_args()
    datadir = (asked.data / FOLDER).resolve()
    with tempfile.TemporaryDirectory(prefix="decisions_") as own:
        folder = (asked.keep or Path(own)).resolve()
        place = Place(folder, datadir, asked.timerange, asked.pairs, asked.workers)
        done: dict[str, Path] = {}
        with launch_replay(datadir) as replay:
            for name, path in run_all(place, replay.url):
                done[name] = path
                result = plain_values(describe(done, asked))
                write_json(asked.output, result)  # what is done is kept if the rest takes too long
    for line in lines(result):
        print(line)
    print(f"written to {asked.output}")


class Place(NamedTuple):
    """Where the backtests run, over which candles."""

    folder: Path
    datadir: Path
    timerange: str
    pairs: list[str]
    workers: int = 1

    def backtest(self, variant: Variant, url: str, model: str = MODEL) -> Path:
        """Return the exported result of a `freqtrade backtesting` process, run unless it is there.

        Raises
        ------
        SystemExit
            It failed; its output is the message.
        """
        results = self.folder / variant.name.replace(", ", "_").replace(" ", "_")
        pointer = results / ".last_result.json"
        if not pointer.is_file():
            results.mkdir(parents=True, exist_ok=True)
            config = results / "config.json"
            config.write_text(json.dumps(self._config(variant, url), indent=2))
            started = time.monotonic()
            self._run(variant, config, results, model)
            print(f"{variant.name}: {time.monotonic() - started:.0f} s", flush=True)
        return results / str(json.loads(pointer.read_text())["latest_backtest"])

    def _run(self, variant: Variant, config: Path, results: Path, model: str) -> None:
        command = ["backtesting", "-c", str(config), "--userdir", str(self.folder)]
        command += ["--datadir", str(self.datadir), "--timerange", self.timerange]
        command += ["--strategy", variant.strategy, "--freqaimodel", model]
        command += ["--export", "trades", "--backtest-directory", str(results), "--cache", "none"]
        with (results / "log.txt").open("w") as log:
            process = subprocess.run(
                [sys.executable, "-m", "freqtrade", *command],
                cwd=PROJECT,
                env=os.environ | {"COLUMNS": "400"},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if process.returncode:
            raise SystemExit((results / "log.txt").read_text()[-3000:])

    def _config(self, variant: Variant, url: str) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((PROJECT / "config.json").read_text())
        for key in ("add_config_files", "api_server"):
            config.pop(key)
        config = deep_merge(config, ccxt_overlay(url))
        config["exchange"]["pair_whitelist"] = list(self.pairs)
        config["agent_market"] |= {
            "state_dir": str(self.folder / "state"),
            "learning": {"workers": self.workers},
        }
        own = {
            "freqai": {"identifier": "shared"},
            "freqaimodel_path": str(PROJECT / "freqaimodels"),
        }
        return deep_merge(deep_merge(config, own), variant.overlay)


def run_all(place: Place, url: str) -> Iterator[tuple[str, Path]]:
    """Yield each variant's result."""
    write_bias(place, url)
    write_event_mode(place)
    for variant in variants(place.folder):
        yield variant.name, place.backtest(variant, url)


def write_bias(place: Place, url: str) -> None:
    """Write the biases of a second model, one an hour, each visible from its candle's close on.

    The model predicts `BIAS_CANDLES` ahead; its windows are FreqAI's, so every prediction is of a
    model whose training rows, labels included, end before it.
    """
    target = place.folder / "bias.jsonl"
    if target.exists():
        return
    horizon = {"feature_parameters": {"label_period_candles": BIAS_CANDLES}}
    no_trade = {"max_open_trades": 0}
    freqai = {"freqai": {"identifier": "bias", **horizon}}
    other = Variant("model of the bias", STRATEGY, deep_merge(freqai, no_trade))
    place.backtest(other, url, BIAS_MODEL)
    predictions = stored_predictions(place, "bias")
    predictions = predictions[predictions["date"].dt.minute == LAST_OF_HOUR]
    settings = BiasSettings(lifetime_minutes=65)  # the next one comes in time
    biases = biases_of(view_of_predictions(predictions, settings), BIAS_MODEL, "5m", settings)
    part = target.with_suffix(".part")
    record_advice(part, [(bias.created_at, bias) for bias in biases])
    part.rename(target)


def stored_predictions(place: Place, identifier: str) -> pd.DataFrame:
    """Return `date`, `pair`, `prediction` and `trusted` of every candle that a model predicted."""
    folder = place.folder / "models" / identifier / "backtesting_predictions"
    coins = {pair.split("/")[0].lower(): pair for pair in place.pairs}
    frames = []
    for path in sorted(folder.glob("*.feather")):
        frame = pd.read_feather(path)
        frames.append(
            pd.DataFrame(
                {
                    "date": pd.to_datetime(frame["date"], utc=True),
                    "pair": coins[path.stem.split("_")[1]],
                    "prediction": frame[LABEL].astype(float),
                    "trusted": frame["do_predict"].eq(1),
                }
            )
        )
    return pd.concat(frames).drop_duplicates(["date", "pair"], keep="last", ignore_index=True)


def write_event_mode(place: Place) -> None:
    """Write an event mode around each scheduled release; dates are known long beforehand.

    Half the stake and no mean reversion, from an hour before to two hours after. One choice,
    written down before the runs, and never fitted to them.
    """
    target = place.folder / "event_mode.jsonl"
    if target.exists():
        return
    moments = sorted(
        (moment.to_pydatetime(), kind) for kind in SCHEDULES for moment in release_times(kind)
    )
    events = [
        EventMode(
            id=f"{kind}-{moment:%Y%m%d}",
            created_at=moment - BEFORE,
            expires_at=moment + AFTER,
            reason=f"{kind} release",
            position_multiplier=0.5,
            modes={"mean_reversion": False},
        )
        for moment, kind in moments
    ]
    part = target.with_suffix(".part")
    record_advice(part, [(event.created_at, event) for event in events])
    part.rename(target)


def describe(done: Mapping[str, Path], asked: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each variant, and of each against one that has one thing less."""
    now = pd.Timestamp.now("UTC")
    evidence = {name: read_evidence(path, {}, None, now) for name, path in done.items()}
    off, prediction, bias, event, every = (variant.name for variant in variants(Path()))
    steps = [(off, prediction), (prediction, bias), (bias, event), (off, event)]
    steps.append((every, prediction))
    compared = [pair for pair in steps if set(pair) <= set(done)]
    return {
        "what": f"{FOLDER}, {', '.join(asked.pairs)}, {asked.timerange}, {MODEL}",
        "bias": f"{BIAS_MODEL}, {BIAS_CANDLES} candles ahead",
        "variants": [{"name": name, **figures(path)} for name, path in done.items()],
        "comparisons": [
            {"first": first, "second": second, **plain(found)}
            for first, second in compared
            for found in [compare(evidence[first], evidence[second], SEED)]
        ],
    }


def figures(path: Path) -> dict[str, Any]:
    """Return return, Sharpe ratio and drawdown of a backtest, and its trades by mode."""
    result = read_backtest_result(path, None)
    trades, start = result.trades, result.start.ceil("D")
    days = max(1, (result.end.floor("D") - start) // pd.Timedelta(days=1))
    day = ((trades["close_date"] - start) / pd.Timedelta(days=1)).clip(0, days - 1).astype(int)
    profit = trades["profit_abs"].groupby(day).sum().reindex(range(days), fill_value=0.0)
    equity = result.starting_balance + profit.cumsum()
    returns = (profit / equity.shift(1, fill_value=result.starting_balance)).to_numpy(float)
    low, high = sharpe_interval(returns)
    peak = equity.cummax().clip(lower=result.starting_balance)
    return {
        "net_return_percent": 100 * (float(equity.iloc[-1]) / result.starting_balance - 1),
        "sharpe": sharpe_ratio(returns),
        "sharpe_interval_95": [low, high],
        "max_drawdown_percent": 100 * float((1 - equity / peak).max()),
        **(trade_figures(trades) if len(trades) else {"trades": 0}),
        "by_mode": breakdown(trades, modes(trades), "mode"),
    }


def plain(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values."""
    return asdict(found) | {"start": str(found.start), "end": str(found.end)}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the tables."""
    table = [
        "| | net return | Sharpe [95 %] | drawdown | trades | win rate | fees | funding paid |",
        "|---|---|---|---|---|---|---|---|",
    ]
    table += [_figures_line(row) for row in result["variants"]]
    table += [
        "",
        (
            "| second against first | bps a day [95 %] | at 5 bps slippage | at twice the fees | "
            "Sharpe difference [95 %] |"
        ),
        "|---|---|---|---|---|",
    ]
    for row in result["comparisons"]:
        cases = {(case["fee_multiple"], case["slippage_bps"]): case for case in row["cases"]}
        daily = [_difference(cases[key]) for key in ((1.0, 0.0), (1.0, 5.0), (2.0, 0.0))]
        sharpe = cases[1.0, 0.0]["sharpe_interval"]
        table.append(
            f"| {row['second']} against {row['first']} | {' | '.join(daily)} | "
            f"{cases[1.0, 0.0]['sharpe_difference']:+.2f} [{sharpe[0]:+.2f}, {sharpe[1]:+.2f}] |"
        )
    return table


def _figures_line(row: Mapping[str, Any]) -> str:
    sharpe, won = "n/a", "n/a"
    if row["sharpe"] is not None:
        low, high = row["sharpe_interval_95"]
        sharpe = f"{row['sharpe']:.2f} [{low:.1f}, {high:.1f}]"
    if row["trades"]:
        won = f"{100 * row['win_rate']:.0f} %"
    return (
        f"| {row['name']} | {row['net_return_percent']:+.2f} % | {sharpe} | "
        f"{row['max_drawdown_percent']:.2f} % | {row['trades']} | {won} | "
        f"{row.get('fees_paid', 0.0):.0f} | {row.get('funding_paid', 0.0):.1f} |"
    )


def _difference(case: Mapping[str, Any]) -> str:
    low, high = case["difference_interval"]
    return f"{case['difference_bps']:+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
