"""FreqAI's own backtest loop, with a model that only writes down what FreqAI hands to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import freqtrade.templates
import numpy as np
import pandas as pd
from freqtrade.data.dataprovider import DataProvider
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.freqai_interface import IFreqaiModel
from freqtrade.resolvers import StrategyResolver
from freqtrade.strategy import IStrategy

from agent_market.bridge import read_config
from agent_market.bridge.offline import handed_over
from tests.freqtrade_process import PROJECT, overlay

TEMPLATES = Path(freqtrade.templates.__file__).parent
STRATEGIES = Path(__file__).parent / "strategies"
FOLDERS = {
    "HybridMultiMode": PROJECT / "strategies",
    "RLTrader": PROJECT / "strategies",
    "FreqaiExampleStrategy": TEMPLATES,
}


def config_for(
    folder: Path,
    datadir: Path,
    strategy: str,
    pairs: Sequence[str],
    timerange: str,
    freqai: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the configuration that `freqtrade backtesting` would have, small and of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "user_data_dir": str(folder / "userdir"),
        "strategy_path": str(FOLDERS.get(strategy, STRATEGIES)),
        "exchange": {"pair_whitelist": list(pairs)},
        "freqai": dict(freqai or {}),
        **more,
    }
    content["agent_market"] = {"state_dir": str(folder / "state"), **more.get("agent_market", {})}
    (folder / "userdir").mkdir(exist_ok=True)
    path = overlay(folder / "parity.json", content)
    words = {"strategy": strategy, "timerange": timerange, "datadir": datadir}
    return read_config([PROJECT / "config.json", path], words)


@dataclass
class HandedWindow:
    """What FreqAI gave to `train` and to `predict` for one window."""

    trained_at: int
    train: pd.DataFrame
    features: list[str]
    labels: list[str]
    clean_features: pd.DataFrame
    clean_labels: pd.DataFrame
    predict: pd.DataFrame = field(default_factory=pd.DataFrame)


class FreqaiRecorder(IFreqaiModel):
    """Fits nothing: `start_backtesting` is FreqAI's own."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config)
        self.windows: list[HandedWindow] = []

    def train(self, unfiltered_df: pd.DataFrame, pair: str, dk: FreqaiDataKitchen, **_: Any) -> Any:
        features, labels = list(dk.training_features_list), list(dk.label_list)
        clean = dk.filter_features(unfiltered_df, features, labels, training_filter=True)
        trained_at = int(dk.model_filename.rsplit("_", 1)[1])
        self.windows.append(
            HandedWindow(trained_at, unfiltered_df.copy(), features, labels, *clean)
        )
        return "no model"

    def predict(
        self, unfiltered_df: pd.DataFrame, dk: FreqaiDataKitchen, **_: Any
    ) -> tuple[pd.DataFrame, Any]:
        self.windows[-1].predict = unfiltered_df.copy()
        zeros = np.zeros((len(unfiltered_df), len(dk.label_list)))
        return pd.DataFrame(zeros, columns=dk.label_list), np.ones(len(unfiltered_df))

    def fit(self, data_dictionary: dict[str, Any], dk: FreqaiDataKitchen, **_: Any) -> Any:
        raise NotImplementedError


def freqai_windows(config: dict[str, Any], pair: str) -> tuple[list[HandedWindow], pd.DataFrame]:
    """Return what FreqAI hands to a model for one pair, and the frame the strategy gets back."""
    strategy = strategy_of(config)
    candles = strategy.dp.get_pair_dataframe(pair, config["timeframe"])
    model = FreqaiRecorder({**config, "freqai": {**config["freqai"], "identifier": "recorder"}})
    model.live = False
    model.data_provider = strategy.dp
    model.dd.set_pair_dict_info({"pair": pair})
    model.dk = dk = FreqaiDataKitchen(model.config, False, pair)
    frame = handed_over(strategy, pair, candles)
    model.start_backtesting(frame, {"pair": pair}, dk, strategy)
    return model.windows, dk.remove_features_from_df(dk.return_dataframe)


def strategy_of(config: dict[str, Any]) -> IStrategy:
    """Return the configured strategy with candles from the data directory."""
    strategy = StrategyResolver.load_strategy(config)
    strategy.dp = DataProvider(config, None)
    strategy.freqai_info = config["freqai"]
    strategy.ft_bot_start()
    return strategy
