#!/usr/bin/env python
"""Choose the features of a strategy: groups, periods, timeframes and correlated pairs.

Sets are proposed by a seeded search, checked, and scored on folds inside the training rows of the
first window of the time range. The best one is written to freqai_features.json in the user
directory, which HybridMultiMode reads.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from freqtrade.exceptions import OperationalException
from rich.console import Console
from rich.table import Column, Table

from agent_market.bridge import feature_set_path, read_config
from agent_market.features import GROUPS, write_feature_set
from agent_market.flow.command_line import run
from agent_market.flow.options import ConfigOption, DatadirOption, StrategyOption, UserdirOption
from agents.feature_agent import Limits, Outcome, Trial
from agents.feature_choice import PERIODS, SCORER, agent_of, space_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()


@app.command()
def choose(
    config: ConfigOption = None,
    timerange: Annotated[
        str | None, typer.Option(help="Of the backtest; only its first training window is read.")
    ] = None,
    datadir: DatadirOption = None,
    userdir: UserdirOption = None,
    strategy: StrategyOption = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Choose among these groups only; repeatable. [all whose data are there]"),
    ] = None,
    period: Annotated[
        list[int] | None,
        typer.Option(help="Choose among these periods and those of the config; repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Sets to propose.", min=1)] = 30,
    seed: Annotated[int, typer.Option(help="Of the search.", min=0)] = 7,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Model adapter that scores the sets.")
    ] = SCORER,
    max_columns: Annotated[int, typer.Option(help="Of one pair.", min=1)] = 1000,
    output: Annotated[
        Path | None, typer.Option(help="File. [freqai_features.json in the user directory]")
    ] = None,
    groups: Annotated[bool, typer.Option("--groups", help="List the groups and end.")] = False,
) -> None:
    """Propose, check, score; write the best set."""
    if groups:
        _list_groups()
        return
    settings = read_config(
        config or [Path("config.json")],
        {
            "timerange": timerange,
            "datadir": datadir,
            "user_data_dir": userdir,
            "strategy": strategy,
        },
    )
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    space = space_of(settings, tuple(group or ()), tuple(period or PERIODS))
    agent = agent_of(settings, space, Limits(max_columns=max_columns), model)
    outcome = agent.run(trials, seed, on_trial=_show_trial)
    target = output or feature_set_path(settings)
    write_feature_set(target, outcome.chosen)
    _show(outcome)
    console.print(f"Features: {target}", markup=False, soft_wrap=True)


def _show_trial(trial: Trial) -> None:
    what = trial.refused or f"{trial.score:.4f} with {trial.n_columns} columns"
    console.print(f"set {trial.number}: {what}", markup=False, soft_wrap=True)


def _show(outcome: Outcome) -> None:
    chosen = outcome.chosen
    table = Table(Column("chosen"), Column("", overflow="fold"), box=None)
    table.add_row("groups", " ".join(chosen.groups))
    table.add_row("periods", " ".join(map(str, chosen.periods)))
    table.add_row("timeframes", " ".join(chosen.timeframes))
    table.add_row("correlated pairs", " ".join(chosen.correlated_pairs))
    table.add_row("inner IC", f"{outcome.score:.4f}, {outcome.score_as_written:.4f} as written")
    table.add_row("tried", f"{len(outcome.trials)}; the best of many is too high")
    console.print(table)


def _list_groups() -> None:
    table = Table("group", "hook", "needs", Column("what", overflow="fold"), box=None)
    for group in GROUPS.values():
        needs = ", ".join(sorted(group.needs)) or "candles"
        table.add_row(group.name, group.hook.value, needs, group.summary)
    console.print(table)


if __name__ == "__main__":
    run(app, OperationalException)
