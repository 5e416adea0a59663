#!/usr/bin/env python
"""Run the whole loop: data, backtest with FreqAI training, summary, report.

`run` does it once; `loop` does it again and again on the newest candles, beside a running bot.

With `--rounds N`, features and alpha expressions are found before the backtest, on earlier candles.
With `--rl`, policies are trained and compared over the same time range.

Every step is durable: a run that was killed goes on with `resume`, and what an earlier run has made
of the same code, configuration and data is skipped.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agent_market.errors import AgentMarketError, StepFailed
from agent_market.flow.configuration import load_config_files
from agent_market.flow.display import (
    history_table,
    plan_table,
    result_table,
    rounds_table,
    run_table,
    vault_table,
)
from agent_market.flow.history import RunRecord, find_run, is_held, list_runs
from agent_market.flow.loop import Loop
from agent_market.flow.options import (
    ConfigOption,
    FreqaimodelOption,
    StrategyOption,
    TimerangeOption,
    UserdirOption,
)
from agent_market.flow.outputs import OutputStore
from agent_market.flow.plan import make_plan
from agent_market.flow.setup import RL_NAME, ROUND_NAMES, Request, resolve
from agent_market.flow.workflow import resume_run, start_run
from agent_market.settings import load_settings
from agent_market.store import read_json

INTERRUPTED = 130
app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__
)
console = Console()

RoundsOption = Annotated[
    int, typer.Option(help="Choose features, and find expressions in so many rounds.", min=0)
]
RlOption = Annotated[bool, typer.Option("--rl", help="Also train policies, and compare them.")]
RunArgument = Annotated[str | None, typer.Argument(help="The run; by default the newest.")]


@app.command()
def run(
    config: ConfigOption = None,
    datadir: Annotated[
        str | None, typer.Option("-d", "--datadir", help="Use this Freqtrade data directory as is.")
    ] = None,
    timerange: TimerangeOption = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("-p", "--pairs", help="Pairs to trade; repeatable or separated by spaces."),
    ] = None,
    strategy: StrategyOption = None,
    freqaimodel: FreqaimodelOption = None,
    userdir: Annotated[
        str | None, typer.Option("--userdir", "--user-data-dir", help="User data directory.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help=f"Steps to do: {','.join((*ROUND_NAMES, RL_NAME))}. [all]")
    ] = None,
    rounds: RoundsOption = 0,
    open_vault: Annotated[
        bool, typer.Option("--open-vault", help="End the campaign: open its vault, once.")
    ] = False,
    rl: RlOption = False,
    force: Annotated[bool, typer.Option("--force", help="Redo what is unchanged.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would run, and why.")] = False,
) -> None:
    """Run the loop; what is unchanged since an earlier run is skipped."""
    request = Request(
        config=tuple(map(str, _config_files(config))),
        steps=tuple(step.strip() for step in (steps or "").split(",") if step.strip()),
        rounds=rounds,
        open_vault=open_vault,
        rl=rl,
        force=force,
        datadir=datadir,
        timerange=timerange,
        pairs=tuple(pair for text in pairs or [] for pair in text.split()),
        strategy=strategy,
        freqaimodel=freqaimodel,
        userdir=userdir,
    )
    if plan:
        setup = resolve(request)
        console.print(plan_table(make_plan(setup, request, OutputStore(setup.settings.state_dir))))
    else:
        _finish(lambda: start_run(request))


@app.command("loop")
def loop_runs(
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    freqaimodel: FreqaimodelOption = None,
    userdir: UserdirOption = None,
    rounds: RoundsOption = 0,
    rl: RlOption = False,
    once: Annotated[bool, typer.Option("--once", help="Do one run now, then end.")] = False,
    runs: Annotated[
        int | None, typer.Option(help="Do so many runs, the first one now, then end.", min=1)
    ] = None,
) -> None:
    """Do a run on the newest candles every `agent_market.loop.every`, and publish its bias."""
    files = _config_files(config)
    request = Request(
        config=tuple(map(str, files)),
        rounds=rounds,
        rl=rl,
        strategy=strategy,
        freqaimodel=freqaimodel,
        userdir=None if userdir is None else str(userdir),
    )
    given = [part for file in files for part in ("-c", str(file))]
    resume_of = [sys.executable, str(Path(__file__).resolve()), "resume"]
    try:
        loop = Loop(request, lambda run_id: [*resume_of, run_id, *given])
        is_complete = loop.run(1 if once else runs)
    except KeyboardInterrupt:
        print("interrupted; `agent_flow loop` goes on from here", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    if not is_complete:
        sys.exit(1)


@app.command()
def resume(run_id: RunArgument = None, config: ConfigOption = None) -> None:
    """Finish a run that was killed, interrupted or failed (by default the newest such one)."""
    record = find_run(_state_dir(config), run_id, unfinished=True)
    _finish(lambda: resume_run(record))


@app.command()
def status(run_id: RunArgument = None, config: ConfigOption = None) -> None:
    """Show how far a run is."""
    state_dir = _state_dir(config)
    record = find_run(state_dir, run_id)
    console.print(run_table(record, is_held=is_held(state_dir)))
    _print_campaign(record)


@app.command()
def history(config: ConfigOption = None) -> None:
    """List every run."""
    state_dir = _state_dir(config)
    console.print(history_table(list_runs(state_dir), is_held=is_held(state_dir)))


@app.command()
def show(run_id: str, config: ConfigOption = None) -> None:
    """Show a run's steps, results and files."""
    state_dir = _state_dir(config)
    record = find_run(state_dir, run_id)
    console.print(run_table(record, is_held=is_held(state_dir)))
    for step in record.read()["steps"]:
        if step["error"]:
            console.print(f"{step['name']}: {step['error']}", markup=False)
    _print_results(record)
    print(f"Record: {record.path}")  # noqa: T201


