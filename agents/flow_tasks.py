"""A task of the flow in a process of its own: `python -m agents.flow_tasks NAME TASK.json`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from agent_market.errors import AgentMarketError
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


def main() -> None:
    """Do the task that the command line names; an error of the user's is one line."""
    _show_progress()
    name, file = sys.argv[1:]
    task = AgentTask.model_validate(read_json(Path(file)))
    work = choose_features if name == "features" else TASKS[name]
    try:
        write_json(task.facts, work(task))
    except (AgentMarketError, OSError) as error:
        sys.exit(f"error: {error}")


def _show_progress() -> None:
    # Freqtrade takes over the root logger; what the flow shows is marked, the log file has all
    progress = logging.StreamHandler(sys.stdout)
    progress.setFormatter(logging.Formatter(f"{PROGRESS}%(message)s"))
    agents = logging.getLogger("agents")
    agents.addHandler(progress)
    agents.setLevel(logging.INFO)
    agents.propagate = False


if __name__ == "__main__":
    main()
