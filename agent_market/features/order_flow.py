"""Features of who trades: taker buying against taker selling."""

from __future__ import annotations

import pandas as pd

from agent_market.features.decay import decayed_mean
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import join_as_of

PRESSURE_HALF_LIFE_CANDLES = 3.0


def add_order_flow_features(
    candles: pd.DataFrame, order_flow: pd.DataFrame, timeframe: str
) -> pd.DataFrame:
    """Return `candles` with the imbalance of taker volume and how long it has lasted.

    Adds `%-flow_imbalance` ((buys - sells) / (buys + sells) of the candle, -1..1) and
    `%-flow_pressure` (its decayed mean, half-life 3 candles, reach 30).

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has `date`, ascending, without gaps.
    order_flow : DataFrame
        Side data `order_flow`, whose rows cover candles of `timeframe`; ascending by
        `available_at`.
    timeframe : str
        Of the candles.

    Notes
    -----
    Information time: row t uses rows with `available_at` up to its close. NaN where the candle's
    own row is missing or late (an older row is not taken for it), or nothing was traded;
    the pressure is NaN wherever one of the 30 candles it reads is.
    """
    joined = join_as_of(
        candles[["date"]], order_flow.assign(flow_until=order_flow["event_time"]), timeframe
    )
    close_time = candles["date"] + pd.Timedelta(seconds=timeframe_seconds(timeframe))
    bought, sold = joined["buy_volume"], joined["sell_volume"]
    traded = (bought + sold).where(joined["flow_until"] == close_time)
    imbalance = (bought - sold) / traded.where(traded > 0)
    pressure = decayed_mean(imbalance, PRESSURE_HALF_LIFE_CANDLES)
    return candles.assign(**{"%-flow_imbalance": imbalance, "%-flow_pressure": pressure})
