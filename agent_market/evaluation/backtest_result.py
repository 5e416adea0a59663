"""Read what `freqtrade backtesting` exported, without importing Freqtrade."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from agent_market.errors import DataError
from agent_market.market.candles import CandleKind

_AGAIN = "Run the backtest again with `--export trades` and give the new zip."
# A damaged header can also claim encryption or an unknown method: RuntimeError.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)
_STATS = (
    "backtest_end_ts",
    "backtest_start_ts",
    "pairlist",
    "starting_balance",
    "timeframe",
    "total_trades",
    "trades",
)
_TRADE_COLUMNS = [
    "pair",
    "open_date",
    "close_date",
    "open_rate",
    "close_rate",
    "fee_open",
    "fee_close",
    "profit_ratio",
    "profit_abs",
    "exit_reason",
    "enter_tag",
    "leverage",
    "is_short",
    "funding_fees",
    "trade_duration",
    "orders",
]


@dataclass(frozen=True)
class BacktestArtifacts:
    """Where the pieces of one backtest lie.

    Attributes
    ----------
    result_path : Path
        Freqtrade's exported `backtest-result-*.zip`.
    models_dir : Path
        FreqAI's folder of this run, or its parent `<user_data_dir>/models`.
    datadir : Path
        The Freqtrade data directory that the backtest read.
    config : mapping
        The merged configuration, secrets removed.
    provenance : mapping of str to str
        For example `data_hash`, `code_version`, `config_hash`.
    """

    result_path: Path
    models_dir: Path
    datadir: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_models_dir(self) -> Path:
        """FreqAI's folder of this run: below `models_dir` by identifier, or `models_dir`."""
        identifier = str(self.config.get("freqai", {}).get("identifier", ""))
        below = self.models_dir / identifier
        return below if identifier and below.is_dir() else self.models_dir

    @property
    def horizon_candles(self) -> int | None:
        """The label's horizon in candles, or None if the configuration names none."""
        features = self.config.get("freqai", {}).get("feature_parameters", {})
        horizon = features.get("label_period_candles")
        return int(horizon) if horizon else None


@dataclass(frozen=True)
class BacktestResult:
    """One strategy of an exported backtest.

    Attributes
    ----------
    strategy : str
        The strategy's class name.
    stats : mapping
        Freqtrade's own statistics of that strategy, as exported.
    trades : DataFrame
        One row per trade in order of opening; `open_date` and `close_date` are UTC.
    """

    strategy: str
    stats: Mapping[str, Any]
    trades: pd.DataFrame

    @property
    def start(self) -> pd.Timestamp:
        """Open time of the first candle that was traded."""
        return _utc(self.stats["backtest_start_ts"])

    @property
    def end(self) -> pd.Timestamp:
        """Open time of the last candle that was traded."""
        return _utc(self.stats["backtest_end_ts"])

    @property
    def pairs(self) -> list[str]:
        """Every pair of the backtest, traded or not, in order of name."""
        return sorted(self.stats["pairlist"])

    @property
    def starting_balance(self) -> float:
        """Balance at the start, stake currency."""
        return float(self.stats["starting_balance"])

    @property
    def timeframe(self) -> str:
        """Length of a candle, such as `5m`."""
        return str(self.stats["timeframe"])

    @property
    def is_futures(self) -> bool:
        """Whether the backtest traded perpetual futures."""
        return str(self.stats.get("trading_mode", "spot")).lower() == "futures"

    @property
    def candle_kind(self) -> CandleKind:
        """Which candles were traded: "futures" or "spot"."""
        return "futures" if self.is_futures else "spot"


def read_backtest_result(path: Path, strategy: str | None = None) -> BacktestResult:
    """Return one strategy's statistics and trades from Freqtrade's exported zip.

    Parameters
    ----------
    path : Path
        `backtest-result-*.zip` as Freqtrade 2026.9 writes it.
    strategy : str, optional
        Which strategy, where the file holds more than one.

    Raises
    ------
    DataError
        The file is missing, is not a zip, lacks the statistics or a needed field, or holds
        several strategies and none was named. The message says what to do.
    """
    strategies = _read_strategies(path)
    name = _choose(strategies, strategy, path)
    stats = strategies[name]
    missing = [key for key in _STATS if key not in stats]
    if missing:
        raise DataError(f"{path}: strategy {name!r} lacks {missing}. {_AGAIN}")
    return BacktestResult(name, stats, _trades(stats["trades"], path))


def _read_strategies(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"no backtest result at {path}. {_AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(f"{path.stem}.json"))
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a readable backtest result ({error}). {_AGAIN}") from error
    except KeyError as error:
        raise DataError(
            f"{path} holds no {path.stem}.json; Freqtrade names it after the zip. "
            f"Undo a renaming, or run the backtest again."
        ) from error
    strategies = content.get("strategy") if isinstance(content, dict) else None
    if not isinstance(strategies, dict) or not strategies:
        raise DataError(f"{path} holds no strategy results. {_AGAIN}")
    return strategies


def _choose(strategies: Mapping[str, Any], wanted: str | None, path: Path) -> str:
    if wanted is None and len(strategies) == 1:
        return next(iter(strategies))
    if wanted in strategies:
        return str(wanted)
    raise DataError(
        f"{path} holds the strategies {sorted(strategies)}, asked for {wanted!r}. "
        "Set `strategy` in the configuration to one of them."
    )


def _trades(records: list[dict[str, Any]], path: Path) -> pd.DataFrame:
    frame = pd.DataFrame(records, columns=None if records else _TRADE_COLUMNS)
    missing = [column for column in _TRADE_COLUMNS if column not in frame]
    if missing:
        raise DataError(f"{path}: the trades lack {missing}. {_AGAIN}")
    for column in ("open_date", "close_date"):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    frame["is_short"] = frame["is_short"].astype(bool)
    ordered = frame.sort_values(["open_date", "pair"], kind="stable")
    return ordered[_TRADE_COLUMNS].reset_index(drop=True)


def _utc(milliseconds: float) -> pd.Timestamp:
    return pd.Timestamp(int(milliseconds), unit="ms", tz="UTC")
