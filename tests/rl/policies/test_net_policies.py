"""Exact policy and imitation: what they learn, and what every policy promises."""

from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, ModelUnavailable, StateCorrupt
from agent_market.rl.policies.exact import ExactPolicy
from agent_market.rl.policies.imitation import ImitationPolicy, positions_of_trades
from agent_market.rl.policies.net_policy import NetPolicy
from agent_market.rl.policies.registry import POLICIES, create_policy, load_policy
from tests.rl.policies.markets import COST, PricePath, path_of, persistent, planted_market

SMALL = {
    "members": 2,
    "max_epochs": 10,
    "segment_candles": 32,
    "batch_segments": 8,
    "least_valid_t": -100.0,
}
KINDS = [ExactPolicy, ImitationPolicy]


@pytest.fixture(scope="module")
def path() -> PricePath:
    return planted_market(5, 1500, strength=4.0).path


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def fitted(request: pytest.FixtureRequest, path: PricePath) -> NetPolicy:
    policy: NetPolicy = request.param(SMALL)
    policy.fit([path], cost=COST, seed=3)
    return policy


def test_one_row_gets_the_position_that_it_gets_in_a_batch(
    fitted: NetPolicy, path: PricePath
) -> None:
    features = path.features[200:420].copy()
    features[10:14, 3] = np.nan
    batch = fitted.positions_of(features, 1.0)
    held = 1.0
    for row, position in zip(features, batch, strict=True):
        held = fitted.act(row, held)
        assert held == position
    assert len(set(batch)) > 1


def test_one_seed_gives_one_file_to_the_byte(
    fitted: NetPolicy, path: PricePath, tmp_path: Path
) -> None:
    again = type(fitted)(SMALL)
    again.fit([path], cost=COST, seed=3)
    other = type(fitted)(SMALL)
    other.fit([path], cost=COST, seed=4)
    for name, policy in (("a", fitted), ("b", again), ("c", other)):
        policy.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_policy_read_from_its_file_decides_alike(
    fitted: NetPolicy, path: PricePath, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "policy.zip")
    loaded = load_policy(tmp_path / "policy.zip")
    assert type(loaded) is type(fitted) and loaded.settings == fitted.settings
    np.testing.assert_array_equal(
        loaded.positions_of(path.features), fitted.positions_of(path.features)
    )
    loaded.save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "policy.zip").read_bytes()


def test_a_file_that_was_cut_anywhere_is_refused(fitted: NetPolicy, tmp_path: Path) -> None:
    fitted.save(tmp_path / "policy.zip")
    content = (tmp_path / "policy.zip").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "policy.zip").write_bytes(content[:length])
        with pytest.raises(StateCorrupt, match=r"policy\.zip"):
            load_policy(tmp_path / "policy.zip")
    with pytest.raises(ModelUnavailable, match="no policy file"):
        load_policy(tmp_path / "none.zip")


def test_a_draw_by_chances_follows_them(fitted: NetPolicy, path: PricePath) -> None:
    chances = fitted.chances(path.features)
    np.testing.assert_allclose(chances.sum(axis=2), 1)
    likeliest = chances.argmax(axis=2)
    np.testing.assert_array_equal(likeliest, fitted.choices(path.features))
    drawn = fitted.sampled_positions_of(path.features, 0.0, seed=1)
    np.testing.assert_array_equal(drawn, fitted.sampled_positions_of(path.features, 0.0, seed=1))
    held = np.searchsorted(fitted.positions, np.concatenate([[0.0], drawn[:-1]]))
    taken = np.searchsorted(fitted.positions, drawn)
    expected = chances[np.arange(len(held)), held].mean(axis=0)
    shares = np.bincount(taken, minlength=3) / len(taken)
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(len(taken)))


def test_a_path_after_the_row_changes_nothing_that_was_decided(
    fitted: NetPolicy, path: PricePath
) -> None:
    whole = fitted.positions_of(path.features)
    np.testing.assert_array_equal(fitted.positions_of(path.features[:700]), whole[:700])


def test_features_of_another_width_are_refused(fitted: NetPolicy, path: PricePath) -> None:
    with pytest.raises(DataError, match="trained on 10 features"):
        fitted.positions_of(path.features[:, :9])


