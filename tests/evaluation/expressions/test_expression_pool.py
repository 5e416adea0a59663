"""Whether an expression is new, and whether a model of all gains by it."""

from __future__ import annotations

import numpy as np
import pytest

from agent_market.evaluation.expressions.layout import forward_returns, known_labels, layout_of
from agent_market.evaluation.expressions.pool import Pool
from agent_market.evaluation.expressions.scoring import Double, Scorer
from tests.evaluation.expressions.conftest import DESIGN, make_walk


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    panel = make_walk(1)
    layout = layout_of(panel.shape[1], panel.timeframe, DESIGN)
    labels = forward_returns(panel, DESIGN.horizon_candles)
    known = known_labels(labels, layout.search.stop, DESIGN.horizon_candles)
    return Scorer(known, layout.folds)


def noise(scorer: Scorer, seed: int) -> Double:
    return np.random.default_rng(seed).normal(size=scorer.outcomes.shape)


def foresight(scorer: Scorer, seed: int, skill: float = 0.3) -> Double:
    return skill * scorer.outcomes + noise(scorer, seed)


def test_the_opposite_is_no_new_expression(scorer: Scorer) -> None:
    pool = Pool(scorer)
    positions = noise(scorer, 1)
    pool.add("one", positions)
    pool.add("two", noise(scorer, 2))
    assert pool.likeness(-positions) == ("one", pytest.approx(1.0))
    assert pool.likeness(noise(scorer, 3)).correlation < 0.1


def test_nothing_is_like_an_empty_pool(scorer: Scorer) -> None:
    assert Pool(scorer).likeness(noise(scorer, 1)) == ("", 0.0)


def test_the_first_good_expression_gains_over_nothing(scorer: Scorer) -> None:
    gain = Pool(scorer).gain(foresight(scorer, 1))
    assert gain.ic_without == 0
    assert gain.ic_with > 0.15
    assert gain.t > 5


def test_a_twin_of_a_member_gains_nothing_and_another_view_does(scorer: Scorer) -> None:
    pool = Pool(scorer)
    member = foresight(scorer, 1)
    pool.add("member", member)
    twin = pool.gain(-member + 0.01 * noise(scorer, 2))
    other = pool.gain(foresight(scorer, 3))
    assert abs(twin.ic_with - twin.ic_without) < 0.002
    assert abs(twin.t) < DESIGN.least_gain_t
    assert other.ic_with > other.ic_without + 0.03
    assert other.t > DESIGN.least_gain_t


def test_noise_seldom_gains(scorer: Scorer) -> None:
    pool = Pool(scorer)
    pool.add("member", foresight(scorer, 1))
    gains = [pool.gain(noise(scorer, seed)).t for seed in range(2, 62)]
    assert np.mean(np.array(gains) > DESIGN.least_gain_t) <= 0.15


def test_the_opposite_gains_as_much(scorer: Scorer) -> None:
    pool = Pool(scorer)
    pool.add("member", foresight(scorer, 1))
    positions = foresight(scorer, 2)
    gain, opposite = pool.gain(positions), pool.gain(-positions)
    assert opposite.ic_with == pytest.approx(gain.ic_with)
    assert opposite.t == pytest.approx(gain.t)


def test_a_column_that_never_moves_does_no_harm(scorer: Scorer) -> None:
    pool = Pool(scorer)
    pool.add("flat", np.zeros(scorer.outcomes.shape))
    assert pool.likeness(noise(scorer, 1)) == ("", 0.0)
    assert pool.gain(foresight(scorer, 2)).t > 5
