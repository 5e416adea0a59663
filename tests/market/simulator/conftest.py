"""Markets that several tests look at."""

from pathlib import Path

import pytest

from agent_market.market.simulator import Market, simulate, write_market
from agent_market.settings import SimulatorSettings

SMALL = SimulatorSettings(
    seed=11, pairs=("BTC/USDT:USDT", "DOGE/USDT:USDT", "NEW/USDT:USDT"), days=9, detail_days=2
)


@pytest.fixture(scope="session")
def small_market() -> Market:
    return simulate(SMALL)


@pytest.fixture(scope="session")
def half_year() -> Market:
    return simulate(SimulatorSettings(days=181))


@pytest.fixture(scope="session")
def small_datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written market; tests must not change it."""
    folder = tmp_path_factory.mktemp("market")
    write_market(SMALL, folder)
    return folder
