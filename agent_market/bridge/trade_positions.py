"""Trades of a backtest, a dry run or a live bot, and the candles and rules they were made by."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from freqtrade.data.btanalysis import load_trades_from_db
from freqtrade.data.btanalysis.historic_precision import get_tick_size_over_time
from freqtrade.data.history import load_pair_history
from freqtrade.enums import CandleType
from freqtrade.exchange import Exchange, timeframe_to_minutes
from freqtrade.persistence import Trade
from freqtrade.resolvers import StrategyResolver

from agent_market.errors import ConfigError, DataError
from agent_market.evaluation.backtest_result import read_backtest_result
from agent_market.learning.window_plan import PairPlan
from agent_market.rl.paths import PricePath, funding_shares
from agent_market.rl.rules import TradingRules

logger = logging.getLogger(__name__)

FUNDING_TIMEFRAME = "1h"
_DATABASES = (".sqlite", ".db", ".sqlite3")


def read_trades(path: Path, strategy: str | None = None) -> pd.DataFrame:
    """
    Return Freqtrade's trades: `pair`, `open_date`, `close_date`, `is_short`, `leverage` and more.
    :param path: an exported backtest (`.zip`), or the database of a bot (`.sqlite`), which is left
        as it is and may be in use
    :param strategy: whose trades, where there are several strategies
    """
    if path.suffix not in _DATABASES:
        return read_backtest_result(path, strategy).trades
    if not path.is_file():
        raise DataError(f"{path}: there is no such database. Give the file of a dry or live run.")
    with tempfile.TemporaryDirectory() as folder:
        # Freqtrade brings a database up to date when it opens it: let that be a copy
        copied = Path(folder) / "trades.sqlite"
        try:
            _copy(path, copied)
            return cast(pd.DataFrame, load_trades_from_db(f"sqlite:///{copied}", strategy))
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{path} is no database of Freqtrade ({error}). Give the file of a dry or live run."
            ) from error
        finally:
            if hasattr(Trade, "session"):
                Trade.session.remove()


def price_path(config: Mapping[str, Any], plan: PairPlan) -> PricePath:
    """
    Return candles, features and funding of a pair, from the first row whose features are all known.

    A feature that is missing later keeps the value that was known last.
    :param config: of `read_config`
    :param plan: of `load_plans`
    """
    features = _known(plan)
    first = len(plan.candles) - len(features)
    candles = plan.candles.iloc[first:]
    prices = {name: candles[name].to_numpy(float) for name in ("open", "high", "low", "close")}
    dates = candles["date"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ms]")
    steps = get_tick_size_over_time(plan.candles.copy())
    return PricePath(
        features=features,
        **prices,
        funding_rate=_funding(config, plan.pair, dates, prices["open"]),
        dates=dates,
        price_step=steps.asof(pd.DatetimeIndex(candles["date"])).to_numpy(float),
    )


def trading_rules(
    config: Mapping[str, Any], *, fee: float, slippage: float, leverage: float
) -> TradingRules:
    """
    Return the strategy's stop-loss and minimal ROI, with costs.

    A trailing stop, `custom_stoploss` and `custom_exit` are not among them: an exit by those is
    seen in trades, and takes place at the next open in the environment.
    :param config: of `read_config`
    :param fee: of one side, as a share of the value traded
    :param slippage: added to it
    :param leverage: of every trade
    """
    strategy = StrategyResolver.load_strategy(dict(config))
    is_futures = config.get("trading_mode") == "futures"
    if leverage != 1 and not is_futures:
        raise ConfigError(f"leverage is {leverage} and trading_mode is not futures. Give 1.")
    return TradingRules(
        fee=fee,
        slippage=slippage,
        leverage=leverage,
        can_short=is_futures and bool(strategy.can_short),
        stoploss=float(strategy.stoploss),
        minimal_roi={int(minutes): float(roi) for minutes, roi in strategy.minimal_roi.items()},
        candle_minutes=timeframe_to_minutes(config["timeframe"]),
    )


def _copy(path: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master")}
    if "trades" not in tables:
        raise sqlite3.DatabaseError(f"its tables are {sorted(tables)}, none is `trades`")


def _known(plan: PairPlan) -> np.ndarray[Any, np.dtype[np.float32]]:
    table = plan.table.read(0, len(plan.table))
    known = ~np.isnan(table)
    never = np.flatnonzero(~known.any(axis=0))
    if never.size:
        raise DataError(
            f"{plan.pair}: the feature {plan.table.names[never[0]]} is never known. Leave it out, "
            "or give a longer time range."
        )
    first = int(known.argmax(axis=0).max())
    missing = int((~known[first:]).sum())
    if not missing:
        return table[first:]
    logger.warning(
        "%s: %s of %s values are missing; each keeps the value known last.",
        plan.pair,
        f"{missing:,}",
        f"{table[first:].size:,}",
    )
    return cast(
        "np.ndarray[Any, np.dtype[np.float32]]", pd.DataFrame(table[first:]).ffill().to_numpy()
    )


def _funding(
    config: Mapping[str, Any],
    pair: str,
    dates: np.ndarray[Any, np.dtype[np.datetime64]],
    opened: np.ndarray[Any, np.dtype[np.float64]],
) -> np.ndarray[Any, np.dtype[np.float64]]:
    if config.get("trading_mode") != "futures":
        return np.zeros(len(dates))
    rates, marks = (
        load_pair_history(
            pair=pair,
            timeframe=FUNDING_TIMEFRAME,
            datadir=Path(config["datadir"]),
            data_format=config.get("dataformat_ohlcv", "feather"),
            fill_up_missing=False,
            drop_incomplete=False,
            candle_type=kind,
        )
        for kind in (CandleType.FUNDING_RATE, CandleType.MARK)
    )
    if rates.empty or marks.empty:
        raise DataError(
            f"{config['datadir']}: no {FUNDING_TIMEFRAME} funding rates or mark candles of {pair}. "
            "Download them with `freqtrade download-data --trading-mode futures`."
        )
    events = Exchange.combine_funding_and_mark(
        funding_rates=rates,
        mark_rates=marks,
        futures_funding_rate=config.get("futures_funding_rate"),
    )
    return funding_shares(
        dates,
        opened,
        events["date"].dt.tz_localize(None).to_numpy(),
        events["open_fund"].to_numpy(float),
        events["open_mark"].to_numpy(float),
    )
