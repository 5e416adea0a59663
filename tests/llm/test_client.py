import gzip
import json
import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.errors import ModelUnavailable
from agent_market.llm import ChatClient, ConstraintRefused, Message, NoAnswer, Request
from agent_market.settings import LlmSettings
from tests.llm.fault_server import Behave, answering, chunks, head, sending, serve

KEY = "sk-9f8e7d6c5b4a39281706"
QUESTION = Request("m", (Message("user", "propose"),), max_tokens=50, seed=3, temperature=0.5)


def _client(url: str, key: str | None = None) -> ChatClient:
    settings = LlmSettings(base_url=url, api_key_env="SOME_KEY" if key else None)
    return ChatClient(settings, {"SOME_KEY": key} if key else {})


def _ask(behave: Behave, *, seconds: float = 20, **change: object) -> object:
    with serve(behave) as server:
        request = Request(
            "m",
            QUESTION.messages,
            max_tokens=50,
            seed=3,
            timeout_seconds=seconds,
            **change,  # type: ignore[arg-type]
        )
        return _client(server.url).ask(request)


def test_that_an_answer_comes_with_its_tokens_and_its_time() -> None:
    with serve(answering("a b", "c")) as server:
        reply = _client(server.url).ask(QUESTION)
    assert (reply.text, reply.finish_reason) == ("a bc", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 2)
    assert 0 < reply.seconds < 20
    body = server.requests[0][1]
    assert (body["seed"], body["temperature"], body["max_tokens"]) == (3, 0.5, 50)


def test_that_tokens_are_estimated_where_the_server_counts_none() -> None:
    with serve(answering("123456", usage=False)) as server:
        reply = _client(server.url).ask(QUESTION)
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 3)


