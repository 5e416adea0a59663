"""Crowding in perpetual futures: funding, basis, open interest.

Funding and mark prices are Freqtrade's own candles of type `funding_rate` and `mark`. Files of mark
candles that are named 1h may hold a row for each 8 hours, whose *close* is the price 8 hours after
its date: reading it an hour later would look 7 hours ahead. Freqtrade fills the hours between with
that close, which spreads the fault. Only the *open* is read here, which is the price at the date,
whatever the row's length; and only at 00:00, 08:00 and 16:00 UTC, so that a live bot, whose rows
are hourly, sees what a backtest saw.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from agent_market.features.inputs import FeatureInputs, Need, candles_in
from agent_market.features.rolling import rolling_sum
from agent_market.features.standardize import steady_zscore
from agent_market.market.sidedata import join_as_of

Columns: TypeAlias = dict[str, pd.Series]
SETTLEMENT_HOURS = 8
FUNDING_WINDOW, BASIS_WINDOW = 15, 9  # settlements that a z-score compares with
CUMULATIVE_SETTLEMENTS = 9
# A live bot asks for these candles once an hour: what is older than that, it has.
_KNOWN_AFTER = pd.Timedelta("1h")
_STALE_AFTER = pd.Timedelta("26h")


def funding(inputs: FeatureInputs) -> Columns:
    """Funding rate: the last one, against the last 15, and the sum of the last 9, in bps.

    Positive rates are paid by longs. Information time: row t uses payments at least an hour before
    its close. NaN until there are 15, and where the last one is older than 26 hours.
    """
    rows = inputs.candles_of(inputs.pair, "1h", Need.FUNDING)
    rate = rows["open"].astype(float) * 1e4
    columns = {
        "rate_bps": rate,
        "z": steady_zscore(rate, FUNDING_WINDOW),
        "cumulative_bps": rolling_sum(rate, CUMULATIVE_SETTLEMENTS),
    }
    return _known(inputs, rows["date"], columns)


def basis(inputs: FeatureInputs) -> Columns:
    """Basis (traded over mark price - 1, bps) at settlements: the last, its change, its z-score.

    Information time: row t uses prices of settlements at least an hour before its close, the traded
    one being the open of the candle that begins there. NaN until there are 9 of them.
    """
    mark = inputs.candles_of(inputs.pair, "1h", Need.MARK)
    settles = mark["date"].dt.hour % SETTLEMENT_HOURS == 0
    opens = mark.loc[settles, ["date", "open"]].merge(
        inputs.candles[["date", "open"]], on="date", suffixes=("_mark", "_traded")
    )
    deviation = (opens["open_traded"] / opens["open_mark"] - 1).astype(float) * 1e4
    columns = {
        "bps": deviation,
        "change_bps": deviation.diff(),
        "z": steady_zscore(deviation, BASIS_WINDOW),
    }
    return _known(inputs, opens["date"], columns)


def crowding(inputs: FeatureInputs) -> Columns:
    """Open interest: its change over an hour and a day, and whether the day's goes with the price.

    `change_1h_bps`, `change_1d_bps` (logarithmic) and `with_price_bps`, the day's change with the
    sign of the day's return: above 0, positions were opened in the direction of the move if the
    price rose. Information time: row t uses rows with `available_at` up to its close and closes of
    rows t-1 day..t.
    """
    side = inputs.side_of(Need.OPEN_INTEREST, inputs.pair)
    now = _logarithm_at(inputs, side, pd.Timedelta(0))
    hour = now - _logarithm_at(inputs, side, pd.Timedelta("1h"))
    day = now - _logarithm_at(inputs, side, pd.Timedelta("1D"))
    close = inputs.candles["close"]
    moved = np.sign(close - close.shift(candles_in(1, inputs.timeframe)))
    return {
        "change_1h_bps": hour * 1e4,
        "change_1d_bps": day * 1e4,
        "with_price_bps": day * 1e4 * moved,
    }


def basis_memory(timeframe: str) -> int:
    """Return the candles before a row that `basis` reads."""
    settlements = BASIS_WINDOW * SETTLEMENT_HOURS / 24
    return candles_in(settlements + _KNOWN_AFTER / pd.Timedelta("1D"), timeframe)


def _logarithm_at(inputs: FeatureInputs, side: pd.DataFrame, age: pd.Timedelta) -> pd.Series:
    """Return the logarithm of the open interest known `age` before each close."""
    moments = pd.DataFrame({"date": inputs.candles["date"] - age})
    rows = side[["event_time", "available_at", "open_interest"]].assign(seen=side["event_time"])
    joined = join_as_of(moments, rows, inputs.timeframe)
    fresh = inputs.close_time - age - joined["seen"] <= pd.Timedelta("2h")
    level = joined["open_interest"].where(fresh & (joined["open_interest"] > 0))
    return pd.Series(np.log(level.to_numpy(np.float64)), index=inputs.candles.index)


def _known(inputs: FeatureInputs, dates: pd.Series, columns: Columns) -> Columns:
    """Return what settled at `dates` at the candles by whose close it is known, if it is fresh."""
    rows = pd.DataFrame(columns).assign(event_time=dates, available_at=dates + _KNOWN_AFTER)
    rows["seen"] = rows["event_time"]
    joined = join_as_of(inputs.candles[["date"]], rows, inputs.timeframe)
    fresh = inputs.close_time - joined["seen"] <= _STALE_AFTER
    return {name: joined[name].where(fresh) for name in columns}
