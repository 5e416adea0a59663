"""A task of the flow in a process of its own: `python -m agents.flow_tasks NAME TASK.json`."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from agent_market.errors import AgentMarketError, DataError
from agent_market.features import write_feature_set
from agent_market.flow.agent_tasks import PROGRESS, AgentTask
from agent_market.store import read_json, write_json
from agents.campaign_rounds import TASKS, Facts


def choose_features(task: AgentTask) -> Facts:
    """Choose a feature set on the first training window of the task's time range; write it."""
    # Freqtrade comes with it, which the other tasks do not need
    from agent_market.bridge import read_config, settings_of
    from agents.feature_agent import Limits, Trial
    from agents.feature_choice import agent_of, space_of

    def say(trial: Trial) -> None:
        what = trial.refused or f"{trial.score:.4f} with {trial.n_columns} columns"
        logging.getLogger("agents").info("set %d: %s", trial.number, what)

    places = {"datadir": str(task.datadir), "user_data_dir": str(task.user_data_dir)}
    config = read_config([task.config], {"timerange": task.timerange, **places})
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    rounds = settings_of(config).flow.rounds
    agent = agent_of(config, space_of(config), Limits())
    outcome = agent.run(rounds.feature_trials, rounds.seed, on_trial=say)
    write_feature_set(task.output, outcome.chosen)
    return {
        "groups": list(outcome.chosen.groups),
        "inner_ic": outcome.score_as_written,
        "trials": len(outcome.trials),
        "refused": sum(bool(trial.refused) for trial in outcome.trials),
    }


def train_policies(task: AgentTask) -> Facts:
    """Train and compare the policies of `agent_market.flow.rl`; write JSON and, beside it, HTML."""
    # Freqtrade comes with it
    from agent_market.bridge import read_config, settings_of
    from agent_market.evaluation.rl import run_policies, write_policy_page
    from agent_market.evaluation.training import local_processes, progress_bars
    from agent_market.flow.policy_experiment import policy_experiment

    places = {"datadir": str(task.datadir), "user_data_dir": str(task.user_data_dir)}
    config = read_config([task.config], {"timerange": task.timerange, **places})
    logging.getLogger("freqtrade").setLevel(logging.WARNING)
    settings = settings_of(config)
    asked = settings.flow.rl
    experiment = policy_experiment(config, asked.policies, asked.seeds, asked.cost_bps)
    # the flow's own name of its inputs: this configuration has the places of a run in it
    provenance = {**experiment.provenance, "config_hash": task.key}
    experiment = replace(experiment, provenance=provenance)
    execute = local_processes(settings.learning.workers or os.cpu_count() or 1)
    with progress_bars() as on_progress:
        summary = run_policies(experiment, execute, on_progress)
    rows = summary["rows"]
    untrained = [reason for row in rows for reason in row.get("not_trained", [])]
    total = sum(row.get("n_windows", 0) for row in rows)
    if len(untrained) >= total:
        raise DataError(f"no policy could be trained in any of {total} windows ({untrained[0]})")
    write_json(task.output, summary)
    write_policy_page(summary, config, task.output.with_suffix(".html"))
    net = {row["name"]: row["strategy"]["net"]["return_percent"] for row in rows}
    return {"net_return_percent": net, "untrained_windows": untrained}


def main() -> None:
    """Do the task that the command line names; an error of the user's is one line."""
    _show_progress()
    name, file = sys.argv[1:]
    task = AgentTask.model_validate(read_json(Path(file)))
    work = {**TASKS, "features": choose_features, "rl": train_policies}[name]
    try:
        write_json(task.facts, work(task))
    except (AgentMarketError, OSError) as error:
        sys.exit(f"error: {error}")


def _show_progress() -> None:
    # Freqtrade takes over the root logger; what the flow shows is marked, the log file has all
    progress = logging.StreamHandler(sys.stdout)
    progress.setFormatter(logging.Formatter(f"{PROGRESS}%(message)s"))
    for name in ("agents", "agent_market.evaluation.training.progress"):
        shown = logging.getLogger(name)
        shown.addHandler(progress)
        shown.setLevel(logging.INFO)
        shown.propagate = False


if __name__ == "__main__":
    main()
