"""Step `backtest`: a real `freqtrade backtesting` process with FreqAI training."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_market.errors import StepFailed
from agent_market.flow.configuration import Config, deep_merge, without_environment
from agent_market.flow.inputs import Inputs, backtest_code, relevant_config
from agent_market.flow.outputs import Manifest
from agent_market.flow.prepare_data import stored_data
from agent_market.flow.processes import failure, run_logged
from agent_market.flow.progress import TrainingLog, training_bar
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.store import read_json, write_json

_MODEL_FILES = ("windows/*.json", "backtesting_predictions/*.feather")


def backtest_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return the code, configuration and data that decide the backtest's result."""
    return Inputs(backtest_code(setup), relevant_config(setup), stored_data(setup))


def run_backtest(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    """Train and backtest afresh; leftovers of an attempt that was killed are removed first.

    Raises
    ------
    StepFailed
        Freqtrade failed, left no result, or FreqAI could train no window.
    """
    results, models = place.folder / "backtest", models_dir(setup, place.key)
    for leftover in (results, models):
        shutil.rmtree(leftover, ignore_errors=True)
    results.mkdir(parents=True)
    setup.user_data_dir.mkdir(parents=True, exist_ok=True)
    log = place.folder / "backtest.log"
    windows = TrainingLog()
    with _market_overlay(setup) as overlay, training_bar(windows) as on_line:
        config_file = place.folder / "freqtrade.json"
        write_json(config_file, _freqtrade_config(setup, place.key, overlay))
        command = _command(setup, config_file, results)
        run_logged(command, log, on_line, without_environment(os.environ))
    if windows.total and len(windows.skipped) >= windows.total:
        cause = f"FreqAI could train none of {windows.total} windows ({windows.skipped[0]})"
        raise StepFailed(failure(cause, log))
    result = _result_file(results, log)
    trained = [path for pattern in _MODEL_FILES for path in sorted(models.glob(pattern))]
    facts = {
        "result": str(result),
        "models": str(models),
        "log": str(log),
        "windows": windows.total,
        "untrained_windows": windows.skipped,
    }
    return StepOutput([result, *trained], facts)


def models_dir(setup: Setup, key: str) -> Path:
    """Return where FreqAI keeps this backtest's models and predictions."""
    return setup.user_data_dir / "models" / identifier(setup, key)


def result_paths(backtest: Manifest) -> tuple[Path, Path]:
    """Return the exported result and the models' folder of a complete backtest."""
    return Path(backtest.facts["result"]), Path(backtest.facts["models"])


def identifier(setup: Setup, key: str) -> str:
    """Return the name under which FreqAI keeps what a step with this key leaves."""
    # FreqAI reuses what it finds under an identifier, so other inputs must have another one.
    return f"{setup.freqai.get('identifier', 'backtest')}-{key[:12]}"


def _freqtrade_config(setup: Setup, key: str, overlay: Config) -> Config:
    config = deep_merge(setup.config, overlay)
    if setup.freqai:
        config = deep_merge(config, {"freqai": {"identifier": identifier(setup, key)}})
    return config


@contextmanager
def _market_overlay(setup: Setup) -> Iterator[Config]:
    if setup.source == "exchange":
        yield {}
        return
    from agent_market.market.replay import ccxt_overlay, launch_replay

    with launch_replay(setup.datadir, clock="as-stored", port=0) as server:
        yield ccxt_overlay(server.url)


def _command(setup: Setup, config_file: Path, results: Path) -> list[str]:
    model = ["--freqaimodel", setup.freqaimodel] if setup.freqaimodel else []
    return [
        *[sys.executable, "-m", "freqtrade", "backtesting", "-c", str(config_file)],
        *["--userdir", str(setup.user_data_dir), "--datadir", str(setup.datadir)],
        *["--strategy", setup.strategy, *model, "--timerange", setup.timerange_text],
        *["--export", "trades", "--backtest-directory", str(results), "--cache", "none"],
        *["--pairs", *setup.pairs],
    ]


def _result_file(results: Path, log: Path) -> Path:
    pointer = results / ".last_result.json"
    if not pointer.is_file():
        raise StepFailed(failure("freqtrade backtesting ended without a result", log))
    return results / str(read_json(pointer)["latest_backtest"])


BACKTEST = Step("backtest", ("data",), backtest_inputs, run_backtest)
