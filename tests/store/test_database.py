from pathlib import Path

from sqlalchemy import text

from agent_market.store.database import database_url, open_database


def test_that_the_default_is_a_durable_file_in_the_state_directory(tmp_path: Path) -> None:
    engine = open_database(database_url(tmp_path / "state", None))
    with engine.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    assert (tmp_path / "state" / "agent_market.sqlite").is_file()


def test_that_postgresql_gets_the_driver_that_is_installed() -> None:
    url = database_url(Path("state"), "postgresql://user:word@host/name")
    assert url.drivername == "postgresql+psycopg"
    assert open_database(url).dialect.driver == "psycopg"
