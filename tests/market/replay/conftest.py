"""The tiny market, served in this process and by real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_market import Client, Wall, write_market

from agent_market.market.replay import Replay, launch_replay
from agent_market.market.replay.server import open_exchange
from agent_market.settings import ReplaySettings


@pytest.fixture(scope="session")
def datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny market's data directory."""
    return write_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def stored_exchange(datadir: Path) -> Iterator[Replay]:
    """A server process that serves the tiny market as stored."""
    with launch_replay(datadir) as replay:
        yield replay


@pytest.fixture(scope="session")
def live_exchange(datadir: Path) -> Iterator[Replay]:
    """A server process that serves the tiny market live."""
    with launch_replay(datadir, clock="live") as replay:
        yield replay


@pytest.fixture(scope="session")
def as_stored(datadir: Path) -> Client:
    """The tiny market as stored, in this process."""
    settings = ReplaySettings(clock="as-stored")
    return Client(open_exchange(datadir, settings), Wall("2026-01-01 00:00"))
