"""Side data: everything that is not a candle, stored point in time.

Each row carries `event_time` (when it happened) and `available_at` (when we could have known it).
Backtest and live read through the same `join_as_of`, so neither can see a row early.

Kinds, beside the two times: `trades` (price, amount, side of the taker, id), `book` (bid_price,
bid_amount, ask_price, ask_amount, and lists bid_prices, bid_amounts, ask_prices, ask_amounts),
`order_flow` (buy_volume, sell_volume, n_trades of a 5-minute candle), `open_interest`
(open_interest, base currency), `liquidations` (side, price, amount), `news` (pair `EVERY_PAIR`:
headline, source, symbols, and sentiment_truth where simulated). `trades` and `book` may cover only
a part of the candles. `planted` is the truth of a simulated market: for judging, not for features.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agent_market.errors import DataError
from agent_market.market.candles import pair_file_name, timeframe_seconds
from agent_market.store import write_with

TIMES = ["event_time", "available_at"]
EVERY_PAIR = "ALL"


def side_path(datadir: Path, kind: str, pair: str) -> Path:
    """Return where one kind of side data of a pair (or of `EVERY_PAIR`) is kept."""
    return datadir / "side" / kind / f"{pair_file_name(pair)}.parquet"


def write_side(datadir: Path, kind: str, pair: str, frame: pd.DataFrame) -> Path:
    """Write rows atomically, sorted by `available_at`; return the path.

    Raises
    ------
    DataError
        A time column is missing, or a row is available before it happened.
    """
    missing = [column for column in TIMES if column not in frame]
    if missing:
        raise DataError(f"side data {kind} of {pair} lacks the columns {missing}")
    early = int((frame["available_at"] < frame["event_time"]).sum())
    if early:
        raise DataError(
            f"side data {kind} of {pair}: {early} rows are available before they happen"
        )
    path = side_path(datadir, kind, pair)
    stored = frame.sort_values("available_at", kind="stable").reset_index(drop=True)
    write_with(path, lambda temporary: stored.to_parquet(temporary, compression="zstd"))
    return path


def read_side(datadir: Path, kind: str, pair: str) -> pd.DataFrame:
    """Return the stored rows, sorted by `available_at`; `DataError` where there are none."""
    path = side_path(datadir, kind, pair)
    if not path.is_file():
        raise DataError(f"no side data {kind} of {pair}: {path} does not exist")
    return pd.read_parquet(path)


def join_as_of(candles: pd.DataFrame, side: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return `candles` with the newest side row known at each candle's close.

    Parameters
    ----------
    candles : DataFrame
        Has `date`, the candle's open time, ascending.
    side : DataFrame
        Has `event_time` and `available_at`, ascending by the latter; other columns are joined.
    timeframe : str
        Of `candles`.

    Notes
    -----
    Information time: row t takes rows with `available_at <= date_t + timeframe`. NaN before the
    first such row.
    """
    known_at = candles["date"] + pd.Timedelta(seconds=timeframe_seconds(timeframe))
    left = pd.DataFrame({"known_at": known_at.dt.as_unit("ms")})
    right = side.assign(known_at=side["available_at"].dt.as_unit("ms")).drop(columns=TIMES)
    joined = pd.merge_asof(left, right, on="known_at").drop(columns="known_at")
    joined.index = candles.index
    return pd.concat([candles, joined], axis=1)
