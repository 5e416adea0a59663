import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, GateRejected
from agent_market.rl.offline.behavior import (
    explored,
    hindsight_targets,
    position_targets,
    random_targets,
)
from agent_market.rl.offline.evaluation import GateSettings, gate, hold_out
from agent_market.rl.policies.problem import TradingProblem
from tests.rl.offline.markets import POSITIONS, RULES, log_of, market
from tests.rl.offline.rules import Always, Threshold, exact_value

STRENGTH, VOLATILITY = 0.4, 0.004
GRID = np.array(POSITIONS)


def _logged(seed: int, n_rows: int = 6000):
    path = market(n_rows, seed=seed, strength=STRENGTH, volatility=VOLATILITY)
    return path, log_of(path, random_targets(n_rows, 3, seed=seed + 100))


def _truth(policy, path, buffer, discount: float = 0.9) -> float:
    """The value by the market's known drift."""
    problem = TradingProblem.of(path, POSITIONS, RULES.cost)
    drift = STRENGTH * VOLATILITY * problem.features[:, :1].astype(float) * GRID
    return exact_value(policy, problem, buffer.held, drift, discount)


@pytest.mark.parametrize(
    "policy", [Threshold(0.3), Threshold(1.0), Threshold(0.3, sign=-1), Always(2), Always(1)]
)
def test_that_the_interval_covers_the_exact_value_as_often_as_it_says(policy) -> None:
    settings = GateSettings(confidence=0.9, resamples=200)
    covered, errors = 0, []
    for seed in range(8):
        path, buffer = _logged(seed)
        found, truth = gate(policy, buffer, settings).policy, _truth(policy, path, buffer)
        covered += found.low <= truth <= found.high
        errors.append(found.value - truth)
    assert covered >= 5  # of 8; 4 or fewer have a chance of 1 in 200 at 90 %
    assert abs(np.mean(errors)) < 1e-4  # the signal itself moves a row by 16 bps


def test_that_a_good_policy_passes_and_a_bad_one_is_refused_with_reasons() -> None:
    _, buffer = _logged(1)
    good = gate(Threshold(0.3), buffer)
    assert good.passed and good.gain.low > 0
    good.require()
    bad = gate(Threshold(0.3, sign=-1), buffer)
    assert not bad.passed and bad.policy.high < 0
    with pytest.raises(GateRejected, match=r"is not surely above 0 bps.*not surely better than"):
        bad.require()


def test_that_a_policy_worse_than_a_good_behavior_is_refused_though_it_earns() -> None:
    path = market(12_000, seed=3, strength=STRENGTH, volatility=VOLATILITY)
    skilled = position_targets(Threshold(0.3).positions_of(path.features), GRID)
    buffer = log_of(path, explored(skilled, 3, share=0.2, seed=0), behavior="skilled")
    found = gate(Threshold(1.6), buffer)
    assert found.policy.low > 0
    assert not found.passed
    assert ["better" in reason for reason in found.reasons] == [True]
    assert "'skilled'" in found.reasons[0]


def test_that_what_the_log_never_tried_is_not_believed() -> None:
    path = market(6000, seed=3, strength=STRENGTH)
    only_long = np.random.default_rng(0).integers(1, 3, len(path))
    found = gate(Threshold(0.3), log_of(path, only_long))
    assert any("take position -1 where the policy would" in reason for reason in found.reasons)


def test_that_a_log_that_knew_the_future_proves_nothing() -> None:
    path = market(6000, seed=3)
    targets = explored(hindsight_targets(path, GRID, RULES.cost), 3, share=0.2, seed=0)
    buffer = log_of(path, targets, behavior="hindsight", knows_future=True)
    found = gate(Always(2), buffer)
    assert any("knew the future" in reason for reason in found.reasons)


def test_that_one_seed_gives_one_verdict() -> None:
    _, buffer = _logged(2)
    assert gate(Threshold(0.3), buffer) == gate(Threshold(0.3), buffer)
    assert (
        gate(Threshold(0.3), buffer).policy
        != gate(Threshold(0.3), buffer, GateSettings(seed=1)).policy
    )


def test_that_a_short_log_and_other_positions_are_named() -> None:
    _, buffer = _logged(2, n_rows=900)
    with pytest.raises(DataError, match=r"the log has 898 rows, at least 1,000"):
        gate(Threshold(0.3), buffer)
    other = Threshold(0.3)
    other.settings = other.settings.model_copy(update={"positions": (0.0, 1.0)})
    with pytest.raises(ConfigError, match="a log of its own positions"):
        gate(other, buffer)


def test_that_what_is_held_out_lies_later_than_every_reward_that_is_learned_from() -> None:
    _, buffer = _logged(2, n_rows=1000)
    learn, judge = hold_out(buffer, 0.3)
    candle = np.timedelta64(300_000, "ms")
    assert learn.date.max() + 3 * candle == judge.date.min()
    assert len(judge) == pytest.approx(300, abs=2)
    assert learn.next_row[-1] == -1
