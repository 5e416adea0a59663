from pathlib import Path

import pytest

from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings

# so many that some pair always finds an entry within minutes
PAIRS = tuple(f"{coin}/USDT:USDT" for coin in ("BTC", "ETH", "LTC", "SOL", "XRP", "DOGE"))


@pytest.fixture(scope="session")
def minute_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated market with 1m candles, short enough for tests."""
    datadir = tmp_path_factory.mktemp("market")
    settings = SimulatorSettings(
        seed=11,
        days=8,
        pairs=PAIRS,
        timeframes=("1m", "5m", "1h"),
    )
    write_market(settings, datadir)
    return datadir
