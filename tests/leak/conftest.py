from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings
from tests.freqtrade_process import overlay


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A simulated market, and the configuration of a small model that trades it often."""
    folder = tmp_path_factory.mktemp("analysis")
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
                "model_training_parameters": {"iterations": 40},
            },
            "agent_market": {"modes": {"entry_edge_bps": 1}},
        }
        small["exchange"]["pair_whitelist"] = list(pairs)
        yield folder / "market", overlay(folder / "small.json", small)
