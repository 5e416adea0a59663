"""The environments: spaces, episodes, no look into the future, many accounts as one."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.errors import ConfigError, DataError
from agent_market.rl.accounting import STATE_NAMES
from agent_market.rl.env import (
    Actions,
    TradingEnv,
    VectorTradingEnv,
    five_actions,
    target_actions,
)
from agent_market.rl.paths import PricePath, holding_gains, trading_costs
from agent_market.rl.rules import TradingRules
from tests.rl.env.paths import random_path

ACTIONS = {
    "targets": target_actions(),
    "fractions": target_actions((-1, -0.5, 0, 0.25, 1)),
    "continuous": target_actions((-1, -0.5, 0, 0.5, 1), is_continuous=True),
    "five": five_actions(),
}
STRICT = TradingRules(
    stoploss=-0.04,
    minimal_roi={0: 0.05, 50: 0.01},
    max_holding_candles=20,
    leverage=3.0,
    maintenance_margin=0.004,
)


def _random(actions: Actions, rng: np.random.Generator, shape: Any) -> np.ndarray:
    if actions.is_continuous:
        return rng.uniform(-1, 1, shape)
    return rng.integers(0, len(actions), shape)


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("episode_rows", [None, 20])
def test_that_gymnasium_accepts_the_environment(kind: str, episode_rows: int | None) -> None:
    env = TradingEnv(random_path(60, 1), STRICT, ACTIONS[kind], window=3, episode_rows=episode_rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space (min|max)imum")
        warnings.filterwarnings("ignore", message=".*alternative render modes")
        check_env(env)


@pytest.mark.parametrize("kind", ACTIONS)
def test_that_stable_baselines_accepts_the_environment(kind: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(TradingEnv(random_path(60, 2), STRICT, ACTIONS[kind], episode_rows=20))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(ACTIONS)),
    reward=st.sampled_from(["net_profit", "differential_sharpe", "risk_adjusted", "compound"]),
    window=st.integers(1, 4),
    episode_rows=st.sampled_from([None, 1, 7, 30]),
    seed=st.integers(0, 10_000),
)
def test_that_many_accounts_are_one_account_many_times(
    kind: str, reward: str, window: int, episode_rows: int | None, seed: int
) -> None:
    path, n_envs = random_path(80, seed, volatility=0.02), 3
    options: Any = {
        "actions": ACTIONS[kind],
        "reward": reward,
        "window": window,
        "episode_rows": episode_rows,
    }
    many = VectorTradingEnv(path, STRICT, n_envs, seed=seed, **options)
    singles = [TradingEnv(path, STRICT, **options) for _ in range(n_envs)]
    for env, single in enumerate(singles):
        first, _ = single.reset(options={"row": many.accounts["row"][env]})
        assert first.tobytes() == many.observations[env].tobytes()
    rng = np.random.default_rng(seed)
    for _ in range(2 * len(path)):
        assert [list(each.action_masks()) for each in singles] == many.action_masks().tolist()
        actions = _random(ACTIONS[kind], rng, n_envs)
        stepped = many.step(actions)
        for env, single in enumerate(singles):
            seen, paid, terminated, truncated, _ = single.step(actions[env])
            assert paid == stepped.rewards[env]
            assert (terminated, truncated) == (stepped.terminated[env], stepped.truncated[env])
            if terminated or truncated:
                assert seen.tobytes() == stepped.final_observations[env].tobytes()
                seen, _ = single.reset(options={"row": many.accounts["row"][env]})
            assert seen.tobytes() == stepped.observations[env].tobytes()


def test_that_starts_follow_from_the_seed() -> None:
    def starts(seed: int) -> list[int]:
        env = VectorTradingEnv(random_path(200, 1), STRICT, 8, episode_rows=10, seed=seed)
        rows = [*env.accounts["row"]]
        for _ in range(25):
            env.step(np.zeros(8, int))
            rows += [*env.accounts["row"]]
        return rows

    assert starts(1) == starts(1) != starts(2)


def test_that_an_episode_may_start_at_every_row_that_leaves_room_for_it() -> None:
    env = VectorTradingEnv(random_path(20, 1), STRICT, 500, window=3, episode_rows=5)
    assert set(env.accounts["row"]) == set(range(2, 15))
    ends = env.accounts["row"] + 5
    for step in range(5):
        stepped = env.step(np.ones(500, int))
        assert (stepped.truncated | stepped.terminated).all() == (step == 4)
    assert stepped.terminated.tolist() == (ends == 19).tolist()


def _rollout(path: PricePath, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    env = TradingEnv(path, STRICT, target_actions((-1, -0.5, 0, 0.5, 1)), window=2)
    observation, _ = env.reset(seed=0)
    observations, rewards = [observation], []
    for action in actions:
        observation, reward, ended, _, _ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        if ended:
            break
    return np.array(observations), np.array(rewards)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), row=st.integers(2, 60))
def test_that_neither_observations_nor_rewards_know_the_future(seed: int, row: int) -> None:
    path, other = random_path(80, seed), random_path(80, seed + 1)
    actions = np.random.default_rng(seed).integers(0, 5, 80)

    def mixed(first_other: int, is_open_known: bool) -> PricePath:
        """Rows from the other path on; the open of the first of them stays if it is known."""
        arrays = {}
        for name in ("features", "open", "high", "low", "close", "funding_rate"):
            values = getattr(path, name).copy()
            values[first_other:] = getattr(other, name)[first_other:]
            arrays[name] = values
        if is_open_known:
            arrays["open"][first_other] = path.open[first_other]
        return PricePath(**arrays)

    observations, rewards = _rollout(path, actions)
    # the observation at row t stands at t - 1, the window's first row being 0
    seen, _ = _rollout(mixed(row + 1, is_open_known=False), actions)
    assert seen[:row].tobytes() == observations[:row].tobytes()
    assert seen[row].tobytes() != observations[row].tobytes()
    # the step of row t is paid with the open of t + 2
    _, paid = _rollout(mixed(row + 2, is_open_known=True), actions)
    np.testing.assert_array_equal(paid[:row], rewards[:row])


@pytest.mark.parametrize("leverage", [1.0, 3.0])
def test_that_without_stops_a_long_earns_what_its_path_says(leverage: float) -> None:
    path = replace(random_path(50, 3), funding_rate=np.zeros(50))
    rules = TradingRules(fee=0.001, leverage=leverage)
    env = TradingEnv(path, rules)
    env.reset(seed=0)
    balance = 1.0
    for action in [2] * 30 + [1]:
        balance *= 1 + env.step(action)[1]
    change = path.open[31] / path.open[1]
    expected = 1 + leverage * (change - 1 - 0.001 * (1 + change))
    assert balance == pytest.approx(expected, abs=1e-12)
    gains = holding_gains(path, np.array([0.0, leverage]))[0, 1]
    costs = trading_costs(np.array([0.0, leverage]), 0.001)[0, 1]
    env.reset(seed=0)
    assert env.step(2)[1] == pytest.approx(gains - costs, abs=1e-12)


def test_that_the_state_in_the_observation_is_the_position_at_the_close() -> None:
    path = random_path(30, 4)
    rules = TradingRules(fee=0.001)
    env = TradingEnv(path, rules, target_actions((-1, 0, 0.5)))
    env.reset(seed=0)
    for _ in range(5):
        observation, *_ = env.step(0)
    state = dict(zip(STATE_NAMES, observation[-4:], strict=True))
    entry, close = path.open[1], path.close[5]
    funding = (path.funding_rate * path.open)[1:6].sum()
    profit = 1 - (close * 1.001 - funding) / (entry * 0.999)
    assert state["position"] == -1
    assert state["unrealized_profit_pct"] == pytest.approx(100 * profit, rel=1e-4)
    assert state["log_candles_held"] == pytest.approx(np.log(6), rel=1e-6)
    assert state["drawdown_pct"] >= 0
    np.testing.assert_array_equal(observation[:-4], path.features[5])


def test_that_masks_leave_what_fits_the_position() -> None:
    env = TradingEnv(random_path(30, 5), TradingRules(), five_actions())
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False, True, False]
    env.step(1)
    assert env.action_masks().tolist() == [True, False, True, False, False]
    env.step(2)
    env.step(3)
    assert env.action_masks().tolist() == [True, False, False, False, True]
    spot = TradingEnv(random_path(30, 5), TradingRules(can_short=False), five_actions())
    assert spot.action_masks().tolist() == [True, True, False, False, False]


def test_that_an_account_that_lost_everything_ends() -> None:
    path = random_path(40, 6, volatility=0.2)
    env = VectorTradingEnv(path, TradingRules(leverage=20.0), 2, target_actions((-1, 0, 1)))
    ended = [env.step([0, 2]).terminated.any() for _ in range(38)]
    assert any(ended)


@pytest.mark.parametrize("name", ["features", "funding_rate"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_that_a_value_that_is_not_finite_is_named_with_its_place(name: str, value: float) -> None:
    path = random_path(30, 7)
    getattr(path, name)[4] = value
    with pytest.raises(DataError, match=rf"{name} holds {value} at \(4,"):
        TradingEnv(path, TradingRules())


def test_that_mistakes_are_named() -> None:
    path = random_path(30, 8)
    with pytest.raises(ConfigError, match="go short"):
        TradingEnv(path, TradingRules(can_short=False))
    with pytest.raises(DataError, match="need 41 rows, the path has 30"):
        TradingEnv(path, TradingRules(), episode_rows=40)
    with pytest.raises(ConfigError, match="outside 0 to 2"):
        VectorTradingEnv(path, TradingRules(), 2).step([0, 3])
    with pytest.raises(ConfigError, match="must ascend"):
        target_actions((0.5, 1.0))
    with pytest.raises(ConfigError, match=r"'profit' does not exist\. Give one of net_profit"):
        TradingEnv(path, TradingRules(), reward="profit")
    with pytest.raises(ConfigError, match=r"leverage is 0\.5"):
        TradingRules(leverage=0.5)
