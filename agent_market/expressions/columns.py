"""Expressions as columns of candle frames, the form in which FreqAI takes features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.nodes import Feature, Node, walk
from agent_market.expressions.panel import candle_number, panel_of_candles

PREFIX = "%-"


def expression_columns(
    candles: Mapping[str, pd.DataFrame],
    timeframe: str,
    expressions: Mapping[str, Node],
    *,
    funding: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return each pair's values of named expressions, in columns such as `%-expr_1a2b3c4d`.

    Parameters
    ----------
    candles : mapping of pair to DataFrame
        Of `timeframe`, in Freqtrade's columns, with the features that expressions name. Expressions
        that compare pairs compare these, so give all pairs the campaign had.
    expressions : mapping of str to Node
        By name, as `AcceptedExpressions.nodes` returns them.
    funding : mapping of pair to DataFrame, optional
        See `panel_of_candles`.

    Returns
    -------
    dict of str to DataFrame
        By pair; one row a candle of that pair's frame, on its index. NaN until there is as much
        history as the expression looks back.

    Notes
    -----
    Information time: row t uses candles that have closed when its own does, of all pairs.
    """
    panel = panel_of_candles(
        candles, timeframe, funding=funding, features=_features(list(expressions.values()))
    )
    values = list(Evaluator(panel).evaluate(list(expressions.values())))
    result = {}
    for row, (pair, frame) in enumerate(candles.items()):
        places = [candle_number(date, timeframe) - panel.first_candle for date in frame["date"]]
        columns = {
            f"{PREFIX}{name}": each[row, places]
            for name, each in zip(expressions, values, strict=True)
        }
        result[pair] = pd.DataFrame(columns, index=frame.index)
    return result


def _features(expressions: Sequence[Node]) -> list[str]:
    parts = (part for node in expressions for part in walk(node))
    return sorted({part.name for part in parts if isinstance(part, Feature)})
