from types import SimpleNamespace

import numpy as np
import pandas as pd

from agent_market.bridge.track_record import with_older

PAIR, COLUMN = "BTC/USDT:USDT", "&-forward_return"


def _dates(first: int, n_rows: int) -> pd.DatetimeIndex:
    start = pd.Timestamp("2025-01-01", tz="UTC") + first * pd.Timedelta("5min")
    return pd.date_range(start, periods=n_rows, freq="5min")


def test_that_a_running_bot_remembers_what_it_predicted_before_its_candles() -> None:
    kept = pd.DataFrame(
        {
            "date_pred": _dates(0, 6).insert(1, _dates(0, 1)[0]),
            "close_price": [1.0, 1, 2, 3, 4, 5, 6],
            COLUMN: [0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            "do_predict": [0, 0, 1, 1, 1, 1, 1],  # the first ones are of the training candles
            "abstain": [0, 0, 0, 1, 0, 0, 0],
        }
    )
    drawer = SimpleNamespace(historic_predictions={PAIR: kept})
    strategy = SimpleNamespace(freqai=SimpleNamespace(dd=drawer))
    at_hand = pd.DataFrame(
        {"date": _dates(4, 3), "close": [5.0, 6, 7], "prediction": [0.5, np.nan, 0.7]}
    )
    record = with_older(at_hand, strategy, PAIR, COLUMN)
    assert record["close"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    wanted = [np.nan, 0.2, np.nan, 0.4, 0.5, np.nan, 0.7]
    np.testing.assert_array_equal(record["prediction"], wanted)
    assert with_older(at_hand, strategy, "ETH/USDT:USDT", COLUMN) is at_hand
