"""The database: what is asked about by more than one key, such as who changed what and when."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event, make_url


def database_url(state_dir: Path, configured: str | None) -> URL:
    """Return the configured database, or SQLite in `state_dir`."""
    if configured is None:
        return URL.create("sqlite", database=str(state_dir / "agent_market.sqlite"))
    url = make_url(configured)
    # the driver that is installed with DBOS; SQLAlchemy's own choice is not
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def open_database(url: URL) -> Engine:
    """Return an engine; the directory of an SQLite file is made if it is missing."""
    engine = create_engine(url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _make_durable)
    return engine


def _make_durable(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
