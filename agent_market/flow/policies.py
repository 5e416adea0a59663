"""Step `rl`: policies, trained over FreqAI's windows of the time range and compared."""

from __future__ import annotations

from dataclasses import replace

from agent_market.flow.agent_tasks import run_task
from agent_market.flow.configuration import Config, deep_merge
from agent_market.flow.inputs import (
    Inputs,
    backtest_code,
    code_hashes,
    library_versions,
    relevant_config,
)
from agent_market.flow.policy_libraries import VERSIONED
from agent_market.flow.prepare_data import stored_data
from agent_market.flow.propose import task_of
from agent_market.flow.run_backtest import identifier
from agent_market.flow.setup import RL_NAME, Setup, find_strategy
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace

_TRAINING = ("evaluation", "flow/policy_experiment.py")
_HORIZON_CANDLES = 2  # of `learning.labels.HoldingReturn`, the one label that policies learn from


def policy_setup(setup: Setup) -> Setup:
    """Return the setup of the policies: their strategy, and of the model only what is theirs.

    A policy keeps a validation part of its own, so that FreqAI need not split rows off.
    """
    strategy = setup.settings.flow.rl.strategy
    given: Config = setup.freqai.get("model_training_parameters", {})
    sections = {key: value for key, value in given.items() if key.endswith("_policy")}
    config = deep_merge(
        setup.config,
        {
            "strategy": strategy,
            "freqai": {
                "feature_parameters": {"label_period_candles": _HORIZON_CANDLES},
                "data_split_parameters": {"test_size": 0},
            },
        },
    )
    config["freqai"]["model_training_parameters"] = sections
    config.pop("freqaimodel", None)
    return replace(
        setup,
        config=config,
        strategy=strategy,
        strategy_file=find_strategy(strategy, config, setup.user_data_dir),
        freqaimodel=None,
        freqaimodel_file=None,
    )


def policy_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return what the policies' figures depend on; features and expressions count as code."""
    own = policy_setup(setup)
    code = backtest_code(own) | code_hashes(*_TRAINING) | library_versions(VERSIONED)
    asked = setup.settings.flow.rl.model_dump(mode="json")
    return Inputs(code, relevant_config(own) | {"rl": asked}, stored_data(own))


def train_policies(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    """Train and compare in a process of its own; write `policies.json` and `policies.html`.

    Raises
    ------
    StepFailed
        The process failed; the message ends with its output.
    """
    own, output = policy_setup(setup), place.folder / "policies.json"
    # Freqtrade loads no strategy of FreqAI's without a model, and a folder for it: none is trained
    freqai = {"identifier": identifier(setup, place.key)}
    config = deep_merge(own.config, {"freqaimodel": setup.freqaimodel, "freqai": freqai})
    task = task_of(own, place, output, own.timerange_text, config)
    facts = run_task("rl", task, place.folder)
    report = output.with_suffix(".html")
    return StepOutput([output, report], facts | {"policies": str(output), "report": str(report)})


def policy_step(*, after_rounds: bool) -> Step:
    """Return the step; after rounds it has the features and expressions that they found."""
    needs = ("data", "features", "expressions") if after_rounds else ("data",)
    return Step(RL_NAME, needs, policy_inputs, train_policies)
