"""The rounds of a run: propose, backtest on the development range, summarize; and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_market.flow.development import NOWHERE, development_setup
from agent_market.flow.evaluate import (
    REPORT,
    SUMMARIZE,
    evaluation_inputs,
    summarize_of,
    write_html_report,
)
from agent_market.flow.inputs import Inputs
from agent_market.flow.propose import propose_step
from agent_market.flow.run_backtest import BACKTEST, backtest_inputs, run_backtest
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.store import read_json


def round_steps(number: int) -> tuple[Step, Step, Step]:
    """Return the three steps of one round.

    Its backtest sees what the search rows alone would accept so far: whether an expression is
    confirmed is decided after the last round.
    """
    proposed, backtest = f"expressions.{number}", f"backtest.{number}"

    def before(setup: Setup, upstream: Upstream) -> Setup:
        facts = upstream[proposed].facts
        expressions = Path(facts["expressions"]) if facts["candidates"] else NOWHERE
        return development_setup(setup, Path(upstream["features"].facts["features"]), expressions)

    def inputs(setup: Setup, upstream: Upstream) -> Inputs:
        return backtest_inputs(before(setup, upstream), upstream)

    def execute(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
        return run_backtest(before(setup, upstream), upstream, place)

    place = f"round-{number}"
    needs = ("data", "features", proposed)
    tried = Step(backtest, needs, inputs, execute, kind="backtest.round", place=place)
    summarized = replace(
        SUMMARIZE,
        name=f"summarize.{number}",
        needs=(backtest,),
        execute=summarize_of(backtest),
        kind="summarize.round",
        place=place,
    )
    return propose_step(number), tried, summarized


def final_backtest() -> Step:
    """Return the backtest of the time range, which comes after features and expressions."""
    return replace(BACKTEST, needs=("data", "features", "expressions"))


def final_report(rounds: int, *, vault: bool) -> Step:
    """Return the report of the time range, which tells of the rounds too."""
    numbers = range(1, rounds + 1)
    told = [f"{name}.{number}" for number in numbers for name in ("expressions", "summarize")]
    opened = ("vault",) if vault else ()

    def inputs(setup: Setup, upstream: Upstream) -> Inputs:
        keys = {name: manifest.key for name, manifest in upstream.items()}
        return replace(evaluation_inputs(setup, upstream), upstream=keys)

    def execute(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
        return write_html_report(setup, upstream, place, _told(numbers, upstream))

    needs = (*REPORT.needs, "features", *told, "expressions", *opened)
    return replace(REPORT, needs=needs, inputs=inputs, execute=execute)


def _told(numbers: range, upstream: Upstream) -> dict[str, Any]:
    """Return what the report tells of the rounds."""
    facts = {name: manifest.facts for name, manifest in upstream.items()}
    rounds = [
        {
            "proposed": facts[f"expressions.{number}"],
            "found": _expressions(facts[f"expressions.{number}"]["expressions"]),
            "backtest": facts[f"summarize.{number}"],
        }
        for number in numbers
    ]
    return {
        "features": facts["features"],
        "rounds": rounds,
        "acceptance": facts["expressions"],
        "accepted": _expressions(facts["expressions"]["expressions"]),
        "vault": facts.get("vault"),
    }


def _expressions(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(Path(path))["expressions"]
    return found
