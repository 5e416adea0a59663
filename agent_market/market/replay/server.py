"""The replay exchange as an ASGI application, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from agent_market.errors import ConfigError
from agent_market.market.replay.clock import DAY_MS, Clock, as_stored, day, live
from agent_market.market.replay.faults import FaultInjector, FaultMiddleware
from agent_market.market.replay.library import Library, open_library
from agent_market.market.replay.protocol import BinanceError, Query, answer, error_answer
from agent_market.market.replay.rest import MarketRoutes
from agent_market.market.replay.sockets import SocketServer
from agent_market.market.replay.venue import Venue
from agent_market.settings import FaultSettings, ReplaySettings

logger = logging.getLogger(__name__)

Announce = Callable[[str, int], None]
_RESERVE_CHECK_SECONDS = 3600.0


class ReplayExchange:
    """Everything the exchange serves: both markets, their streams and the admin paths."""

    def __init__(self, library: Library, clock: Clock, faults: FaultSettings) -> None:
        self.library, self.clock = library, clock
        self.injector = FaultInjector(faults)
        self.venues = {
            "spot": Venue("spot", library, clock),
            "usdm": Venue("usdm", library, clock),
        }
        self._sockets = {
            name: SocketServer(venue, self.injector) for name, venue in self.venues.items()
        }

    def app(self) -> ASGIApp:
        """Return the ASGI application."""
        routes = [*self._rest(), *self._streams(), *self._admin()]
        handlers = {404: _not_found, 405: _not_found}
        app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._watch_reserve)
        return FaultMiddleware(app, self.injector)

    def status(self) -> dict[str, Any]:
        """Return what `/replay/status` tells."""
        return {
            "datadir": str(self.library.datadir),
            "clock": "live" if self.clock.is_live else "as-stored",
            "shift_days": self.clock.shift_ms // DAY_MS,
            "market_time": day(self.clock.market_ms()),
            "history_ends": day(self.clock.end_ms),
            "reserve_days": round(self.clock.reserve_ms() / DAY_MS, 3),
            "symbols": {name: venue.symbols for name, venue in self.venues.items()},
            "open_sockets": sum(server.open_connections for server in self._sockets.values()),
            "faults": self.injector.settings.model_dump(),
            "injected": dict(self.injector.injected),
        }

    def _rest(self) -> list[BaseRoute]:
        spot = MarketRoutes(self.venues["spot"], self.injector)
        usdm = MarketRoutes(self.venues["usdm"], self.injector)
        fixed: dict[str, Any] = {
            "/dapi/v1/exchangeInfo": {"symbols": []},
            "/eapi/v1/exchangeInfo": {"optionSymbols": []},
            "/sapi/v1/system/status": {"status": 0, "msg": "normal"},
            "/sapi/v1/margin/allPairs": [],
            "/sapi/v1/margin/isolated/allPairs": [],
            "/sapi/v1/capital/config/getall": [],
        }
        return [
            *spot.routes("/api/v3"),
            *usdm.routes("/fapi/v1"),
            *usdm.futures_routes(),
            *(usdm.route(path, 1, _always(body)) for path, body in fixed.items()),
            usdm.route("/dapi/v1/ping", 1, _always({})),
            usdm.route("/dapi/v1/time", 1, lambda _: {"serverTime": self.clock.server_ms()}),
        ]

    def _streams(self) -> list[BaseRoute]:
        unnamed = "spot" if len(self.venues["spot"]) else "usdm"
        return [
            *self._sockets["spot"].routes("/stream"),
            *self._sockets["usdm"].routes("/fstream", "/fstream/market", "/fstream/public"),
            *self._sockets[unnamed].routes(""),
        ]

    def _admin(self) -> list[BaseRoute]:
        async def status(request: Request) -> Response:
            return answer(self.status())

        return [
            Route("/replay/status", status),
            Route("/replay/faults", self._faults, methods=["GET", "POST", "DELETE"]),
        ]

    async def _faults(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                self.injector.change(FaultSettings.model_validate_json(await request.body()))
        except ValidationError as error:
            found = "; ".join(f"{e['loc'] or ''}: {e['msg']}" for e in error.errors())
            valid = ", ".join(FaultSettings.model_fields)
            return answer({"error": f"not a set of faults ({found}). Valid keys: {valid}"}, 400)
        if request.method == "DELETE":
            self.injector.change(FaultSettings())
        return answer(self.injector.settings.model_dump())

    @contextlib.asynccontextmanager
    async def _watch_reserve(self, app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self._warn_of_end())
        yield
        task.cancel()

    async def _warn_of_end(self) -> None:
        while self.clock.is_live:
            left = self.clock.reserve_ms()
            if left < DAY_MS:
                logger.warning(
                    "the stored history of %s ends at %s UTC, in %.1f hours; then the market "
                    "stands still. Restart with a larger --reserve or a later --epoch.",
                    self.library.datadir,
                    day(self.clock.end_ms),
                    left / 3_600_000,
                )
            await asyncio.sleep(_RESERVE_CHECK_SECONDS)


def open_exchange(datadir: Path, settings: ReplaySettings) -> ReplayExchange:
    """Return the exchange over a Freqtrade data directory.

    Raises
    ------
    DataError
        The directory is missing or unusable, or too short for the live clock.
    """
    library = open_library(datadir)
    if settings.clock == "as-stored":
        clock = as_stored(library.last_stored_ms())
    else:
        start, end = library.span()
        clock = live(start, end, reserve_days=settings.reserve_days, epoch=settings.epoch)
        logger.info(
            "history moved by %d days; it goes on until %s UTC. A restart serves the same history "
            "with --epoch %s",
            clock.shift_ms // DAY_MS,
            day(clock.end_ms),
            settings.epoch or day(clock.market_ms()),
        )
    return ReplayExchange(library.shifted(clock.shift_ms), clock, settings.faults)


def serve(datadir: Path, settings: ReplaySettings, announce: Announce) -> None:
    """Serve until interrupted (Ctrl-C or SIGTERM); call `announce(url, port)` once listening.

    Raises
    ------
    ConfigError
        The port is in use, or the host is not one of this machine.
    DataError
        See `open_exchange`.
    """
    exchange = open_exchange(datadir, settings)
    listener = _bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        exchange.app(),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops, then raises it once more
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, lambda: announce(f"http://{settings.host}:{port}", port)).run([listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is in use by another program: stop it, or choose another "
                "port with --port (0 takes any free one)"
            ) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def _always(body: Any) -> Callable[[Query], Any]:
    return lambda query: body


async def _not_found(request: Request, error: Exception) -> Response:
    path, method = request.url.path, request.method
    return error_answer(BinanceError(-5000, f"Path {path}, Method {method} is invalid", 404))
