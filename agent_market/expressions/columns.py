"""Expressions as columns of one pair's candles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.expressions.evaluator import MEMORY_BYTES, Evaluator
from agent_market.expressions.nodes import Node
from agent_market.expressions.panel import panel_of_candles
from agent_market.market.candles import timeframe_seconds

_CANDLE = ["date", "open", "high", "low", "close", "volume"]


def expression_columns(
    nodes: Mapping[str, Node],
    candles: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
    timeframe: str,
    *,
    pair: str,
    funding: Mapping[str, pd.DataFrame] | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> pd.DataFrame:
    """Return the value of each expression for one pair, a column a name, the index of `candles`.

    Parameters
    ----------
    nodes : mapping of name to Node
    candles : DataFrame of shape (n_rows, ...)
        Of the pair: `date` (open time, UTC), open, high, low, close, volume; ascending.
    others : mapping of pair to DataFrame
        Candles of the pairs that operators over pairs see beside this one; what lies outside the
        dates of `candles` is not used.
    funding : mapping of pair to DataFrame, optional
        Freqtrade's funding files.

    memory_bytes : int
        Of the evaluator.

    Raises
    ------
    DataError
        The candles are no ascending candles of the timeframe, or a series is not there.

    Notes
    -----
    Information time: row t uses candles that have closed when candle t closes.
    """
    dates = candles["date"]
    frames = {pair: candles[_CANDLE]}
    for name, frame in others.items():
        inside = (frame["date"] >= dates.iloc[0]) & (frame["date"] <= dates.iloc[-1])
        frames[name] = frame.loc[inside, _CANDLE]
    panel = panel_of_candles(frames, timeframe, funding=funding)
    # the panel begins with the first candle of the pair
    step = pd.Timedelta(seconds=timeframe_seconds(timeframe))
    rows: npt.NDArray[np.int64] = ((dates - dates.iloc[0]) // step).to_numpy(np.int64)
    values = Evaluator(panel, memory_bytes).evaluate(list(nodes.values()))
    columns = {name: array[0][rows] for name, array in zip(nodes, values, strict=True)}
    return pd.DataFrame(columns, index=candles.index)
