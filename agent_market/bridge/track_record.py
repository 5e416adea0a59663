"""What a model predicted before the candles that a running bot has at hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from freqtrade.strategy import IStrategy


def with_older(record: pd.DataFrame, strategy: IStrategy, pair: str, column: str) -> pd.DataFrame:
    """
    Return the record with the candles before it that FreqAI keeps predictions of.

    A live bot loads few candles. What FreqAI predicted of its own training candles is untrusted.
    :param record: `date`, `close`, and `prediction`, NaN where untrusted
    :param strategy: the strategy
    :param pair: the pair
    :param column: FreqAI's column of the prediction
    """
    freqai = getattr(strategy, "freqai", None)  # a strategy may put predictions of its own there
    kept = freqai.dd.historic_predictions.get(pair) if freqai else None
    if kept is None or column not in kept:
        return record
    trusted = kept["do_predict"].eq(1).to_numpy()
    if "abstain" in kept:
        trusted = trusted & kept["abstain"].ne(1).to_numpy()
    older = pd.DataFrame(
        {
            "date": kept["date_pred"].astype(record["date"].dtype),
            "close": kept["close_price"].astype(float),
            "prediction": np.where(trusted, kept[column].astype(float), np.nan),
        }
    ).drop_duplicates("date", keep="last")
    joined: pd.DataFrame = pd.concat([older[older["date"] < record["date"].min()], record])
    return joined
