"""What a user sees without Ray, and without a cluster at the address."""

import subprocess
import sys

import pytest

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.evaluation.training import (
    Candidate,
    local_processes,
    ray_cluster,
    run_candidates,
)
from tests.evaluation.training.conftest import HORIZON, spec


def test_that_a_missing_ray_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # what an uninstalled package looks like
    with pytest.raises(ModelUnavailable, match=r"requirements-ray\.txt"), ray_cluster("local", 2):
        pass


def test_that_neither_ray_nor_optuna_is_imported_with_the_package():
    code = (
        "import sys, agent_market.evaluation.training; "
        "print({'ray', 'optuna', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1:9", "refused"), ("somewhere", "host:port"), ("127.0.0.1:port", "host:port")],
)
def test_that_an_address_without_a_cluster_is_an_error(address, reason):
    pytest.importorskip("ray")
    with (
        pytest.raises(ConfigError, match=f"--ray {address}: no Ray cluster answers .*{reason}"),
        ray_cluster(address, 2),
    ):
        pass


def test_that_a_running_cluster_of_two_nodes_trains(make_plan):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        cluster.add_node(**node)
        candidate = Candidate("model", HORIZON, spec())
        plans = {HORIZON: [make_plan()]}
        with ray_cluster(cluster.address, 2) as execute:
            (through,) = run_candidates([candidate], plans, execute)[candidate.key]
        (local,) = run_candidates([candidate], plans, local_processes(1))[candidate.key]
        assert through.frame.to_csv() == local.frame.to_csv()
    finally:
        cluster.shutdown()
