"""A synthetic backtest whose every figure is known, and one that Freqtrade really exported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.evaluation import BacktestArtifacts
from agent_market.market.candles import write_candles

DATA = Path(__file__).parent / "data"
START = pd.Timestamp("2024-01-10", tz="UTC")
HORIZON = 12
DAY_CANDLES = 288
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
FEE = 0.0005


@dataclass
class Backtest:
    """What a test asks for; `build` writes it the way Freqtrade and FreqAI do."""

    folder: Path
    pairs: tuple[str, ...] = PAIRS
    days: int = 6
    with_trades: bool = True
    with_predictions: bool = True
    with_importance: bool = True
    classifier: bool = False
    signal: float = 0.5
    config: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    def build(self) -> BacktestArtifacts:
        datadir, models = self.folder / "data", self.folder / "models"
        closes = {pair: self._candles(datadir, pair, seed) for seed, pair in enumerate(self.pairs)}
        trades = self._trades(closes) if self.with_trades else []
        if self.with_predictions:
            self._predictions(models / "run", closes)
        if self.with_importance:
            self._importance(models / "run" / "windows")
        return BacktestArtifacts(
            self._export(trades), models, datadir, self._config(), {"data_hash": "0f" * 32}
        )

    def _candles(self, datadir: Path, pair: str, seed: int) -> pd.Series:
        rng = np.random.default_rng(seed)
        rows = self.days * DAY_CANDLES + 1
        # A few candles before the start and fewer than a horizon after the end.
        dates = pd.date_range(START - pd.Timedelta("1h"), periods=rows + 12 + 5, freq="5min")
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(dates))))
        frame = pd.DataFrame({"date": dates, "open": close, "high": close, "low": close})
        frame["close"], frame["volume"] = close, 1.0
        write_candles(datadir, pair, "5m", "futures", frame)
        return pd.Series(close, index=dates)

    def _trades(self, closes: dict[str, pd.Series]) -> list[dict[str, Any]]:
        modes = ("trend", "mean_reversion", "event_breakout")
        trades = []
        for place, pair in enumerate(self.pairs):
            for n in range(9):
                opened = START + pd.Timedelta(hours=3 + 14 * n + 2 * place)
                trades.append(
                    trade(
                        pair,
                        opened,
                        opened + pd.Timedelta(hours=5),
                        float(closes[pair][opened]),
                        float(closes[pair][opened + pd.Timedelta(hours=5)]),
                        is_short=n % 2 == 1,
                        enter_tag=modes[n % 3],
                        funding_fees=0.01 * (n - 2),
                    )
                )
        return trades

    def _predictions(self, folder: Path, closes: dict[str, pd.Series]) -> None:
        rng = np.random.default_rng(99)
        for pair, close in closes.items():
            label = (close.shift(-HORIZON) / close - 1).fillna(0.0)
            noise = rng.normal(0, label.std(), len(label))
            values = self.signal * label + np.sqrt(1 - self.signal**2) * noise
            for day in range(self.days):
                begin = START + pd.Timedelta(days=day)
                rows = values.loc[begin : begin + pd.Timedelta(minutes=1435)]
                write_prediction(folder, pair, begin, rows, self.classifier)

    def _importance(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for pair in self.pairs:
            for day in range(self.days):
                until = START + pd.Timedelta(days=day) - pd.Timedelta(minutes=5)
                name = f"{pair.replace('/', '_').replace(':', '_')}_{int(until.timestamp())}.json"
                shares = {"%-rsi": 0.5, "%-adx": 0.3, "%-volume": 0.2}
                record = {"schema": 1, "pair": pair, "feature_importance": shares}
                (folder / name).write_text(json.dumps(record))

    def _export(self, trades: list[dict[str, Any]]) -> Path:
        stats = {
            "trades": trades,
            "total_trades": len(trades),
            "pairlist": list(self.pairs),
            "starting_balance": 1000,
            "stake_currency": "USDT",
            "timeframe": "5m",
            "timerange": "20240110-20240116",
            "trading_mode": "futures",
            "margin_mode": "isolated",
            "max_open_trades": 3,
            "freqaimodel": "CatboostRegressor",
            "freqai_identifier": "run",
            "backtest_start_ts": int(START.timestamp() * 1000),
            "backtest_end_ts": int((START + pd.Timedelta(days=self.days)).timestamp() * 1000),
            "sharpe": -100.0,
            "max_drawdown_account": 0.01,
        }
        return write_export(self.folder, {"HybridMultiMode": stats | self.stats})

    def _config(self) -> dict[str, Any]:
        return {
            "trading_mode": "futures",
            "freqai": {
                "identifier": "run",
                "backtest_period_days": 1,
                "feature_parameters": {"label_period_candles": HORIZON},
            },
        } | self.config


def trade(
    pair: str,
    opened: pd.Timestamp,
    closed: pd.Timestamp,
    open_rate: float,
    close_rate: float,
    *,
    amount: float = 2.0,
    is_short: bool = False,
    enter_tag: str = "trend",
    funding_fees: float = 0.0,
) -> dict[str, Any]:
    """Return a trade as Freqtrade exports it, its profit by Freqtrade's own accounting."""
    side = -1 if is_short else 1
    fees = FEE * amount * (open_rate + close_rate)
    profit = side * amount * (close_rate - open_rate) - fees + funding_fees
    entry, leave = ("sell", "buy") if is_short else ("buy", "sell")
    return {
        "pair": pair,
        "open_date": str(opened),
        "close_date": str(closed),
        "open_rate": open_rate,
        "close_rate": close_rate,
        "fee_open": FEE,
        "fee_close": FEE,
        "profit_ratio": profit / (amount * open_rate),
        "profit_abs": profit,
        "exit_reason": "exit_signal",
        "enter_tag": enter_tag,
        "leverage": 1.0,
        "is_short": is_short,
        "funding_fees": funding_fees,
        "trade_duration": int((closed - opened) / pd.Timedelta(minutes=1)),
        "orders": [
            order(opened, entry, amount, open_rate, is_entry=True),
            order(closed, leave, amount, close_rate, is_entry=False),
        ],
    }


