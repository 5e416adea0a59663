import numpy as np
import pandas as pd
import pytest

from agent_market.features import add_headline_features, score_headline
from agent_market.market.simulator import simulate
from agent_market.market.simulator.newsfeed import news_of
from agent_market.settings import SimulatorSettings
from tests.candles import random_candles

CANDLE = pd.Timedelta("5min")


def _news(*rows: tuple[pd.Timestamp, str, list[str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["available_at", "headline", "symbols"])


def _sentiment(candles: pd.DataFrame, news: pd.DataFrame) -> pd.Series:
    return add_headline_features(candles, news, "BTC", "5m")["%-news_sentiment"]


@pytest.mark.parametrize(
    ("headline", "score"),
    [
        ("Coin crashes after a hack", -0.85),
        ("COIN SLIPS, analysts see weakness", -0.45),
        ("Coin soars, some fear a hack", 0.0),
        ("Weekly summary", 0.0),
        ("", 0.0),
    ],
)
def test_that_a_headline_scores_its_best_and_worst_word(headline: str, score: float) -> None:
    assert score_headline(headline) == pytest.approx(score)


def test_that_scores_follow_the_tone_of_simulated_headlines() -> None:
    market = simulate(SimulatorSettings(seed=4, days=180, pairs=("BTC/USDT:USDT",)))
    plan, own = market.blueprint, market.pairs["BTC/USDT:USDT"].headlines
    news = news_of(plan.start_ms, plan.common.headlines, {"BTC": own}, 2**62 // 10**6)
    scores = news["headline"].map(score_headline)
    assert np.corrcoef(scores, news["sentiment_truth"])[0, 1] > 0.9


def test_that_a_headline_counts_from_the_first_close_after_its_publication_and_halves() -> None:
    candles = random_candles(200)
    close = candles["date"][50] + CANDLE
    for published, first in (
        (close, 50),
        (close + pd.Timedelta("1ms"), 51),
        (close - pd.Timedelta("1ms"), 50),
    ):
        found = _sentiment(candles, _news((published, "Coin soars", ["BTC", "ETH"])))
        assert (found[:first] == 0).all()
        assert found[first] == pytest.approx(0.85, rel=0.06)
        assert found[first + 12] == pytest.approx(found[first] / 2)
        assert (found[first + 121 :] == 0).all()


def test_that_news_of_other_coins_do_not_count() -> None:
    candles = random_candles(50)
    news = _news((candles["date"][10], "Coin soars", ["ETH"]))
    assert (_sentiment(candles, news) == 0).all()
    assert (_sentiment(candles, _news()) == 0).all()


def test_that_later_headlines_change_nothing() -> None:
    candles = random_candles(300)
    rows = [
        (candles["date"][row] + pd.Timedelta("100s"), text, ["BTC"])
        for row, text in ((20, "Coin soars"), (90, "Coin slips"), (150, "A hack"), (250, "Gains"))
    ]
    whole = _sentiment(candles, _news(*rows))
    known = _sentiment(candles, _news(*rows[:3]))
    pd.testing.assert_series_equal(known[:250], whole[:250], check_exact=True)
    assert whole[252] != known[252]


def test_that_another_score_takes_the_place_of_the_word_list() -> None:
    candles = random_candles(60)
    news = _news((candles["date"][10], "Coin soars", ["BTC"]))
    ours = add_headline_features(candles, news, "BTC", "5m")["%-news_sentiment"]
    other = add_headline_features(candles, news, "BTC", "5m", lambda text: 2.0 * len(text))
    np.testing.assert_allclose(other["%-news_sentiment"], ours * 20 / 0.85)
