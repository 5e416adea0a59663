import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, ModelUnavailable, StateCorrupt
from agent_market.rl.offline import policy as offline
from agent_market.rl.offline.behavior import hindsight_targets, position_targets, random_targets
from agent_market.rl.offline.evaluation import gate
from agent_market.rl.offline.policy import BCPolicy, BCQPolicy, CQLPolicy, OfflinePolicy
from agent_market.rl.policies.hindsight import optimum
from agent_market.rl.policies.problem import TradingProblem, net_gains
from tests.rl.offline.markets import POSITIONS, RULES, log_of, market

GRID = np.array(POSITIONS)
KINDS = (BCPolicy, CQLPolicy, BCQPolicy)


def _log_for(kind: type[OfflinePolicy], path):
    if kind.learns_values:
        return log_of(path, random_targets(len(path), 3, seed=0))
    targets = hindsight_targets(path, GRID, RULES.cost)
    return log_of(path, targets, behavior="hindsight", knows_future=True)


def _share_of_optimum(policy: OfflinePolicy, path) -> float:
    problem = TradingProblem.of(path, POSITIONS, RULES.cost)
    chosen = position_targets(policy.positions_of(problem.features), GRID)
    return float(net_gains(problem, chosen, 1).sum() / optimum(problem, start=1))


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def learned(request: pytest.FixtureRequest) -> OfflinePolicy:
    """A policy that has learned for a moment, from a market with a leaked return."""
    policy = request.param({"steps": 700})
    policy.fit_buffer(_log_for(request.param, market(6000, seed=1, leak=True)), seed=3)
    return policy


def test_that_a_leaked_return_brings_each_near_the_optimum(learned: OfflinePolicy) -> None:
    path = market(3000, seed=2, leak=True)
    assert _share_of_optimum(learned, path) >= 0.95
    held_out = log_of(path, random_targets(len(path), 3, seed=5))
    assert gate(learned, held_out).passed


def test_that_one_row_gives_the_same_choice_as_a_batch(learned: OfflinePolicy) -> None:
    features = market(200, seed=5, leak=True).features
    together = learned.positions_of(features, 1.0)
    held = 1.0
    for row, wanted in zip(features, together, strict=True):
        held = learned.act(row, held)
        assert held == wanted


def test_that_a_saved_policy_is_loaded_and_asked_without_d3rlpy(
    learned: OfflinePolicy, tmp_path: Path
) -> None:
    features = market(200, seed=5, leak=True).features
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "wanted.npy", learned.positions_of(features))
    learned.save(tmp_path / "policy.zip")
    script = (
        "import sys; sys.modules['d3rlpy'] = None\n"
        "import numpy as np; from pathlib import Path\n"
        f"from agent_market.rl.offline.policy import {type(learned).__name__} as Kind\n"
        "policy = Kind.load(Path('policy.zip'))\n"
        "found = policy.positions_of(np.load('features.npy'))\n"
        "assert (found == np.load('wanted.npy')).all()\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    content = (tmp_path / "policy.zip").read_bytes()
    type(learned).load(tmp_path / "policy.zip").save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == content
    for length in range(0, len(content), 997):
        (tmp_path / "policy.zip").write_bytes(content[:length])
        with pytest.raises(StateCorrupt):
            type(learned).load(tmp_path / "policy.zip")


@pytest.mark.parametrize("kind", KINDS)
def test_that_one_seed_gives_one_policy_to_the_byte_and_leaves_torch_alone(
    kind: type[OfflinePolicy],
) -> None:
    import torch

    log = _log_for(kind, market(1000, seed=1))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = []
    for seed in (1, 1, 2):
        policy = kind({"steps": 20})
        policy.fit_buffer(log, seed=seed)
        found.append(policy.dump())
    assert found[0] == found[1] != found[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_that_features_may_be_missing_where_a_policy_makes_its_own_log() -> None:
    path = market(3000, seed=1, leak=True)
    path.features[::7, 2] = np.nan
    policy = CQLPolicy({"steps": 300})
    policy.fit([path], cost=RULES.cost)
    assert not policy.stays_flat
    assert policy.valid_t > 5


def test_that_values_are_not_learned_from_a_log_that_knew_the_future() -> None:
    log = _log_for(BCPolicy, market(1000, seed=1))
    for kind in (CQLPolicy, BCQPolicy):
        with pytest.raises(ConfigError, match="knew the future"):
            kind().fit_buffer(log)


def test_that_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log_for(CQLPolicy, market(1000, seed=1))
    with pytest.raises(ConfigError, match="Set positions to those of the log"):
        CQLPolicy({"positions": (0.0, 1.0)}).fit_buffer(log)
    with pytest.raises(DataError, match="log more candles"):
        CQLPolicy().fit_buffer(log.rows(0, 100))
    with pytest.raises(ConfigError, match="Did you mean 'discount'"):
        CQLPolicy({"discont": 0.5})
    monkeypatch.delattr(sys.modules[offline.__package__], "learners", raising=False)
    monkeypatch.setitem(sys.modules, "agent_market.rl.offline.learners", None)
    with pytest.raises(ModelUnavailable, match=r"pip install -r requirements-rl\.txt"):
        CQLPolicy().fit_buffer(log)
