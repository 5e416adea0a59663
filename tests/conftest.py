"""Fixtures that every room's tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.freqtrade_process import overlay

PROJECT = Path(__file__).resolve().parents[1]
# a busy machine and the first compilation of a kernel are slow, not wrong
hypothesis.settings.register_profile("agent-market", deadline=None, derandomize=True)
hypothesis.settings.load_profile("agent-market")

# what a shell starts in the background ignores Ctrl-C, and so would the bots under test
signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles, funding, trades, books and headlines."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real market data is not at {REAL_DATA}")
    return REAL_DATA


class SmallMarket(NamedTuple):
    """A simulated data directory, and a configuration of a small model that trades it often."""

    datadir: Path
    config: Path


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallMarket]:
    """Serve two simulated pairs, 2025-01-01 to 2025-02-02 at 5m, as stored."""
    folder = tmp_path_factory.mktemp("small")
    pairs = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    write_market(SimulatorSettings(seed=5, days=32, pairs=pairs), folder / "market")
    (folder / "userdir").mkdir()
    with launch_replay(folder / "market") as replay:
        small: dict[str, Any] = {
            **ccxt_overlay(replay.url),
            "user_data_dir": str(folder / "userdir"),
            "freqai": {
                "train_period_days": 6,
                "backtest_period_days": 2,
                "feature_parameters": {"include_corr_pairlist": ["BTC/USDT:USDT"]},
                "model_training_parameters": {"catboost_regressor": {"iterations": 40}},
            },
            "agent_market": {
                "modes": {"entry_edge_bps": 1, "mean_reversion": {"min_score": 0}},
                "sizing": {"cost_bps": 0},
            },
        }
        small["exchange"]["pair_whitelist"] = list(pairs)
        yield SmallMarket(folder / "market", overlay(folder / "small.json", small))
