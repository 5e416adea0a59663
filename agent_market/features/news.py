"""Groups of features of headlines: how many, how good they read, and what they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError
from agent_market.features.decay import reach_of
from agent_market.features.headlines import add_headline_features
from agent_market.features.inputs import FeatureInputs, Need
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import EVERY_PAIR

Columns: TypeAlias = dict[str, pd.Series]
Vectors: TypeAlias = npt.NDArray[np.float64]
Embed: TypeAlias = Callable[[Sequence[str]], Vectors]
"""Takes texts, returns (n_texts, n_dimensions); each row must follow from its own text alone."""

DIMENSIONS = 8
TOPIC_HALF_LIFE_CANDLES = 12.0
COUNTED_HOURS = (1, 24)
_WORD_SPACE = 2**12
_PROJECTION_SEED = 20_240_101  # part of what the columns mean: another seed is another feature


def news(inputs: FeatureInputs) -> Columns:
    """Headlines about the coin: logarithmic counts over an hour and a day, decayed sentiment.

    Information time: row t uses headlines with `available_at` up to its close. 0 where there are
    none, which an outage of the feed looks like too; never NaN.
    """
    rows = _about(inputs)
    scored = add_headline_features(inputs.candles, rows, inputs.coin, inputs.timeframe)
    known = pd.DatetimeIndex(rows["available_at"]).sort_values()
    close = pd.DatetimeIndex(inputs.close_time)
    columns = {"sentiment": scored["%-news_sentiment"]}
    for hours in COUNTED_HOURS:
        before = known.searchsorted(close - pd.Timedelta(hours=hours), side="right")
        count = known.searchsorted(close, side="right") - before
        columns[f"count_{hours}h"] = pd.Series(np.log1p(count), index=inputs.candles.index)
    return columns


def embedding(inputs: FeatureInputs, embed: Embed | None = None) -> Columns:
    """What recent headlines about the coin are about, as a decayed sum of their vectors.

    Columns `0`..`7` of the baseline, or as many as `embed` returns. Each vector halves every 12
    candles since publication and is forgotten after 120. Where `embed` is None, vectors come from
    the side data's own column `vector`, which any model may have written; without it,
    `hashed_vectors`. Information time: row t uses headlines with `available_at` up to its close. 0
    where there are none; never NaN. A model that was trained on later texts knows the future in a
    way that no test of ours sees: use one whose training ended before the data begin.
    """
    rows = _about(inputs)
    vectors = _vectors_of(rows, embed or hashed_vectors)
    candle = pd.Timedelta(seconds=timeframe_seconds(inputs.timeframe))
    close = pd.DatetimeIndex(inputs.close_time)
    sums = np.zeros((len(close), vectors.shape[1]))
    for published, vector in zip(rows["available_at"], vectors, strict=True):
        first = int(close.searchsorted(published))
        last = int(close.searchsorted(published + reach_of(TOPIC_HALF_LIFE_CANDLES) * candle))
        age = np.asarray((close[first:last] - published) / candle, dtype=np.float64)
        sums[first:last] += 0.5 ** (age / TOPIC_HALF_LIFE_CANDLES)[:, None] * vector
    index = inputs.candles.index
    return {str(place): pd.Series(sums[:, place], index=index) for place in range(sums.shape[1])}


def hashed_vectors(texts: Sequence[str]) -> Vectors:
    """Return (n_texts, 8): hashed words, projected by fixed random directions.

    A baseline without a model: texts that share words lie near each other, nothing else is known.
    Nothing is fitted, so no text changes another's vector.
    """
    if not texts:
        return np.zeros((0, DIMENSIONS))
    return np.asarray(_hasher().transform(texts) @ _projection(), dtype=np.float64)


def _about(inputs: FeatureInputs) -> pd.DataFrame:
    rows = inputs.side_of(Need.NEWS, EVERY_PAIR)
    concerns = rows["symbols"].map(lambda symbols: inputs.coin in symbols).astype(bool)
    return rows[concerns].sort_values("available_at", kind="stable")


def _vectors_of(rows: pd.DataFrame, embed: Embed) -> Vectors:
    if "vector" not in rows:
        return embed(rows["headline"].tolist())
    sizes = {len(vector) for vector in rows["vector"]}
    if len(sizes) > 1:
        raise DataError(
            f"side data news: vectors of {sorted(sizes)} numbers stand in one file. Write all of "
            "them with one model."
        )
    return np.array(rows["vector"].tolist(), dtype=np.float64).reshape(len(rows), -1)


@cache
def _hasher() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=_WORD_SPACE)


@cache
def _projection() -> Vectors:
    signs = np.random.default_rng(_PROJECTION_SEED).integers(0, 2, (_WORD_SPACE, DIMENSIONS))
    return np.asarray((2.0 * signs - 1.0) / np.sqrt(DIMENSIONS), dtype=np.float64)
