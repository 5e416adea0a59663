"""WebSocket connections: raw and combined addresses, and SUBSCRIBE messages."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent_market.market.replay.faults import FaultInjector
from agent_market.market.replay.streams import Catalogue, Stream
from agent_market.market.replay.venue import Venue

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.05
_CUT_CHECK_SECONDS = 1.0


class SocketServer:
    """Serves the streams of one market."""

    def __init__(self, venue: Venue, injector: FaultInjector) -> None:
        self._catalogue = Catalogue(venue, injector)
        self._injector = injector
        self.open_connections = 0

    def routes(self, *prefixes: str) -> list[WebSocketRoute]:
        """Return raw (`/ws/...`) and combined (`/stream?streams=`) routes below each prefix."""
        return [
            route
            for prefix in prefixes
            for route in (
                WebSocketRoute(f"{prefix}/ws", self._raw),
                WebSocketRoute(f"{prefix}/ws/{{names:path}}", self._raw),
                WebSocketRoute(f"{prefix}/stream", self._combined),
            )
        ]

    async def _raw(self, websocket: WebSocket) -> None:
        names = str(websocket.path_params.get("names", "")).split("/")
        # ccxt numbers its connections: /ws/0, /ws/1
        await self._run(websocket, [n for n in names if n and not n.isdigit()], is_combined=False)

    async def _combined(self, websocket: WebSocket) -> None:
        names = websocket.query_params.get("streams", "").split("/")
        await self._run(websocket, [n for n in names if n], is_combined=True)

    async def _run(self, websocket: WebSocket, names: list[str], *, is_combined: bool) -> None:
        await websocket.accept()
        connection = Connection(websocket, self._catalogue, self._injector, is_combined=is_combined)
        connection.subscribe(names)
        self.open_connections += 1
        tasks = [asyncio.create_task(connection.listen()), asyncio.create_task(connection.speak())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.open_connections -= 1
            for task in tasks:
                task.cancel()
        for task in done:
            if task.exception() is not None and not isinstance(
                task.exception(), WebSocketDisconnect
            ):
                logger.error("a stream failed", exc_info=task.exception())


class Connection:
    """One client and its subscriptions."""

    def __init__(
        self,
        websocket: WebSocket,
        catalogue: Catalogue,
        injector: FaultInjector,
        *,
        is_combined: bool,
    ) -> None:
        self._websocket, self._catalogue, self._injector = websocket, catalogue, injector
        self._is_combined = is_combined
        self._streams: dict[str, Stream] = {}
        self._due: dict[str, float] = {}

    def subscribe(self, names: list[str]) -> None:
        """Add streams; Binance accepts unknown names in silence, and so does this."""
        for name in names:
            stream = self._catalogue.stream(name)
            if stream is None:
                logger.warning("no stream %r here; a client subscribed to it in vain", name)
            elif name not in self._streams:
                self._streams[name] = stream
                self._due[name] = 0.0

    def unsubscribe(self, names: list[str]) -> None:
        """Remove streams."""
        for name in names:
            self._streams.pop(name, None)
            self._due.pop(name, None)

    async def listen(self) -> None:
        """Answer the client's messages until it leaves."""
        while True:
            await self._send(self._reply(await self._websocket.receive_text()))

    async def speak(self) -> None:
        """Send events when they are due; return when the connection is to be cut."""
        loop = asyncio.get_running_loop()
        next_check = loop.time() + _CUT_CHECK_SECONDS
        while True:
            now = loop.time()
            if now >= next_check:
                next_check = now + _CUT_CHECK_SECONDS
                if self._injector.cuts_socket(_CUT_CHECK_SECONDS):
                    return
            for name in [name for name, due in self._due.items() if due <= now]:
                await self._tell(name, now)
            await asyncio.sleep(_TICK_SECONDS)

    async def _tell(self, name: str, now: float) -> None:
        stream = self._streams.get(name)
        if stream is None:
            return
        self._due[name] = now + stream.period_ms / 1000 - _TICK_SECONDS / 2
        for event in stream.events():
            await self._send({"stream": name, "data": event} if self._is_combined else event)

    async def _send(self, message: Any) -> None:
        await self._websocket.send_text(orjson.dumps(message).decode())

    def _reply(self, message: str) -> dict[str, Any]:
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError as error:
            return {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
        if not isinstance(request, dict):
            return {"error": {"code": 2, "msg": "Invalid request: request must be an object"}}
        number, names = request.get("id"), request.get("params") or []
        method = request.get("method")
        if method == "SUBSCRIBE":
            self.subscribe([str(name) for name in names])
        elif method == "UNSUBSCRIBE":
            self.unsubscribe([str(name) for name in names])
        elif method == "LIST_SUBSCRIPTIONS":
            return {"result": list(self._streams), "id": number}
        else:
            text = f"Invalid request: unknown variant `{method}`, expected one of `SUBSCRIBE`, "
            return {"error": {"code": 2, "msg": text + "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`"}}
        return {"result": None, "id": number}
