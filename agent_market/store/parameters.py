"""Versions of named parameter sets: who set what, why, and from when on it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, String, Table, inspect, select
from sqlalchemy.engine import Engine, RowMapping
from sqlalchemy.exc import IntegrityError

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.store.hashing import hash_json

Values = dict[str, Any]

_metadata = MetaData()
_TABLE = Table(
    "parameter_versions",
    _metadata,
    Column("name", String(100), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("values", JSON, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", String(2000), nullable=False),
    Column("recorded_at", DateTime, nullable=False),
    Column("effective_at", DateTime, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)


@dataclass(frozen=True)
class Version:
    """One version of a parameter set.

    number : 1, 2, ... of its name. values : the whole set, as JSON.
    recorded_at, effective_at : when it was stored, and from when on it holds, UTC.
    previous : hash of the version before, "" for the first. hash : SHA-256 of all the rest.
    """

    name: str
    number: int
    values: Values
    who: str
    why: str
    recorded_at: datetime
    effective_at: datetime
    previous: str
    hash: str


class ParameterStore:
    """Versions are added and never changed; each carries the hash of the one before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        who: str,
        why: str,
        effective_at: datetime,
        recorded_at: datetime,
    ) -> Version:
        """Add a version that holds from `effective_at` on; return it.

        Raises
        ------
        ConfigError
            It would hold before the newest version does, or another writer was faster.
        """
        _metadata.create_all(self._engine)
        versions = self.versions(name)
        last = versions[-1] if versions else None
        if last is not None and effective_at < last.effective_at:
            raise ConfigError(
                f"{name}: a version effective at {effective_at.isoformat()} would change the past: "
                f"version {last.number} holds from {last.effective_at.isoformat()} on. Set one "
                "that holds later."
            )
        row = {
            "name": name,
            "number": 1 if last is None else last.number + 1,
            "values": dict(values),
            "who": who,
            "why": why,
            "recorded_at": _naive(recorded_at),
            "effective_at": _naive(effective_at),
            "previous": "" if last is None else last.hash,
        }
        row["hash"] = _hash(row)
        try:
            with self._engine.begin() as connection:
                connection.execute(_TABLE.insert().values(row))
        except IntegrityError as error:
            raise ConfigError(
                f"{name}: somebody else has just set version {row['number']}. Look at it, then try "
                "again."
            ) from error
        return _version(row)

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a set, oldest first; none where nothing was ever stored.

        Raises
        ------
        StateCorrupt
            A version is not what was stored, or one is missing.
        """
        if not inspect(self._engine).has_table(_TABLE.name):
            return []
        query = select(_TABLE).where(_TABLE.c.name == name).order_by(_TABLE.c.number)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        previous, found = "", []
        for number, row in enumerate(rows, start=1):
            if (row["number"], row["previous"], row["hash"]) != (number, previous, _hash(row)):
                raise StateCorrupt(
                    f"{name}: version {row['number']} in {self._engine.url!r} is not what was "
                    "stored. Restore the database from a backup."
                )
            previous = row["hash"]
            found.append(_version(row))
        return found


def version_at(versions: list[Version], now: datetime) -> Version | None:
    """Return the version that holds at `now`, None before the first.

    Parameters
    ----------
    versions : list of Version
        Of one set, oldest first; of two that hold from one moment on, the later stored decides.
    now : datetime
    """
    return next((each for each in reversed(versions) if each.effective_at <= now), None)


def _hash(row: Mapping[str, Any] | RowMapping) -> str:
    times = {name: row[name].isoformat() for name in ("recorded_at", "effective_at")}
    names = ("name", "number", "values", "who", "why", "previous")
    return hash_json({name: row[name] for name in names} | times)


def _version(row: Mapping[str, Any] | RowMapping) -> Version:
    times = {name: row[name].replace(tzinfo=UTC) for name in ("recorded_at", "effective_at")}
    return Version(**{**row, **times})


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
