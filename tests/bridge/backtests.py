"""One pair through a real strategy and a real FreqAI model of ours, in this process."""

from pathlib import Path
from typing import Any

import pandas as pd
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.prediction_models.LightGBMRegressor import LightGBMRegressor
from freqtrade.resolvers.freqaimodel_resolver import FreqaiModelResolver

from agent_market.bridge import AgentMarketModel
from agent_market.bridge.offline import handed_over
from tests.conftest import SmallMarket
from tests.parity.freqai import config_for, strategy_of
from tests.parity.models import PARAMETERS

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def small_config(
    folder: Path,
    market: SmallMarket,
    strategy: str = "HybridMultiMode",
    model: str = "FastLightGBMRegressor",
    **freqai: Any,
) -> dict[str, Any]:
    """Return a configuration with two windows a pair and few features."""
    parameters = {
        "include_timeframes": ["5m"],
        "include_corr_pairlist": [],
        "include_shifted_candles": 0,
        "indicator_periods_candles": [12],
        **freqai.pop("feature_parameters", {}),
    }
    learning = {"workers": 1, **freqai.pop("learning", {})}
    section: dict[str, Any] = {
        "train_period_days": 2,
        "backtest_period_days": 1,
        "model_training_parameters": PARAMETERS,
        **freqai,
        "feature_parameters": parameters,
    }
    return config_for(
        folder,
        market.datadir,
        strategy,
        [BTC, ETH],
        "20250112-20250114",
        section,
        freqaimodel=model,
        agent_market={"learning": learning},
    )


def backtest(
    config: dict[str, Any], pair: str = BTC
) -> tuple[pd.DataFrame, AgentMarketModel, FreqaiDataKitchen]:
    """Return the strategy's frame, the model and FreqAI's kitchen after one pair."""
    strategy = strategy_of(config)
    model = FreqaiModelResolver.load_freqaimodel(config)
    assert isinstance(model, AgentMarketModel)
    kitchens: list[FreqaiDataKitchen] = []
    clean_up = model.clean_up
    model.clean_up = lambda: (kitchens.append(model.dk), clean_up())
    strategy.freqai = model
    candles = strategy.dp.get_pair_dataframe(pair, config["timeframe"])
    frame = strategy.advise_indicators(candles, {"pair": pair})
    return frame, model, kitchens[0]


class PurgedKitchen(FreqaiDataKitchen):
    """FreqAI's, but no training label reaches into the validation part."""

    def make_train_test_datasets(
        self, filtered_dataframe: pd.DataFrame, labels: pd.DataFrame
    ) -> dict[Any, Any]:
        parts = super().make_train_test_datasets(filtered_dataframe, labels)
        horizon = self.freqai_config["feature_parameters"]["label_period_candles"]
        for name in ("train_features", "train_labels", "train_weights"):
            parts[name] = parts[name][:-horizon]
        return parts


def freqai_backtest(config: dict[str, Any], pair: str = BTC) -> pd.DataFrame:
    """Return what FreqAI's own LightGBM, trained on the same rows, hands to the strategy."""
    fast = {"n_estimators": 8, "n_jobs": 1, "verbose": -1}
    freqai = config["freqai"] | {"identifier": "theirs", "model_training_parameters": fast}
    config = config | {"freqai": freqai}
    strategy = strategy_of(config)
    candles = strategy.dp.get_pair_dataframe(pair, config["timeframe"])
    model = LightGBMRegressor(config=config)
    model.live = False
    model.data_provider = strategy.dp
    model.dd.set_pair_dict_info({"pair": pair})
    model.dk = dk = PurgedKitchen(config, False, pair)
    model.start_backtesting(handed_over(strategy, pair, candles), {"pair": pair}, dk, strategy)
    return dk.return_dataframe


def stored(config: dict[str, Any]) -> dict[str, bytes]:
    """Return the prediction files by name."""
    folder = Path(config["user_data_dir"]) / "models" / config["freqai"]["identifier"]
    return {
        path.name: path.read_bytes()
        for path in sorted((folder / "backtesting_predictions").glob("*.feather"))
    }