def main() -> None:
    """Run the command line; a user's error is one line, not a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    logging.getLogger("agent_market.flow").setLevel(logging.INFO)
    try:
        app()
    except StepFailed as error:
        sys.exit(_complain(error, code=1))
    except (AgentMarketError, OSError) as error:
        sys.exit(_complain(error, code=2))


def _complain(error: Exception, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)  # noqa: T201
    return code


def _finish(work: Callable[[], RunRecord]) -> None:
    try:
        record = work()
    except KeyboardInterrupt:
        print("interrupted; `agent_flow resume` goes on from here", file=sys.stderr)  # noqa: T201
        # A step of plain Python cannot be stopped; its files are atomic, so leaving it is safe.
        os._exit(INTERRUPTED)
    console.print(run_table(record, is_held=False))
    _print_results(record)


def _print_results(record: RunRecord) -> None:
    facts = {step["name"]: step["facts"] for step in record.read()["steps"]}
    summary, report = facts["summarize"].get("summary"), facts["report"].get("report")
    policies = facts.get(RL_NAME, {})
    for warning in (each for own in (policies, facts["backtest"]) for each in _untrained(own)):
        console.print(f"warning: a window was not trained: {warning}", markup=False)
    _print_campaign(record)
    if summary and Path(summary).is_file():
        console.print(result_table(read_json(Path(summary))))
        print(f"Summary: {summary}")  # noqa: T201
    if "report" in policies:
        print(f"Policies: {policies['report']}")  # noqa: T201
    if report:
        print(f"Report: {report}")  # noqa: T201


def _untrained(facts: Mapping[str, Any]) -> list[str]:
    windows: list[str] = facts.get("untrained_windows", [])
    return windows


def _print_campaign(record: RunRecord) -> None:
    """Show what rounds came to, why search had to stand in for the model, and the vault."""
    steps = record.read()["steps"]
    if not record.request.rounds:
        return
    console.print(rounds_table(steps))
    for reason in dict.fromkeys(
        reason for step in steps for reason in step["facts"].get("fallbacks", [])
    ):
        console.print(f"search stood in for the model: {reason}", markup=False)
    facts = {step["name"]: step["facts"] for step in steps}
    if "pooled_ic" in facts.get("vault", {}):
        console.print(vault_table(facts["vault"]))


def _config_files(config: list[Path] | None) -> list[Path]:
    return config or [Path("config.json")]


def _state_dir(config: list[Path] | None) -> Path:
    default = Path("config.json")
    files = config or ([default] if default.is_file() else [])
    return load_settings(load_config_files(files)).state_dir


if __name__ == "__main__":
    main()
