"""The pair against the market: factor, relative strength, breadth, dispersion."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from agent_market.features.inputs import FeatureInputs

Columns: TypeAlias = dict[str, pd.Series]
LOOKBACKS = (12, 48, 288)


def market(inputs: FeatureInputs) -> Columns:
    """The mean return of the correlated pairs, the pair's own less it, breadth and dispersion.

    Over 12, 48 and 288 candles each: `return_<n>_bps`, `strength_<n>_bps`, `breadth_<n>` (share of
    pairs that rose, 0..1) and `dispersion_<n>_bps` (standard deviation between pairs).
    Information time: row t uses rows t-288..t of all of them, of the same candles. A pair without
    a candle there does not count; NaN where none has one.
    """
    own = inputs.candles["close"]
    closes = pd.DataFrame({name: _close_of(inputs, name) for name in inputs.peers})
    columns = {}
    for rows in LOOKBACKS:
        moves = _log_ratio(closes, rows)
        mean = moves.mean(axis=1)
        columns[f"return_{rows}_bps"] = mean * 1e4
        columns[f"strength_{rows}_bps"] = (_log_ratio(own.to_frame(), rows)["close"] - mean) * 1e4
        columns[f"breadth_{rows}"] = (moves > 0).sum(axis=1) / _counted(moves)
        squares = moves.sub(mean, axis=0) ** 2
        columns[f"dispersion_{rows}_bps"] = squares.mean(axis=1) ** 0.5 * 1e4
    return columns


def _close_of(inputs: FeatureInputs, pair: str) -> pd.Series:
    candles = inputs.candles
    if pair == inputs.pair:
        return candles["close"]
    other = inputs.candles_of(pair, inputs.timeframe, "")
    if other.empty:
        return pd.Series(np.nan, index=candles.index)
    aligned = other.set_index("date")["close"].reindex(candles["date"])
    return pd.Series(aligned.to_numpy(np.float64), index=candles.index)


def _log_ratio(closes: pd.DataFrame, rows: int) -> pd.DataFrame:
    ratio = (closes / closes.shift(rows)).to_numpy(np.float64)
    return pd.DataFrame(np.log(ratio), index=closes.index, columns=closes.columns)


def _counted(moves: pd.DataFrame) -> pd.Series:
    count = moves.notna().sum(axis=1)
    return count.where(count > 0)
