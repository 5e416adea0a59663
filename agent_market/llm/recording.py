"""Every exchange on disk, found by the hash of its question, to replay a run without a server."""

from __future__ import annotations

import json
import logging
from collections import defaultdict, deque
from datetime import UTC, datetime
from pathlib import Path

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.llm.messages import Ask, ConstraintRefused, NoAnswer, Reply, Request
from agent_market.store import AppendLog, hash_bytes
from agent_market.store.append_log import Record, Value

logger = logging.getLogger(__name__)

_FAILURES: dict[str, type[NoAnswer]] = {"no answer": NoAnswer, "refused": ConstraintRefused}


class Recorder:
    """Asks, and writes question and answer to an append-only log before it returns.

    A record holds the question without address, headers or key, the text as it came, the hashes
    of both, tokens and time. An exchange that failed is recorded with its error.
    """

    def __init__(self, path: Path, ask: Ask) -> None:
        self._log, _ = AppendLog.open(path)
        self._ask = ask

    def ask(self, request: Request) -> Reply:
        """Ask and record; raises what the question raises."""
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        question: dict[str, Value] = {
            "started": started,
            "request_sha256": request.sha256(),
            "request": json.dumps(request.content(), sort_keys=True),
        }
        try:
            reply = self._ask(request)
        except NoAnswer as error:
            outcome = "refused" if isinstance(error, ConstraintRefused) else "no answer"
            failed: dict[str, Value] = {"error": str(error), "seconds": error.seconds}
            self._log.append({**question, "outcome": outcome, **failed})
            raise
        self._log.append({**question, **_answer(reply)})
        return reply


class Replayer:
    """Answers from a log; equal questions get their answers in the recorded order.

    Raises
    ------
    ConfigError
        There is no log.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigError(f"there is no record of exchanges at {path}. Name a recorded run.")
        self._path = path
        _, records = AppendLog.open(path)
        self._records: defaultdict[str, deque[Record]] = defaultdict(deque)
        for record in records:
            self._records[str(record["request_sha256"])].append(record)

    def ask(self, request: Request) -> Reply:
        """Return the recorded answer, or raise the recorded error.

        Raises
        ------
        ConfigError
            The question was not recorded, or not so often.
        StateCorrupt
            The text does not match its hash.
        """
        waiting = self._records[request.sha256()]
        if not waiting:
            raise ConfigError(
                f"{self._path} holds no answer to question {request.sha256()[:12]}. Replay with "
                "the settings, the data and the version that the run was recorded with."
            )
        record = waiting.popleft()
        kind = _FAILURES.get(str(record["outcome"]))
        if kind is not None:
            raise kind(str(record["error"]), float(record["seconds"] or 0))
        return self._reply(record)

    def _reply(self, record: Record) -> Reply:
        text = str(record["text"])
        if hash_bytes(text.encode("utf-8", "surrogatepass")) != record["text_sha256"]:
            raise StateCorrupt(
                f"{self._path}: an answer does not match its hash. Record the run anew."
            )
        return Reply(
            text,
            str(record["finish_reason"]),
            int(record["prompt_tokens"] or 0),
            int(record["completion_tokens"] or 0),
            float(record["seconds"] or 0),
        )


def _answer(reply: Reply) -> dict[str, Value]:
    return {
        "outcome": "answer",
        "text": reply.text,
        "text_sha256": hash_bytes(reply.text.encode("utf-8", "surrogatepass")),
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "seconds": reply.seconds,
    }
