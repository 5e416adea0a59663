"""The audit trail: who changed what, why, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, String, Table, select
from sqlalchemy.engine import Engine

from agent_market.decisions.patches import Change

Action = Literal["patch", "revert", "publish", "start", "promote", "roll back"]
State = Literal["begun", "done", "failed"]

_metadata = MetaData()
_TABLE = Table(
    "audit_trail",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", String(2000), nullable=False),
    Column("action", String(20), nullable=False),
    Column("file", String(1000), nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("before_hash", String(64), nullable=False),
    Column("after_hash", String(64), nullable=False),
    Column("state", String(20), nullable=False),
)


@dataclass(frozen=True)
class Entry:
    """One change of one file.

    before, after : values of the keys that changed; a key that was absent is left out.
    before_hash, after_hash : SHA-256 of the whole file, "" where there is none.
    state : `begun` stays where the process died: compare the hashes with the file's.
    """

    number: int
    at: datetime
    who: str
    why: str
    action: str
    file: str
    before: dict[str, object]
    after: dict[str, object]
    before_hash: str
    after_hash: str
    state: str


class AuditTrail:
    """Entries are made before a file is written and marked done after it; none is ever removed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _metadata.create_all(engine)

    def begin(
        self,
        action: Action,
        file: str,
        changes: Sequence[Change],
        hashes: tuple[str, str],
        *,
        who: str,
        why: str,
    ) -> int:
        """Record what is about to be written; return the entry's number."""
        row = {
            "at": datetime.now(UTC).replace(tzinfo=None),
            "who": who,
            "why": why,
            "action": action,
            "file": file,
            "before": {each.key: each.before for each in changes if each.before is not None},
            "after": {each.key: each.after for each in changes if each.after is not None},
            "before_hash": hashes[0],
            "after_hash": hashes[1],
            "state": "begun",
        }
        with self._engine.begin() as connection:
            result = connection.execute(_TABLE.insert().values(row))
            key: tuple[int] = result.inserted_primary_key  # type: ignore[assignment]
            return key[0]

    def finish(self, number: int, state: State) -> None:
        """Record how it ended."""
        with self._engine.begin() as connection:
            connection.execute(_TABLE.update().where(_TABLE.c.number == number).values(state=state))

    def entries(self, file: str | None = None) -> list[Entry]:
        """Return the entries, of one file or of all, oldest first."""
        query = select(_TABLE).order_by(_TABLE.c.number)
        if file is not None:
            query = query.where(_TABLE.c.file == file)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Entry(**{**row, "at": row["at"].replace(tzinfo=UTC)}) for row in rows]
