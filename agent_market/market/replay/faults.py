"""Faults on purpose: which requests go wrong and how, reproducible from a seed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_market.market.replay.protocol import BinanceError, error_answer
from agent_market.settings import FaultSettings

logger = logging.getLogger(__name__)

ADMIN_PREFIX = "/replay/"


class FaultInjector:
    """Holds the faults in force and counts what was injected."""

    def __init__(self, settings: FaultSettings) -> None:
        self.injected: Counter[str] = Counter()
        self.change(settings)

    def change(self, settings: FaultSettings) -> None:
        """Put other faults in force and start the seeded draws anew."""
        self.settings = settings
        self._random = Random(settings.seed)  # noqa: S311 - reproducible, not secret
        logger.info("faults in force: %s", settings.model_dump(exclude_defaults=True) or "none")

    def concerns(self, path: str) -> bool:
        """Whether requests of this path may go wrong; those of the admin paths never do."""
        if path.startswith(ADMIN_PREFIX):
            return False
        endpoints = self.settings.endpoints
        return not endpoints or path.endswith(tuple(f"/{name}" for name in endpoints))

    def draw(self) -> str | None:
        """Return what goes wrong with the next request, None where nothing does."""
        uniform, settings = self._random.random(), self.settings
        for name, share in (
            ("error", settings.error_share),
            ("rate_limit", settings.rate_limit_share),
            ("timeout", settings.timeout_share),
            ("cut", settings.cut_share),
        ):
            if uniform < share:
                self.injected[name] += 1
                return name
            uniform -= share
        return None

    def cuts_socket(self, seconds: float) -> bool:
        """Whether a WebSocket connection is cut within the next `seconds`."""
        share = self.settings.socket_cuts_per_minute * seconds / 60
        is_cut = bool(share) and self._random.random() < share
        self.injected["socket_cut"] += is_cut
        return is_cut


class FaultMiddleware:
    """Answers some REST requests wrongly, late or not at all."""

    def __init__(self, app: ASGIApp, injector: FaultInjector) -> None:
        self._app = app
        self._injector = injector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not self._injector.concerns(scope["path"]):
            await self._app(scope, receive, send)
            return
        fault = self._injector.draw()
        if fault == "error":
            await error_answer(
                BinanceError(
                    -1001, "Internal error; unable to process your request. Please try again.", 503
                )
            )(scope, receive, send)
        elif fault == "rate_limit":
            await self._limit(scope, receive, send)
        elif fault == "cut":
            await _cut(send)
        else:
            if fault == "timeout":
                await asyncio.sleep(self._injector.settings.timeout_seconds)
            await self._app(scope, receive, send)

    async def _limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = BinanceError(
            -1003,
            "Too much request weight used; current limit is 2400 request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            429,
        )
        retry = str(self._injector.settings.retry_after_seconds)
        await error_answer(error, {"Retry-After": retry})(scope, receive, send)


async def _cut(send: Send) -> None:
    """Promise a long answer, send a little of it and return: uvicorn then closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000000")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b"[[", "more_body": True})