def order(
    filled: pd.Timestamp, side: str, amount: float, price: float, *, is_entry: bool
) -> dict[str, Any]:
    return {
        "amount": amount,
        "safe_price": price,
        "ft_order_side": side,
        "order_filled_timestamp": int(filled.timestamp() * 1000),
        "ft_is_entry": is_entry,
    }


def write_export(folder: Path, strategies: dict[str, Any]) -> Path:
    path = folder / "backtest-result-2024-02-01_00-00-00.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        content = {"strategy": strategies, "strategy_comparison": []}
        archive.writestr(f"{path.stem}.json", json.dumps(content))
    return path


def write_prediction(
    folder: Path, pair: str, begin: pd.Timestamp, rows: pd.Series, classifier: bool = False
) -> Path:
    path = folder / "backtesting_predictions"
    path.mkdir(parents=True, exist_ok=True)
    values = np.where(rows > 0, "up", "down") if classifier else rows.to_numpy()
    name = "&s-up_or_down" if classifier else "&-forward_return"
    frame = pd.DataFrame({"date": rows.index, name: values})
    if not classifier:
        frame[f"{name}_mean"], frame[f"{name}_std"] = 0.0, 1.0
    frame["do_predict"] = 1.0
    file = path / f"cb_{pair.split('/')[0].lower()}_{int(begin.timestamp())}_prediction.feather"
    frame.to_feather(file)
    return file


@pytest.fixture
def make_backtest(tmp_path: Path) -> Callable[..., BacktestArtifacts]:
    """Build a synthetic backtest; keyword arguments are the fields of `Backtest`."""

    def make(**wanted: Any) -> BacktestArtifacts:
        return Backtest(tmp_path, **wanted).build()

    return make


@pytest.fixture
def make_trade() -> Callable[..., dict[str, Any]]:
    return trade


@pytest.fixture
def make_export() -> Callable[[Path, dict[str, Any]], Path]:
    return write_export


@pytest.fixture
def make_prediction() -> Callable[..., Path]:
    return write_prediction


@pytest.fixture(scope="session")
def freqtrade_export(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A result that Freqtrade 2026.9 exported, with the real candles it was made from."""
    return BacktestArtifacts(
        DATA / "freqtrade_2026_9_btc_eth.zip",
        tmp_path_factory.mktemp("no_models"),
        real_data / "futures_2023_24",
        {"freqai": {"feature_parameters": {"label_period_candles": HORIZON}}},
    )


@pytest.fixture(scope="session")
def chromium():
    """The browser's path; a machine may lack one, the continuous integration may not."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if path is None and os.environ.get("CI"):
        pytest.fail("CI is set but no chromium is installed: the report is not rendered")
    if path is None:
        pytest.skip("no chromium is installed: the report is not rendered")
    return path


@pytest.fixture
def browse(chromium, tmp_path):
    """Open a page in headless Chromium; return the document, the console and the net log."""

    def open_page(page, *options):
        netlog = tmp_path / "netlog.json"
        done = subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-extensions",
                # Chromium's own services ask for names in spite of the flags above.
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                "--proxy-server=direct://",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr",
                "--virtual-time-budget=10000",
                f"--log-net-log={netlog}",
                *options,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        lines = done.stderr.splitlines()
        # Pages of the browser itself (chrome://) write to the same console.
        console = [line for line in lines if "CONSOLE" in line and "source: chrome:" not in line]
        return done.stdout, console, json.loads(netlog.read_text())

    return open_page
