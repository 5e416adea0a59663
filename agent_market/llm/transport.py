"""HTTP to one host, with bounds: on the bytes that come back, and on the headers that go out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from agent_market.llm.messages import NoAnswer

_SENT = frozenset({"accept", "connection", "content-length", "content-type", "host"})


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends what the protocol needs and the key, and reads at most `max_bytes` of an answer.

    The client above it never sees the key, so it cannot log it; and what it takes from its
    environment, an organization or headers of another server, does not leave the machine.
    """

    def __init__(self, key: str | None, max_bytes: int) -> None:
        self._key = key
        self._max_bytes = max_bytes
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request without proxies, redirects or compression."""
        response = await self._inner.handle_async_request(
            httpx2.Request(
                request.method,
                request.url,
                headers=self._headers(request),
                stream=request.stream,
                extensions=request.extensions,
            )
        )
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":  # a few compressed bytes can become gigabytes
            await response.aclose()
            raise NoAnswer(f"the answer is compressed ({encoding[:20]!r}), which was not asked for")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Counted(response, self._max_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    def _headers(self, request: httpx2.Request) -> dict[str, str]:
        headers = {name: value for name, value in request.headers.items() if name in _SENT}
        headers |= {"accept-encoding": "identity", "user-agent": "agent-market"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        return headers


class _Counted(httpx2.AsyncByteStream):
    """The bytes of an answer until there are too many."""

    def __init__(self, response: httpx2.Response, max_bytes: int) -> None:
        self._response = response
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for part in self._response.aiter_raw():
            n_bytes += len(part)
            if n_bytes > self._max_bytes:
                raise NoAnswer(f"the answer was cut at {self._max_bytes:,} bytes: it is too long")
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()
