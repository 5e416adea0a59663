"""Features of headlines: how good or bad the recent ones read, by a small word list.

A baseline without a model: it knows no grammar ("not hacked" reads as bad) and no context.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from agent_market.features.decay import reach_of
from agent_market.market.candles import timeframe_seconds

SENTIMENT_HALF_LIFE_CANDLES = 12.0
_STRONG, _MILD = 0.85, 0.45
_WORDS = {
    -_STRONG: "bankrupt bankruptcy collapse collapses crash crashes dumps exploit fraud hack "
    "hacked insolvent liquidated outage panic plunge plunges scam sues theft",
    -_MILD: "concern cut cuts decline declines delay delayed drop drops falling falls lawsuit "
    "lower probe slip slips slowing weak weaker weakness",
    _MILD: "ahead expand expands gain gains growth higher improve improves raise raises rise rises "
    "steady strong support upgrade",
    _STRONG: "adopts approval approves breakthrough landmark record relief skyrockets soar soars "
    "surge surges triumph wins huge",
}
_SCORES = {word: score for score, words in _WORDS.items() for word in words.split()}


def score_headline(headline: str) -> float:
    """Return how good a headline reads, -0.85..0.85: its best word plus its worst.

    Examples
    --------
    >>> score_headline("Coin slips after a weak report"), score_headline("Weekly summary")
    (-0.45, 0.0)
    """
    words = re.findall(r"[a-z]+", headline.lower())
    found = [0.0, *(_SCORES.get(word, 0.0) for word in words)]
    return max(found) + min(found)


def add_headline_features(
    candles: pd.DataFrame,
    news: pd.DataFrame,
    symbol: str,
    timeframe: str,
    score: Callable[[str], float] = score_headline,
) -> pd.DataFrame:
    """Return `candles` with the sentiment of what was published about a coin.

    Adds `%-news_sentiment`: the sum of the headlines' scores, each halving every 12 candles since
    publication, forgotten after 120.

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has `date`, ascending.
    news : DataFrame
        Side data `news`: `available_at`, `headline` and `symbols` (list of coins).
    symbol : str
        Coin, such as `BTC`.
    timeframe : str
        Of the candles.
    score : callable
        Takes a headline, returns how good it reads; each must follow from its own text alone.

    Notes
    -----
    Information time: row t uses headlines with `available_at` up to its close. 0 where there are
    none, which an outage of the feed looks like too; never NaN.
    """
    candle = pd.Timedelta(seconds=timeframe_seconds(timeframe))
    closes = pd.DatetimeIndex(candles["date"]) + candle
    concerns = news["symbols"].map(lambda symbols: symbol in symbols).astype(bool)
    known = news[concerns].sort_values("available_at", kind="stable")
    sentiment = np.zeros(len(candles))
    for published, headline in zip(known["available_at"], known["headline"], strict=True):
        first = int(closes.searchsorted(published))
        last = int(closes.searchsorted(published + reach_of(SENTIMENT_HALF_LIFE_CANDLES) * candle))
        age = np.asarray((closes[first:last] - published) / candle, dtype=np.float64)
        sentiment[first:last] += score(headline) * 0.5 ** (age / SENTIMENT_HALF_LIFE_CANDLES)
    return candles.assign(**{"%-news_sentiment": sentiment})
