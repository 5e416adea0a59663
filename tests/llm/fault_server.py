"""A real HTTP server on this machine that answers as badly as a test wants."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behave = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Served:
    """The server's address, and what it was asked: headers and body of each request."""

    url: str
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    bytes_sent: int = 0


@contextmanager
def serve(behave: Behave) -> Iterator[Served]:
    """Answer every POST by `behave` until the block ends."""
    served = Served("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            served.requests.append((headers, json.loads(body)))
            with suppress(OSError):  # the client hung up, as it should
                behave(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def head(handler: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    """Send status and headers of an answer that ends with its connection."""
    handler.send_response(status)
    handler.send_header("content-type", "text/event-stream")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def chunks(*parts: str, finish: str = "stop", usage: bool = True) -> list[bytes]:
    """Return the events of an answer, as OpenAI's protocol has them."""
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]}
        for part in parts
    ]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        counted = {"prompt_tokens": 7, "completion_tokens": len(parts), "total_tokens": 0}
        events.append({"choices": [], "usage": counted})
    return [b"data: %s\n\n" % json.dumps(event).encode() for event in events] + [
        b"data: [DONE]\n\n"
    ]


def answering(*parts: str, finish: str = "stop", usage: bool = True) -> Behave:
    """Return the behavior of a good server that says `parts`."""
    return sending(chunks(*parts, finish=finish, usage=usage))


def sending(pieces: Iterable[bytes], status: int = 200, **headers: str) -> Behave:
    """Return the behavior that sends raw bytes as an answer's body."""
    kept = list(pieces)

    def behave(handler: BaseHTTPRequestHandler) -> None:
        head(handler, status, **headers)
        for piece in kept:
            handler.wfile.write(piece)

    return behave


def _endless(handler: BaseHTTPRequestHandler) -> None:
    head(handler)
    while True:
        handler.wfile.write(chunks("x" * 100)[0] * 100)


def _silent(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.settimeout(5)
    handler.rfile.read(1)


# how a server fails, and what is said of it; "slow" wants a time-out of 1 s
SERVER_FAULTS: dict[str, tuple[Behave, str]] = {
    "down": (lambda handler: handler.connection.close(), "language model at"),
    "slow": (_silent, "no complete answer within 1 s"),
    "garbage": (sending([b"\x00\xff<html>" * 100]), "not of the protocol"),
    "endless": (_endless, "too long"),
    "broken": (sending([b"![x](http://evil)"], status=500), "HTTP 500"),
}
