"""A tiny market for the tests of the replay exchange: seeded random walks, spot and futures."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from agent_market.market.candles import aggregate, write_candles
from agent_market.market.replay.clock import Clock
from agent_market.market.replay.library import open_library
from agent_market.market.replay.server import ReplayExchange
from agent_market.settings import FaultSettings

START = pd.Timestamp("2025-03-03 00:00", tz="UTC")  # a Monday
DAYS = 3


def walk(seed: int, price: float, minutes: int = DAYS * 1440) -> pd.DataFrame:
    """Return 1m candles of a random walk, prices to two and volumes to three decimals."""
    rng = np.random.default_rng(seed)
    close = np.round(price * np.exp(np.cumsum(rng.normal(0, 5e-4, minutes))), 2)
    opened = np.r_[price, close[:-1]]
    spread = np.round(np.abs(rng.normal(0, 3e-4, (2, minutes))) * price, 2)
    return pd.DataFrame(
        {
            "date": pd.date_range(START, periods=minutes, freq="1min", unit="ms"),
            "open": opened,
            "high": np.round(np.maximum(opened, close) + spread[0], 2),
            "low": np.round(np.minimum(opened, close) - spread[1], 2),
            "close": close,
            "volume": np.round(rng.gamma(2.0, 5.0, minutes), 3),
        }
    )


def write_market(datadir: Path) -> Path:
    """Write two futures with mark and funding, and one spot pair, over the same three days."""
    for seed, (base, price) in enumerate({"BTC": 60_000.0, "ETH": 3_000.0}.items()):
        minutes = walk(seed, price)
        name = f"{base}/USDT:USDT"
        write_candles(datadir, name, "1m", "futures", minutes)
        write_candles(datadir, name, "1h", "mark", aggregate(minutes, "1h").assign(volume=0.0))
        funding = aggregate(minutes, "8h")
        rates = np.round(np.random.default_rng(seed).normal(1e-4, 5e-5, len(funding)), 8)
        zeros = dict.fromkeys(["high", "low", "close", "volume"], 0.0)
        write_candles(datadir, name, "1h", "funding_rate", funding.assign(open=rates, **zeros))
    write_candles(datadir, "BTC/USDT", "5m", "spot", aggregate(walk(7, 60_010.0), "5m"))
    return datadir


def to_ms(moment: str) -> int:
    """Return a UTC time as milliseconds."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


def rows_of(frame: pd.DataFrame) -> list[list[float]]:
    """Return candles as lists of open time (ms), open, high, low, close, volume."""
    times = frame["date"].dt.as_unit("ms").astype("int64")
    return [[t, *v] for t, v in zip(times, frame.iloc[:, 1:6].to_numpy().tolist(), strict=True)]


def candles_of(klines: list[list[Any]]) -> list[list[float]]:
    """Return Binance's rows as lists of open time (ms), open, high, low, close, volume."""
    return [[row[0], *map(float, row[1:6])] for row in klines]


class Wall:
    """A machine clock that stands where a test puts it."""

    def __init__(self, moment: str) -> None:
        self.ms = to_ms(moment)

    def __call__(self) -> int:
        return self.ms


class Client:
    """Asks an exchange inside this process; `wall` moves its clock."""

    def __init__(self, exchange: ReplayExchange, wall: Wall) -> None:
        self.exchange, self.wall = exchange, wall
        self._app = exchange.app()

    def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **parameters: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and JSON body of any answer."""
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": urlencode(parameters).encode(),
            "headers": [],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, json.loads(sent[1]["body"])

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON body of a good answer."""
        status, _, body = self.ask(path, **parameters)
        assert status == 200, body
        return body

    def refusal(self, path: str, **parameters: Any) -> tuple[int, int, str]:
        """Return status, code and message of a refused request."""
        status, _, body = self.ask(path, **parameters)
        return status, body["code"], body["msg"]


def live_at(datadir: Path, moment: str, faults: FaultSettings | None = None) -> Client:
    """Return the market live, its clock showing a moment of the stored history (shift 0)."""
    wall = Wall(moment)
    library = open_library(datadir)
    clock = Clock(shift_ms=0, frozen_ms=None, end_ms=library.span()[1], wall=wall)
    return Client(ReplayExchange(library, clock, faults or FaultSettings()), wall)
