"""What the purge buys: on noise, overlapping labels look predictable to a random split."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor

from agent_market.learning.labels import ForwardReturn
from agent_market.learning.splits import CombinatorialPurged, PurgedKFold, WalkForward
from tests.candles import random_candles

FloatArray = npt.NDArray[np.float64]
HORIZON = 24
MARKETS = 20

SPLITTERS = {
    "random": lambda: KFold(5, shuffle=True, random_state=0),
    "purged": lambda: PurgedKFold(n_splits=5, horizon=HORIZON, embargo=HORIZON),
    "walk forward": lambda: WalkForward(train_length=400, step=200, horizon=HORIZON),
    "combinatorial": lambda: CombinatorialPurged(horizon=HORIZON, embargo=HORIZON),
}


def _information_coefficient(
    model: KNeighborsRegressor, features: FloatArray, labels: FloatArray
) -> float:
    return float(np.corrcoef(model.predict(features), labels)[0, 1])


def _mean_and_error(name: str) -> tuple[float, float]:
    """Return the mean IC over markets that nothing predicts, and its standard error."""
    scores = []
    for seed in range(MARKETS):
        candles = random_candles(1200, seed)
        labels = ForwardReturn(horizon_candles=HORIZON).compute(candles).dropna()
        drawn = np.random.default_rng(1000 + seed).normal(size=(len(labels), 4))
        features = np.cumsum(drawn, axis=0)  # persistent, and independent of the market
        scores.append(
            cross_val_score(
                KNeighborsRegressor(5),
                features,
                labels.to_numpy(),
                cv=SPLITTERS[name](),
                scoring=_information_coefficient,
            ).mean()
        )
    return float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(MARKETS))


def test_that_a_random_split_finds_skill_in_noise() -> None:
    mean, error = _mean_and_error("random")
    assert mean > 0.5 and mean > 10 * error


@pytest.mark.parametrize("name", ["purged", "walk forward", "combinatorial"])
def test_that_a_purged_split_finds_none(name: str) -> None:
    mean, error = _mean_and_error(name)
    assert abs(mean) < 3 * error and error < 0.05


def test_that_a_purge_that_is_too_short_lets_labels_overlap() -> None:
    labels = ForwardReturn(horizon_candles=HORIZON)
    ends = labels.label_end(random_candles(500))
    for horizon, expected in ((HORIZON, 0), (HORIZON - 1, 2)):
        overlaps = 0
        for train, tests in PurgedKFold(n_splits=2, horizon=horizon).split(np.zeros(500)):
            overlaps += int(((tests.min() < ends[train]) & (train < ends[tests].max())).sum())
        assert overlaps == expected


def test_that_a_model_recovers_an_oracle_through_the_purge() -> None:
    candles = random_candles(1200)
    labels = ForwardReturn(horizon_candles=HORIZON).compute(candles).dropna()
    noise = np.random.default_rng(3).normal(0, labels.std() / 10, len(labels))
    features = (labels + noise).to_frame().to_numpy()
    scores = cross_val_score(
        KNeighborsRegressor(5),
        features,
        labels.to_numpy(),
        cv=PurgedKFold(horizon=HORIZON),
        scoring=_information_coefficient,
    )
    assert pd.Series(scores).min() > 0.8
