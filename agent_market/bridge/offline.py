"""The frames, labels and windows of `freqtrade backtesting`, without starting its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from freqtrade.configuration import setup_utils_configuration
from freqtrade.data.dataprovider import DataProvider
from freqtrade.enums import RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.resolvers import StrategyResolver
from freqtrade.strategy import IStrategy

from agent_market.bridge.configuration import settings_of
from agent_market.bridge.features import FeatureBuilder
from agent_market.bridge.planning import plan_pair
from agent_market.errors import ConfigError, DataError
from agent_market.learning.feature_store import FeatureStore
from agent_market.learning.window_plan import PairPlan


def read_config(paths: Sequence[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the configuration as `freqtrade backtesting` would read it.
    :param paths: configuration files, later ones over earlier ones
    :param overrides: command line words (`timerange`, `datadir`, `user_data_dir`, `strategy`,
        `freqaimodel`); None is left out
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    arguments = {"config": [str(path) for path in paths], **given}
    try:
        # with the schema's checks and defaults, which the loaders of candles read
        config = setup_utils_configuration(arguments, RunMode.BACKTEST)
    except OperationalException as error:
        raise ConfigError(str(error)) from error
    if not config.get("freqai", {}).get("enabled"):
        raise ConfigError("freqai.enabled is not true in the configuration. Set it to true.")
    if not config.get("timerange"):
        raise ConfigError("no time range is given. Pass --timerange YYYYMMDD-YYYYMMDD.")
    return cast(dict[str, Any], config)


def load_plans(
    config: Mapping[str, Any], *, horizons: Sequence[int] | None = None, panel: bool = False
) -> dict[int, list[PairPlan]]:
    """
    Return features, labels and windows of every pair, by the horizon of the labels.

    What FreqAI hands to a model in `freqtrade backtesting`: the strategy's own frame, its hooks,
    FreqAI's time ranges. No exchange is asked; a strategy that asks for one cannot be loaded so.
    :param config: of `read_config`
    :param horizons: label_period_candles to compute the strategy's targets with; None for that of
        the configuration
    :param panel: name features alike for all pairs, as a model of all pairs wants them
    """
    settings = settings_of(config)
    root = Path(settings.state_dir) / "features" if settings.learning.feature_cache else None
    own = int(config["freqai"]["feature_parameters"]["label_period_candles"])
    plans = {}
    store = FeatureStore(root)
    for horizon in horizons or [own]:
        plans[horizon] = _plans_of(_with_horizon(config, horizon), store, panel)
    return plans


def _plans_of(config: dict[str, Any], store: FeatureStore, panel: bool) -> list[PairPlan]:
    strategy = StrategyResolver.load_strategy(config)
    provider = DataProvider(config, None)
    strategy.dp = provider
    strategy.freqai_info = config["freqai"]
    strategy.ft_bot_start()
    builder = FeatureBuilder(config, strategy, store)
    plans = []
    for pair in config["exchange"]["pair_whitelist"]:
        candles = handed_over(strategy, pair, _candles(provider, config, pair))
        dk = FreqaiDataKitchen(config, False, pair)
        plan, _ = plan_pair(config, strategy, builder, pair, candles, dk, panel=panel)
        plans.append(plan)
    return plans


def _candles(provider: DataProvider, config: Mapping[str, Any], pair: str) -> pd.DataFrame:
    candles: pd.DataFrame = provider.get_pair_dataframe(pair, config["timeframe"])
    if candles.empty:
        raise DataError(
            f"{config['datadir']}: no {config['timeframe']} candles of {pair} in "
            f"{config['timerange']}. Download them with `freqtrade download-data`, or pass "
            "--datadir."
        )
    return candles


class _Handed(Exception):  # noqa: N818 - no error: it ends the strategy's method where FreqAI starts
    def __init__(self, dataframe: pd.DataFrame) -> None:
        super().__init__()
        self.dataframe = dataframe


class _Receiver:
    """Stands where FreqAI stands, and takes the frame that the strategy hands over."""

    def start(self, dataframe: pd.DataFrame, metadata: Any, strategy: IStrategy) -> pd.DataFrame:
        raise _Handed(dataframe)


def handed_over(strategy: IStrategy, pair: str, candles: pd.DataFrame) -> pd.DataFrame:
    """
    Return the frame that a strategy hands to FreqAI.
    :param strategy: the strategy, whose `freqai` is as before when this returns
    :param pair: the pair
    :param candles: its candles
    """
    freqai = getattr(strategy, "freqai", None)
    strategy.freqai = _Receiver()
    try:
        strategy.advise_indicators(candles.copy(), {"pair": pair})
    except _Handed as handed:
        return handed.dataframe
    finally:
        strategy.freqai = freqai
    raise ConfigError(
        f"{strategy.get_strategy_name()}.populate_indicators does not call self.freqai.start. Add "
        "`dataframe = self.freqai.start(dataframe, metadata, self)`."
    )


def _with_horizon(config: Mapping[str, Any], horizon: int) -> dict[str, Any]:
    freqai = dict(config["freqai"])
    freqai["feature_parameters"] = {
        **freqai["feature_parameters"],
        "label_period_candles": horizon,
    }
    return {**config, "freqai": freqai}