def test_that_only_the_key_and_the_question_leave_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-custom: custom-secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serve(answering("ok")) as server:
        _client(server.url, KEY).ask(QUESTION)
        _client(server.url).ask(QUESTION)
    (with_key, _), (without_key, _) = server.requests
    assert with_key["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in without_key
    assert "secret" not in str(server.requests) and "another" not in str(server.requests)
    assert set(without_key) <= {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }


@pytest.mark.parametrize("value", ["", "short", "line\nbreak-in-the-key", "schlüssel-schlüssel"])
def test_that_a_missing_or_impossible_key_is_named_by_its_variable_only(value: str) -> None:
    settings = LlmSettings(base_url="http://127.0.0.1:9/v1", api_key_env="SOME_KEY")
    with pytest.raises(ModelUnavailable, match="SOME_KEY holds no key") as caught:
        ChatClient(settings, {"SOME_KEY": value})
    assert not value or value not in str(caught.value)


def _close(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def _half(handler: BaseHTTPRequestHandler) -> None:
    head(handler, content_length="4000")
    handler.wfile.write(chunks("half")[0])


FAULTS: dict[str, tuple[Behave, str]] = {
    "a page": (sending([b"<html><body>welcome</body></html>"]), "holds no text"),
    "no JSON": (sending([b"data: {oops\n\n"]), "not of the protocol: no JSON"),
    "a number": (sending([b"data: 5\n\n"]), "not of the protocol"),
    "null": (sending([b"data: null\n\n"]), "not of the protocol"),
    "a list": (sending([b"data: [[[]]]\n\n"]), "not of the protocol"),
    "strange choices": (sending([b'data: {"choices": {"a": 1}}\n\n']), "other fields"),
    "a nested answer": (sending([b"data: " + b"[" * 50_000 + b"\n\n"]), "of the protocol"),
    "strange bytes": (sending([b"data: \xff\xfe\x00\n\n"]), "not of the protocol"),
    "an error inside": (sending([b'data: {"error": {"message": "busy"}}\n\n']), "busy"),
    "nothing": (sending([]), "holds no text"),
    "only white space": (answering(" \n\t"), "holds no text"),
    "HTTP 500": (sending([b"broken"], status=500), "HTTP 500: broken"),
    "HTTP 401": (sending([b'{"error": "who?"}'], status=401), "HTTP 401"),
    "HTTP 429": (sending([b"later"], status=429, retry_after="100000"), "HTTP 429"),
    "a closed connection": (_close, "127.0.0.1"),
    "half an answer": (_half, "127.0.0.1"),
    "a compressed answer": (
        sending([gzip.compress(b" " * 10**7)], content_encoding="gzip"),
        "compressed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_that_what_is_no_answer_is_one_short_error(fault: str) -> None:
    behave, message = FAULTS[fault]
    with pytest.raises(NoAnswer, match=message) as caught:
        _ask(behave)
    assert str(caught.value).count("\n") == 0 and len(str(caught.value)) < 500
    assert 0 < caught.value.seconds < 20


def test_that_a_tool_call_is_no_answer() -> None:
    call = {"function": {"name": "write_file", "arguments": '{"path": "/etc/passwd"}'}}
    event = {"choices": [{"delta": {"content": None, "tool_calls": [call]}}]}
    with pytest.raises(NoAnswer, match="holds no text"):
        _ask(sending([b"data: %s\n\n" % json.dumps(event).encode()]))


def test_that_a_server_that_is_down_is_named() -> None:
    with serve(answering("ok")) as server:
        client = _client(server.url)
    with pytest.raises(NoAnswer, match=r"language model at http://127\.0\.0\.1"):
        client.ask(QUESTION)


def test_that_a_redirect_is_not_followed() -> None:
    with (
        serve(answering("stolen")) as other,
        serve(sending([], status=307, location=f"{other.url}/chat/completions")) as server,
        pytest.raises(NoAnswer, match="HTTP 307"),
    ):
        _client(server.url, KEY).ask(QUESTION)
    assert len(server.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("has_lines", [True, False])
def test_that_100_mb_are_cut_after_a_few_bytes(has_lines: bool) -> None:
    sent = 0
    piece = chunks("x" * 1000)[0] * 60 if has_lines else b"x" * 65_536

    def behave(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        head(handler)
        while sent < 100_000_000:
            handler.wfile.write(piece)
            sent += len(piece)

    tracemalloc.start()
    with pytest.raises(NoAnswer, match="too long"):
        _ask(behave)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent < 20_000_000  # the rest lay in the kernel's buffers when the client hung up
    assert peak < 20_000_000


def _drip_body(stop: threading.Event) -> Behave:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        head(handler)
        while not stop.wait(0.05):
            handler.wfile.write(chunks("x")[0])

    return behave


def _drip_headers(stop: threading.Event) -> Behave:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        while not stop.wait(0.05):
            handler.wfile.write(b"x")

    return behave


def _say_nothing(stop: threading.Event) -> Behave:
    def behave(_: BaseHTTPRequestHandler) -> None:
        stop.wait(30)

    return behave


@pytest.mark.parametrize("slow", [_drip_body, _drip_headers, _say_nothing])
def test_that_an_answer_without_end_is_cut_by_the_clock(slow: object) -> None:
    stop = threading.Event()
    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"no complete answer within 0\.6 s"):
        _ask(slow(stop), seconds=0.6)  # type: ignore[operator]
    stop.set()
    assert time.monotonic() - started < 8


def test_that_a_refused_constraint_is_told_from_a_server_that_is_broken() -> None:
    refusal = sending([b"unknown field grammar"], status=400)
    with pytest.raises(ConstraintRefused, match="unknown field grammar"):
        _ask(refusal, constraint={"grammar": 'root ::= "x"'})
    with pytest.raises(NoAnswer) as caught:
        _ask(refusal)
    assert not isinstance(caught.value, ConstraintRefused)
    with pytest.raises(NoAnswer) as caught:
        _ask(sending([b"who?"], status=401), constraint={"grammar": 'root ::= "x"'})
    assert not isinstance(caught.value, ConstraintRefused)


@pytest.fixture
def all_records() -> Iterator[list[str]]:
    """Everything that is logged anywhere, at any level."""
    records: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(f"{record.getMessage()} {record.args} {record.exc_text}")

    root, keeper = logging.getLogger(), Keeper(logging.NOTSET)
    before = root.level
    root.addHandler(keeper)
    root.setLevel(1)
    yield records
    root.setLevel(before)
    root.removeHandler(keeper)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_that_a_key_that_the_server_sends_back_goes_nowhere(
    status: int, all_records: list[str]
) -> None:
    pieces = chunks(f"your key is {KEY[:9]}", f"{KEY[9:]}!") if status == 200 else [KEY.encode()]
    behave = sending(pieces, status=status, x_key=KEY)
    with serve(behave) as server:
        try:
            said = _client(server.url, KEY).ask(QUESTION).text
            assert said == "your key is [key]!"
        except NoAnswer as error:
            said = f"{error} {error.__cause__} {error.__context__.__class__}"
            assert "[key]" in said
    assert KEY not in said
    assert not any(KEY in record for record in all_records)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_fields = st.sampled_from(
    ["choices", "delta", "content", "error", "message", "usage", "prompt_tokens", "finish_reason"]
)
_events = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.lists(_events, min_size=1, max_size=3))
def test_that_any_json_is_an_answer_or_an_error(events: list[object]) -> None:
    with suppress(NoAnswer):
        _ask(sending([b"data: %s\n\n" % json.dumps(event).encode() for event in events]))
