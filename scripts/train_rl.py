#!/usr/bin/env python
"""Train policies on the frames and windows of `freqtrade backtesting`, and trade what they say.

Several policies and seeds at once, walk-forward; out of sample by the accounting that reproduces
Freqtrade's backtest, beside a trend rule, buy and hold and, on request, FreqAI's own learner.
Writes policies.json and policies.html.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from freqtrade.exceptions import OperationalException
from rich.console import Console
from rich.table import Column, Table

from agent_market.bridge import read_config, settings_of
from agent_market.evaluation.rl import run_policies, write_policy_page
from agent_market.evaluation.rl.freqai_learner import LEARNER, learner_signals
from agent_market.evaluation.rl.logs import write_logs
from agent_market.evaluation.training import (
    DEFAULT_COST_BPS,
    local_processes,
    progress_bars,
)
from agent_market.flow.command_line import run
from agent_market.flow.options import (
    ConfigOption,
    DatadirOption,
    StrategyOption,
    TimerangeOption,
    UserdirOption,
)
from agent_market.flow.policy_experiment import ADAPTERS, policy_experiment
from agent_market.store import write_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()


@app.command()
def train(
    config: ConfigOption = None,
    timerange: TimerangeOption = None,
    datadir: DatadirOption = None,
    userdir: UserdirOption = None,
    strategy: StrategyOption = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("-p", "--policy", help=f"Of {', '.join(ADAPTERS)}; repeatable. [all]"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train each policy with seeds 1 to N.", min=1)] = 3,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one thread each. [one a core]", min=1)
    ] = None,
    cost_bps: Annotated[
        float, typer.Option(help="Fee and slippage of a fill, in training and after.", min=0)
    ] = DEFAULT_COST_BPS,
    freqai_learner: Annotated[
        int,
        typer.Option(metavar="CYCLES", help="Also FreqAI's own learner, so many passes.", min=0),
    ] = 0,
    tensorboard: Annotated[bool, typer.Option(help="Write logs for TensorBoard.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder. [policies, below agent_market.state_dir]")
    ] = None,
) -> None:
    """Train, trade, and write policies.json and policies.html."""
    files = config or [Path("config.json"), Path("config.rl.json")]
    words = {
        "timerange": timerange,
        "datadir": datadir,
        "user_data_dir": userdir,
        "strategy": strategy,
    }
    settings = read_config(files, words)
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    own = settings_of(settings)
    experiment = policy_experiment(settings, policy or list(ADAPTERS), seeds, cost_bps)
    folder = output or Path(own.state_dir) / "policies"
    if freqai_learner:
        signals = learner_signals(
            experiment.plans, files, settings, folder / "freqai_learner", freqai_learner
        )
        name = f"{LEARNER}, {freqai_learner} cycles"
        experiment = replace(experiment, further={name: signals})
    execute = local_processes(workers or own.learning.workers or os.cpu_count() or 1)
    logs = folder / "tensorboard" if tensorboard else None
    with progress_bars() as on_progress:
        summary = run_policies(experiment, execute, on_progress, logs)
    write_json(folder / "policies.json", summary)
    write_policy_page(summary, settings, folder / "policies.html")
    if logs is not None:
        write_logs(summary, logs)
        print(f"Logs: tensorboard --logdir {logs}")  # noqa: T201
    _show(summary)
    print(f"Figures: {folder / 'policies.json'}\nReport: {folder / 'policies.html'}")  # noqa: T201


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    run(partial(app, list(arguments)), OperationalException)


def _show(summary: Mapping[str, Any]) -> None:
    headings = ("policy", "net %", "Sharpe", "95 %", "drawdown %", "trades", "exposure %")
    table = Table(*[Column(heading, no_wrap=True) for heading in headings], box=None)
    for row in summary["rows"]:
        net = row["strategy"]["net"]
        table.add_row(
            row["name"],
            _figure(net["return_percent"]),
            _figure(net["sharpe"]),
            " .. ".join(map(_figure, net["sharpe_interval_95"])),
            _figure(net["max_drawdown_percent"]),
            str(row["trades"]),
            _figure(100 * row["exposure"], 0),
        )
        for reason in row.get("not_trained", []):
            console.print(f"warning: a window was not trained: {reason}", markup=False)
    console.print(table)


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main(sys.argv[1:])