@pytest.mark.parametrize("net", ["mlp", "tcn", "lstm"])
def test_a_policy_of_windows_holds_until_its_first_whole_window(path: PricePath, net: str) -> None:
    policy = ExactPolicy({**SMALL, "members": 1, "net": net, "window_candles": 5, "max_epochs": 1})
    policy.fit([path], cost=COST)
    batch = policy.positions_of(path.features[:50], -1.0)
    assert (batch[:4] == -1).all()
    held = batch[3]
    for end in range(4, 50):
        held = policy.act(path.features[end - 4 : end + 1], held)
        assert held == batch[end]


def test_several_paths_are_learned_together_without_a_segment_across_their_border() -> None:
    paths = [planted_market(seed, 600, strength=4.0).path for seed in (1, 2)]
    policy = ExactPolicy(SMALL)
    policy.fit(paths, cost=COST)
    assert policy.positions_of(paths[1].features).shape == (600,)


def test_positions_may_be_levered_and_uneven(path: PricePath) -> None:
    policy = ExactPolicy({**SMALL, "positions": (-1.0, 0.0, 0.5, 3.0)})
    policy.fit([path], cost=COST)
    assert set(policy.positions_of(path.features)) <= {-1.0, 0.0, 0.5, 3.0}


def test_entropy_keeps_chances_even_and_turnover_keeps_positions_long(path: PricePath) -> None:
    def fit(**params: float) -> ExactPolicy:
        policy = ExactPolicy({**SMALL, "members": 1, "max_epochs": 8, "patience": 0, **params})
        policy.fit([path], cost=COST)
        return policy

    def evenness(policy: ExactPolicy) -> float:
        chances = policy.chances(path.features)
        return float(-(chances * np.log(chances + 1e-30)).sum(axis=2).mean())

    def changes(policy: ExactPolicy) -> float:
        return float(np.abs(np.diff(policy.positions_of(path.features))).sum())

    plain = fit()
    assert evenness(fit(entropy=0.5)) > evenness(plain)
    assert changes(fit(turnover=5.0)) < changes(plain)


def test_imitation_clones_a_rule_that_depends_on_what_it_holds() -> None:
    rng = np.random.default_rng(8)
    features = persistent(4000, 4, rng)
    taken, held = np.zeros(4000), 0.0
    for t, value in enumerate(features[:, 1]):  # in above 1, out below 0, short likewise
        if abs(value) > 1:
            held = float(np.sign(value))
        elif held * value < 0:
            held = 0.0
        taken[t] = held
    path = path_of(features, 0.002 * rng.standard_normal(4000))
    policy = ImitationPolicy({"members": 1, "segment_candles": 64, "batch_segments": 4})
    policy.fit_positions([path], [taken], cost=COST)
    fresh = persistent(2000, 4, np.random.default_rng(9))
    wanted, held = np.zeros(2000), 0.0
    for t, value in enumerate(fresh[:, 1]):
        if abs(value) > 1:
            held = float(np.sign(value))
        elif held * value < 0:
            held = 0.0
        wanted[t] = held
    assert np.mean(policy.positions_of(fresh.astype(np.float32)) == wanted) > 0.9


def test_trades_become_the_positions_of_the_rows_that_decided_them() -> None:
    dates = np.datetime64("2025-01-01T00:00") + np.arange(6) * np.timedelta64(5, "m")
    opened, closed = dates[[1, 4]], dates[[3, 5]]
    positions = positions_of_trades(dates, opened, closed, np.array([1.0, -2.0]))
    np.testing.assert_array_equal(positions, [1, 1, 0, -2, 0, 0])


def test_a_policy_that_earned_nothing_on_its_validation_rows_stays_flat(path: PricePath) -> None:
    policy = ExactPolicy({**SMALL, "least_valid_t": 100.0})
    policy.fit([path], cost=COST)
    assert policy.stays_flat
    assert not policy.positions_of(path.features, 1.0).any()


def test_wrong_settings_are_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="'entropy'"):
        create_policy("exact", {"entropie": 0.1})
    with pytest.raises(ConfigError, match="learning_rate is -1"):
        create_policy("exact", {"learning_rate": -1})
    with pytest.raises(ConfigError, match="'exact'"):
        create_policy("exakt")
    with pytest.raises(ConfigError, match="Call fit first"):
        ExactPolicy().positions_of(np.zeros((3, 2), dtype=np.float32))


def test_a_path_too_short_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="longer path"):
        ExactPolicy().fit([planted_market(1, 150).path], cost=COST)


def test_the_registry_knows_every_policy_by_its_own_name() -> None:
    assert {name: policy.name for name, policy in POLICIES.items()} == {
        name: name for name in ("exact", "imitation", "ppo", "a2c", "sac", "bc", "cql", "bcq")
    }
