"""Steps `features`, `expressions` of each round and in the end, and `vault`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_market.flow.agent_tasks import AgentTask, run_task
from agent_market.flow.configuration import Config
from agent_market.flow.development import (
    as_text,
    development_setup,
    history_of,
    horizon_of,
    search_end,
)
from agent_market.flow.inputs import (
    Inputs,
    agent_code,
    backtest_code,
    code_hashes,
    library_versions,
    relevant_config,
)
from agent_market.flow.outputs import Manifest, publish
from agent_market.flow.prepare_data import stored_data
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.store import hash_json, write_json

_ROOMS = ("expressions", "evaluation/expressions", "llm", "store")
_FILES = ("learning/splits.py", "market/candles.py", "market/sidedata.py", "flow/agent_tasks.py")


def propose_step(number: int) -> Step:
    """Return the step that proposes and scores expressions in one round."""

    def inputs(setup: Setup, upstream: Upstream) -> Inputs:
        config = _campaign_config(setup) | _budget(setup) | {"round": number}
        found = _campaign_inputs(setup, config)
        told = upstream if setup.settings.llm.base_url else _without_summaries(upstream)
        return Inputs(found.code, found.config, found.data, _keys(told))

    def execute(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
        before = upstream.get(f"summarize.{number - 1}")
        summary = None if before is None else Path(before.facts["summary"])
        task = _campaign_task(setup, place, "expressions.json", number=number, summary=summary)
        facts = run_task("propose", task, place.folder)
        found = [task.output] if facts["candidates"] else []
        return StepOutput(found, facts | {"expressions": str(task.output)})

    needs = ("data", f"expressions.{number - 1}", f"summarize.{number - 1}")
    return Step(
        f"expressions.{number}",
        needs if number > 1 else ("data",),
        inputs,
        execute,
        place=f"round-{number}",
    )


def acceptance(rounds: int) -> Step:
    """Return the step that ends a campaign: candidates are confirmed, and the pool is written."""
    return Step(
        "expressions",
        ("data", f"expressions.{rounds}", f"summarize.{rounds}"),
        lambda setup, upstream: _after_campaign(setup, upstream, f"expressions.{rounds}"),
        _accept,
        _publish_expressions,
    )


def feature_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return what the choice of features depends on: no row after the search rows."""
    before = development_setup(setup)
    rounds = setup.settings.flow.rounds
    code = backtest_code(before) | agent_code()
    code |= code_hashes("evaluation/training", "evaluation/information_coefficient.py")
    asked = {"trials": rounds.feature_trials, "seed": rounds.seed}
    return Inputs(code, relevant_config(before) | {"features": asked}, stored_data(setup))


def choose_features(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    """Let the feature agent choose among the groups, on the rows before the development range."""
    before = development_setup(setup)
    output = place.folder / "features.json"
    task = task_of(before, place, output, before.timerange_text, before.config)
    facts = run_task("features", task, place.folder)
    return StepOutput([output], facts | {"features": str(output)})


def _publish_features(setup: Setup, manifest: Manifest) -> None:
    publish(Path(manifest.facts["features"]), setup.feature_set_file)


def _publish_expressions(setup: Setup, manifest: Manifest) -> None:
    publish(Path(manifest.facts["expressions"]), setup.expressions_file)


def _accept(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    task = _campaign_task(setup, place, "accepted.json")
    facts = run_task("accept", task, place.folder)
    return StepOutput([task.output], facts | {"expressions": str(task.output)})


def _open_vault(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
    task = _campaign_task(setup, place, "vault.json")
    facts = run_task("vault", task, place.folder)
    return StepOutput([task.output], facts | {"vault": str(task.output)})


def _after_campaign(setup: Setup, upstream: Upstream, last: str) -> Inputs:
    found = _campaign_inputs(setup, _campaign_config(setup))
    return Inputs(found.code, found.config, found.data, _keys({last: upstream[last]}))


def _campaign_inputs(setup: Setup, config: Mapping[str, Any]) -> Inputs:
    code = code_hashes(*_ROOMS, *_FILES) | agent_code() | library_versions()
    return Inputs(code, config, stored_data(setup))


def _campaign_config(setup: Setup) -> dict[str, Any]:
    return {
        "pairs": list(setup.pairs),
        "timeframe": setup.config["timeframe"],
        "trading_mode": setup.config.get("trading_mode", "spot"),
        "horizon_candles": horizon_of(setup),
        "history": as_text(history_of(setup)),
        "search_end": search_end(setup).isoformat(),
    }


def _budget(setup: Setup) -> dict[str, Any]:
    rounds, model = setup.settings.flow.rounds, setup.settings.llm
    if model.base_url is None:  # a search plans all its evaluations beforehand
        return {"seed": rounds.seed, "evaluations": rounds.evaluations, "rounds": setup.rounds}
    asked = {"seed": rounds.seed, "questions": rounds.questions, "proposals": rounds.proposals}
    return {**asked, "llm": model.model_dump(mode="json")}


def _campaign_task(
    setup: Setup,
    place: Workplace,
    output: str,
    *,
    number: int = 0,
    summary: Path | None = None,
) -> AgentTask:
    # one campaign for one set of rows, whatever proposes: all its trials are counted together
    rows = {"data": stored_data(setup), **_campaign_config(setup)}
    folder = setup.settings.state_dir / "campaigns" / hash_json(rows)[:16]
    content = setup.config | {"agent_market": _own_section(setup)}
    task = task_of(setup, place, place.folder / output, as_text(history_of(setup)), content)
    told = {"campaign": folder, "number": number, "rounds": setup.rounds, "summary": summary}
    return task.model_copy(update=told)


def _own_section(setup: Setup) -> Config:
    # the setup's configuration lacks the section `flow`, which may hold a password
    own: Config = setup.config.get("agent_market", {})
    given = setup.settings.flow.model_dump(mode="json", include={"rounds", "rl"})
    return own | {"flow": given}


def task_of(
    setup: Setup, place: Workplace, output: Path, timerange: str, config: Mapping[str, Any]
) -> AgentTask:
    """Return a task that writes `output`; its configuration is written beside that."""
    place.folder.mkdir(parents=True, exist_ok=True)
    setup.user_data_dir.mkdir(parents=True, exist_ok=True)
    file = place.folder / f"{output.stem}.config.json"
    own: Config = dict(config)
    own["exchange"] = {**own["exchange"], "pair_whitelist": list(setup.pairs)}
    own["agent_market"] = _own_section(setup)
    write_json(file, own)
    return AgentTask(
        config=file,
        datadir=setup.datadir,
        user_data_dir=setup.user_data_dir,
        pairs=setup.pairs,
        timerange=timerange,
        output=output,
        facts=place.folder / f"{output.stem}.facts.json",
        key=place.key,
    )


def _without_summaries(upstream: Upstream) -> Upstream:
    """Return the upstream of a search, which learns from scores alone."""
    return {name: each for name, each in upstream.items() if not name.startswith("summarize")}


def _keys(upstream: Upstream) -> dict[str, str]:
    return {name: each.key for name, each in upstream.items() if name != "data"}


FEATURES = Step("features", ("data",), feature_inputs, choose_features, _publish_features)
VAULT = Step(
    "vault",
    ("data", "expressions"),
    lambda setup, upstream: _after_campaign(setup, upstream, "expressions"),
    _open_vault,
)
