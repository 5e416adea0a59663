"""A real Ray cluster of two workers on this machine."""

import json
import os
import signal

import psutil
import pytest

from agent_market.errors import ConfigError
from agent_market.evaluation.training import (
    LOCAL,
    Candidate,
    Experiment,
    SearchBudget,
    local_processes,
    ray_cluster,
    run_candidates,
    run_experiment,
)
from tests.evaluation.training.conftest import HORIZON, spec

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(LOCAL, workers=2) as execute:
        yield execute


def _busy_workers():
    """Return the processes of our own cluster that are training a window now."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.name().startswith("ray::run_wind")
    ]


def test_that_a_cluster_gives_the_bytes_of_local_processes(make_plan, cluster, tmp_path):
    plans = {HORIZON: [make_plan(), make_plan("ETH/USDT:USDT", seed=1)]}
    candidates = [
        Candidate(name, HORIZON, spec(name)) for name in ("lightgbm_regressor", "linear_regressor")
    ]
    experiment = Experiment(
        plans, candidates, "5m", 7, groups={"news": "news"}, search=SearchBudget(trials=4)
    )
    results = [
        json.dumps(run_experiment(experiment, execute, tmp_path / name))
        for name, execute in (("local", local_processes(1)), ("ray", cluster))
    ]
    assert results[0] == results[1]


def test_that_a_killed_worker_loses_nothing(make_plan, cluster):
    slow = spec(params={"n_estimators": 500, "num_leaves": 63, "min_child_samples": 5})
    plans = {HORIZON: [make_plan(), make_plan("ETH/USDT:USDT", seed=1)]}
    candidate = Candidate("slow", HORIZON, slow)
    killed = []

    def kill_one(_):
        if not killed and (busy := _busy_workers()):
            os.kill(busy[0].pid, signal.SIGKILL)
            killed.append(busy[0].pid)

    through = run_candidates([candidate], plans, cluster, kill_one)[candidate.key]
    assert len(killed) == 1 and not psutil.pid_exists(killed[0])
    local = run_candidates([candidate], plans, local_processes(1))[candidate.key]
    for found, expected in zip(through, local, strict=True):
        assert not found.errors and len(found.frame) == 900
        assert found.frame.to_csv() == expected.frame.to_csv()


def test_that_an_error_of_a_model_arrives_as_itself(make_plan, cluster):
    wrong = Candidate("wrong", HORIZON, spec(params={"no_such_parameter": 1}))
    with pytest.raises(ConfigError, match="no_such_parameter"):
        run_candidates([wrong], {HORIZON: [make_plan()]}, cluster)
