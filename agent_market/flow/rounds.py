"""The rounds of a run: propose, backtest on the development range, summarize; and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent_market.flow.development import NOWHERE, development_setup
from agent_market.flow.evaluate import SUMMARIZE, summarize_of
from agent_market.flow.inputs import Inputs
from agent_market.flow.propose import propose_step
from agent_market.flow.run_backtest import BACKTEST, backtest_inputs, run_backtest
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace


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
