"""Which steps a run would do, which it would skip, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent_market.errors import ConfigError
from agent_market.flow.evaluate import REPORT, SUMMARIZE
from agent_market.flow.inputs import Inputs, describe_change
from agent_market.flow.outputs import Manifest, OutputStore
from agent_market.flow.policies import policy_step
from agent_market.flow.prepare_data import DATA
from agent_market.flow.propose import FEATURES, VAULT, acceptance
from agent_market.flow.publish_bias import BIAS
from agent_market.flow.rounds import final_backtest, final_report, round_steps
from agent_market.flow.run_backtest import BACKTEST
from agent_market.flow.setup import Request, Setup
from agent_market.flow.steps import Step

Action = Literal["run", "skip", "not selected"]


@dataclass(frozen=True)
class Decision:
    """What happens to a step and why.

    `inputs` is None while an earlier step has to run first; `manifest` is the output that stands.
    """

    step: Step
    action: Action
    reason: str
    inputs: Inputs | None = None
    manifest: Manifest | None = None


def steps_of(request: Request) -> dict[str, Step]:
    """Return every step of a run by its name, in their order."""
    policies = policy_step(after_rounds=bool(request.rounds))
    if not request.rounds:
        own = {step.name: step for step in (DATA, policies, BACKTEST, SUMMARIZE, BIAS, REPORT)}
        return {name: own[name] for name in request.step_names}
    rounds = [step for number in range(1, request.rounds + 1) for step in round_steps(number)]
    report = final_report(request.rounds, vault=request.open_vault)
    last = (acceptance(request.rounds), policies, final_backtest(), SUMMARIZE, BIAS, VAULT, report)
    steps = {step.name: step for step in (DATA, FEATURES, *rounds, *last)}
    return {name: steps[name] for name in request.step_names}


def make_plan(setup: Setup, request: Request, store: OutputStore) -> list[Decision]:
    """Return the decision on each step, in their order.

    Raises
    ------
    ConfigError
        A selected step reads the output of one that is neither selected nor there.
    DataError
        The data that is there lacks something the run needs.
    """
    decisions: list[Decision] = []
    standing: dict[str, Manifest] = {}
    for step in steps_of(request).values():
        decision = _plan_step(step, setup, request, store, standing)
        if decision.manifest is not None and decision.action != "run":
            standing[step.name] = decision.manifest
        decisions.append(decision)
    return decisions


def decide(
    step: Step,
    setup: Setup,
    store: OutputStore,
    standing: Mapping[str, Manifest],
    redo_unless_by: str | None = None,
) -> Decision:
    """Return whether a step has to run, given the standing outputs of the steps before it.

    `redo_unless_by` forces it to run unless its output is of that run.
    """
    missing = [name for name in step.needs if name not in standing]
    if missing:
        return Decision(step, "run", f"after {missing[0]}")
    inputs = step.inputs(setup, {name: standing[name] for name in step.needs})
    manifest = store.find(step.kept_as, inputs.key(step.kept_as))
    if manifest is None:
        return Decision(step, "run", _why_new(step, inputs, store), inputs)
    damage = manifest.damage()
    if damage:
        return Decision(step, "run", f"its output is damaged: {damage}", inputs)
    if redo_unless_by is not None and manifest.run_id != redo_unless_by:
        return Decision(step, "run", "forced", inputs)
    return Decision(step, "skip", f"unchanged since {manifest.run_id}", inputs, manifest)


def _plan_step(
    step: Step,
    setup: Setup,
    request: Request,
    store: OutputStore,
    standing: Mapping[str, Manifest],
) -> Decision:
    is_selected = step.name in request.selected
    force = "" if request.force and is_selected else None
    decision = decide(step, setup, store, standing, force)
    if is_selected:
        _check_upstream(step, request, standing)
        return decision
    return Decision(step, "not selected", "", decision.inputs, decision.manifest)


def _check_upstream(step: Step, request: Request, standing: Mapping[str, Manifest]) -> None:
    for name in step.needs:
        if name not in request.selected and name not in standing:
            raise ConfigError(
                f"--steps: {step.name!r} reads the output of {name!r}, and no complete one of the "
                f"present inputs exists. Add {name!r} to --steps."
            )


def _why_new(step: Step, inputs: Inputs, store: OutputStore) -> str:
    newest = store.newest(step.kept_as)
    if newest is None:
        return "never run"
    return describe_change(newest.inputs, inputs.to_json()) or "never run with these inputs"
