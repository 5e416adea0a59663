#!/usr/bin/env python
"""Train models on the frames, labels and windows of `freqtrade backtesting`, without its engine.

Several models and horizons at once, scored out of sample; optionally each group of features left
out in turn, and parameters searched on purged folds first. Writes training.json and training.html.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from freqtrade.exceptions import OperationalException
from rich.console import Console
from rich.table import Column, Table

from agent_market.bridge import load_plans, offline_specs, read_config, settings_of
from agent_market.evaluation.statement import read_manifest
from agent_market.evaluation.training import (
    DEFAULT_COST_BPS,
    LOCAL,
    Candidate,
    Experiment,
    SearchBudget,
    derived_groups,
    given_groups,
    installed_versions,
    local_processes,
    progress_bars,
    provenance,
    ray_cluster,
    run_experiment,
    write_page,
)
from agent_market.evaluation.training.runner import Execute
from agent_market.flow.command_line import run
from agent_market.flow.options import (
    ConfigOption,
    DatadirOption,
    FreqaimodelOption,
    StrategyOption,
    TimerangeOption,
    UserdirOption,
)
from agent_market.store import write_json

EVERY = "every"
# Options whose value may be left out, and what they mean then.
BARE = {"--ray": LOCAL, "--ablate": EVERY}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()


@app.command()
def train(
    config: ConfigOption = None,
    timerange: TimerangeOption = None,
    datadir: DatadirOption = None,
    userdir: UserdirOption = None,
    strategy: StrategyOption = None,
    freqaimodel: FreqaimodelOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="Model adapter; repeatable. [the freqaimodel's own]"),
    ] = None,
    horizon: Annotated[
        list[int] | None,
        typer.Option(help="label_period_candles; repeatable. [that of the config]", min=1),
    ] = None,
    ablate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=REGEX]",
            help="Train again without each group of features: those of the column names, or the "
            "columns that match; repeatable.",
        ),
    ] = None,
    search: Annotated[
        float | None, typer.Option(help="Search parameters for so many seconds a model.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Search parameters in so many trials a model.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Train on the Ray cluster there, or on one here."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one thread each. [one a core]", min=1)
    ] = None,
    cost_bps: Annotated[
        float, typer.Option(help="Fee and slippage of a fill of the sign strategy.", min=0)
    ] = DEFAULT_COST_BPS,
    output: Annotated[
        Path | None, typer.Option(help="Folder. [training, below agent_market.state_dir]")
    ] = None,
) -> None:
    """Train, score, and write training.json and training.html."""
    budget = None if search is None and trials is None else SearchBudget(search, trials)
    asked = ablate or []
    named = given_groups([text for text in asked if text != EVERY])
    settings = read_config(
        config or [Path("config.json")],
        {
            "timerange": timerange,
            "datadir": datadir,
            "user_data_dir": userdir,
            "strategy": strategy,
            "freqaimodel": freqaimodel,
        },
    )
    # Freqtrade sets up its own logging, and tells every option of every strategy it loads.
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    own = settings_of(settings)
    horizons = horizon or [int(settings["freqai"]["feature_parameters"]["label_period_candles"])]
    specs = offline_specs(settings, model or [], horizons)
    plans = load_plans(settings, horizons=horizons)
    names = plans[horizons[0]][0].table.names
    experiment = Experiment(
        plans=plans,
        candidates=[Candidate(name, candles, spec) for (name, candles), spec in specs.items()],
        timeframe=settings["timeframe"],
        seed=own.learning.seed,
        cost_bps=cost_bps,
        groups=(derived_groups(names) if EVERY in asked else {}) | named,
        search=budget,
        manifest=read_manifest(Path(settings["datadir"])),
        provenance=provenance(settings, chain.from_iterable(plans.values())),
        versions=installed_versions(),
    )
    folder = output or Path(own.state_dir) / "training"
    processes = workers or own.learning.workers or os.cpu_count() or 1
    with _executor(ray, processes) as execute, progress_bars() as on_progress:
        summary = run_experiment(experiment, execute, folder, on_progress)
    write_json(folder / "training.json", summary)
    write_page(summary, settings, folder / "training.html")
    _show(summary)
    print(f"Figures: {folder / 'training.json'}\nReport: {folder / 'training.html'}")  # noqa: T201


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    run(partial(app, _with_values(arguments)), OperationalException)


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Give the options of `BARE` their value where none follows."""
    filled = []
    for place, word in enumerate(arguments):
        filled.append(word)
        follower = arguments[place + 1 : place + 2]
        if word in BARE and (not follower or follower[0].startswith("-")):
            filled.append(BARE[word])
    return filled


def _executor(address: str | None, workers: int) -> AbstractContextManager[Execute]:
    return (
        nullcontext(local_processes(workers)) if address is None else ray_cluster(address, workers)
    )


def _show(summary: Mapping[str, Any]) -> None:
    headings = ("model", "horizon", "IC", "95 %", "R2", "net %", "Sharpe")
    table = Table(*[Column(heading, no_wrap=True) for heading in headings], box=None)
    for model in summary["models"]:
        for label in model["labels"]:
            overall, net = label["overall"], label["overall"]["strategy"]["net"]
            table.add_row(
                model["model"],
                str(model["horizon_candles"]),
                _figure(overall["ic"]),
                " .. ".join(map(_figure, overall["ic_interval_95"])),
                _figure(overall["r2"], 4),
                _figure(net["return_percent"], 2),
                _figure(net["sharpe"], 2),
            )
        for reason in model["not_trained"]:
            console.print(f"warning: a window was not trained: {reason}", markup=False)
    console.print(table)


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main(sys.argv[1:])
