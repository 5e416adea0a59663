"""Which of many looks is kept, and which rows say what it is worth."""

import numpy as np
import torch

from agent_market.rl.paths import trading_costs
from agent_market.rl.policies.ground import Ground
from agent_market.rl.policies.looks import BOTH, EARLIER, LATER, Looks, earned_unchosen
from agent_market.rl.policies.problem import TradingProblem

POSITIONS = np.array([-1.0, 0.0, 1.0])
SHORT, LONG = 0, 2


def test_each_half_keeps_the_look_it_likes_best_and_later_training_does_not_change_it() -> None:
    looks, weight = Looks(), torch.zeros(1)
    for number, judgments in enumerate([(1.0, 0.0), (0.0, 3.0), (-1.0, 3.5)]):
        weight.fill_(number)
        looks.add(*judgments, {"weight": weight})
    kept = {kind: looks.values(kind)["weight"].item() for kind in (EARLIER, BOTH, LATER)}
    assert kept == {EARLIER: 0, BOTH: 1, LATER: 2}
    assert looks.judgments == [1.0, 3.0, 2.5] and looks.best == 1


def test_each_half_is_earned_by_what_the_other_has_chosen() -> None:
    gains = np.outer(np.arange(1000.0), POSITIONS)
    features = np.zeros((1000, 1), dtype=np.float32)
    problem = TradingProblem(features, POSITIONS, gains, trading_costs(POSITIONS, 0.0))
    ground = Ground.of([problem], window=1, purge=30, valid_share=0.2)
    taken: list[str] = []

    def choices(features: np.ndarray) -> np.ndarray:
        return np.full((len(features), 3), LONG if taken[-1] == LATER else SHORT)

    earned = earned_unchosen(ground, taken.append, choices)
    # the later half would have gone long everywhere, the earlier one short
    np.testing.assert_array_equal(earned, [*range(800, 899), *(-row for row in range(900, 1000))])
    assert taken[-1] == BOTH
