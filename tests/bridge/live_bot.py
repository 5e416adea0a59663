"""A live bot without its loop: FreqAI's model, a strategy, and candles where the exchange was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from freqtrade.configuration import Configuration, TimeRange, validate_config_consistency
from freqtrade.data.history import load_pair_history
from freqtrade.enums import CandleType, RunMode
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.resolvers import StrategyResolver
from freqtrade.resolvers.freqaimodel_resolver import FreqaiModelResolver
from freqtrade.strategy import IStrategy

from agent_market.bridge.live_provider import SnapshotProvider
from agent_market.bridge.live_tasks import Snapshot
from agent_market.bridge.model import AgentMarketModel
from agent_market.market.simulator import write_market
from agent_market.settings import SimulatorSettings

PROJECT = Path(__file__).resolve().parents[2]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
TIMEFRAMES = ("5m", "1h")
TRAIN_DAYS = 6
Candles = dict[str, dict[str, pd.DataFrame]]


def simulated_candles(datadir: Path, pairs: tuple[str, ...]) -> Candles:
    """Return 20 days of candles as FreqAI holds them in memory."""
    settings = SimulatorSettings(seed=3, days=20, pairs=pairs, timeframes=TIMEFRAMES)
    write_market(settings, datadir)
    return {
        pair: {
            timeframe: load_pair_history(
                pair, timeframe, datadir, candle_type=CandleType.FUTURES, data_format="feather"
            )
            for timeframe in TIMEFRAMES
        }
        for pair in pairs
    }


def configuration(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return Freqtrade's configuration of a dry run below `folder`, as it merges files."""
    freqai = {
        "identifier": "live",
        "train_period_days": TRAIN_DAYS,
        "feature_parameters": {"include_corr_pairlist": [BTC]},
        "model_training_parameters": {
            "lightgbm_regressor": {"n_estimators": 60, "early_stopping_rounds": 20}
        },
        **changes.pop("freqai", {}),
    }
    changed = {
        "user_data_dir": str(folder),
        "strategy_path": str(PROJECT / "strategies"),
        "freqaimodel_path": str(PROJECT / "freqaimodels"),
        "freqaimodel": "FastLightGBMRegressor",
        "exchange": {"name": "binance", "pair_whitelist": [BTC, ETH]},
        "freqai": freqai,
        **changes,
    }
    path = folder / "changed.json"
    path.write_text(json.dumps(changed))
    files = [str(PROJECT / "config.json"), str(path)]
    config: dict[str, Any] = Configuration({"config": files}, RunMode.DRY_RUN).get_config()
    StrategyResolver.load_strategy(config)  # writes its settings to the configuration
    validate_config_consistency(config)  # fills in defaults
    return config


class BotProvider(SnapshotProvider):
    """The candles of a bot that has been given no funding rates."""

    def get_funding_rate_timeframe(self) -> str:
        return "1h"

    def get_pair_dataframe(
        self, pair: str, timeframe: str | None = None, candle_type: str = ""
    ) -> pd.DataFrame:
        if candle_type == CandleType.FUNDING_RATE:
            return super().get_pair_dataframe(pair, timeframe).iloc[:0]
        return super().get_pair_dataframe(pair, timeframe, candle_type)


@dataclass
class LiveBot:
    config: dict[str, Any]
    model: AgentMarketModel
    strategy: IStrategy
    end: int

    @classmethod
    def start(cls, config: dict[str, Any], history: Candles) -> LiveBot:
        model = FreqaiModelResolver.load_freqaimodel(config)
        model.live = True
        model.dd.historic_data = history
        strategy = StrategyResolver.load_strategy(config)
        strategy.freqai_info = config["freqai"]
        end = int(history[BTC]["5m"]["date"].iloc[-1].timestamp()) + 300
        bot = cls(config, model, strategy, end)
        strategy.dp = BotProvider(config, bot.snapshot(BTC))
        return bot

    def kitchen(self, pair: str) -> FreqaiDataKitchen:
        kitchen = FreqaiDataKitchen(self.config, True, pair)
        kitchen.set_paths(pair, self.end)
        return kitchen

    def periods(self) -> tuple[TimeRange, TimeRange]:
        start = self.end - TRAIN_DAYS * 86_400
        trained = TimeRange("date", "date", start, self.end)
        loaded = TimeRange("date", "date", start - 300 * 3600, self.end)
        return trained, loaded

    def snapshot(self, pair: str) -> Snapshot:
        trained, loaded = self.periods()
        corr, base = self.model.dd.get_base_and_corr_dataframes(loaded, pair, self.kitchen(pair))
        return Snapshot(pair, base, corr, trained, (BTC, ETH))

    def train(self, pair: str, end: int | None = None) -> None:
        """Train as FreqAI's thread does."""
        self.end = end or self.end
        trained, loaded = self.periods()
        self.model.dd.set_pair_dict_info({"pair": pair})
        self.model.extract_data_and_train_model(
            trained, pair, self.strategy, self.kitchen(pair), loaded
        )
