import dataclasses

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import DataError
from agent_market.features import GROUPS, FeatureInputs, compute_group
from agent_market.features.news import embedding, hashed_vectors
from tests.features.group_inputs import CANDLE, HEADLINES, candles, inputs, side


def _given(news: pd.DataFrame) -> FeatureInputs:
    return dataclasses.replace(inputs(0, 600), side_of=lambda kind, pair: news)


def _one(published: pd.Timestamp, **columns: object) -> pd.DataFrame:
    row = {"available_at": published, "headline": "Coin soars", "symbols": ["ETH"], **columns}
    return pd.DataFrame([row])


def test_that_a_headline_is_counted_for_an_hour_and_a_day() -> None:
    close = candles()["date"][100] + CANDLE
    found = compute_group(GROUPS["news"], _given(_one(close)))
    for name, rows in (("count_1h", 12), ("count_24h", 288)):
        counted = np.flatnonzero(found[f"%-news_{name}"])
        assert (counted[0], counted[-1]) == (100, 100 + rows - 1)
        assert found[f"%-news_{name}"][100] == pytest.approx(np.log(2))


def test_that_news_of_other_coins_do_not_count() -> None:
    found = compute_group(GROUPS["news"], _given(_one(candles()["date"][9], symbols=["XRP"])))
    assert (found == 0).all().all()


def test_that_a_vector_follows_from_its_own_text_alone() -> None:
    together = hashed_vectors(HEADLINES)
    for place, text in enumerate(HEADLINES):
        np.testing.assert_array_equal(hashed_vectors([text])[0], together[place])
    assert hashed_vectors([]).shape == (0, 8)


def test_that_texts_that_share_words_lie_near_each_other() -> None:
    near, far = "Coin slips after a hack of an exchange", "Weekly summary of the council"
    vectors = hashed_vectors(["Coin slips after a big hack", near, far])
    own, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert own > other


def test_that_a_topic_halves_and_is_forgotten() -> None:
    close = candles()["date"][100] + CANDLE
    found = compute_group(GROUPS["embedding"], _given(_one(close)))
    vector = hashed_vectors(["Coin soars"])[0]
    np.testing.assert_allclose(found.loc[100], vector)
    np.testing.assert_allclose(found.loc[112], vector / 2)
    assert (found.loc[:99] == 0).all().all() and (found.loc[220:] == 0).all().all()


def test_that_vectors_of_any_model_are_taken_from_the_file_or_from_a_callable() -> None:
    close = candles()["date"][100] + CANDLE
    stored = compute_group(GROUPS["embedding"], _given(_one(close, vector=[1.0, -2.0, 3.0])))
    assert list(stored.loc[100]) == [1.0, -2.0, 3.0]
    called = embedding(_given(_one(close)), lambda texts: np.full((len(texts), 2), 5.0))
    assert [called[name][100] for name in ("0", "1")] == [5.0, 5.0]


def test_that_vectors_of_two_models_in_one_file_are_refused() -> None:
    rows = side("news").iloc[:8]
    mixed = rows.assign(symbols=[["ETH"]] * 8, vector=[[1.0] * (2 + row % 2) for row in range(8)])
    with pytest.raises(DataError, match=r"vectors of \[2, 3\] numbers"):
        compute_group(GROUPS["embedding"], _given(mixed))
