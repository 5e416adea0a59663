"""The feature set of a configuration, and where a strategy's hooks get what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from freqtrade.data.dataprovider import DataProvider
from freqtrade.enums import RunMode
from freqtrade.exceptions import OperationalException
from freqtrade.strategy import IStrategy

from agent_market.errors import ConfigError, DataError
from agent_market.features.feature_set import (
    FeatureSet,
    narrow_parameters,
    read_feature_set,
)
from agent_market.features.inputs import CANDLE_NEEDS, CandleReader, FeatureInputs
from agent_market.market.sidedata import read_side
from agent_market.settings import freqai_file


def feature_set_path(config: dict[str, Any]) -> Path | None:
    """
    Return where the feature set is read from; None without a user directory.
    :param config: Freqtrade's merged configuration; `freqai.feature_set_file` names another file
    """
    return freqai_file(config, "feature_set_file")


def feature_set_of(config: dict[str, Any], timeframe: str) -> FeatureSet | None:
    """
    Return the feature set, and narrow `freqai.feature_parameters` to it; None without a file.

    FreqAI itself reads periods, timeframes and pairs from the configuration, after the strategy is
    made: call this in `__init__`.
    :param config: Freqtrade's merged configuration
    :param timeframe: the strategy's
    """
    path = feature_set_path(config)
    if path is None or not config.get("freqai", {}).get("enabled"):
        return None
    try:
        chosen = read_feature_set(path)
        if chosen is not None:
            freqai = config["freqai"]
            freqai["feature_parameters"] = narrow_parameters(
                chosen, freqai["feature_parameters"], timeframe, path
            )
    except ConfigError as error:
        raise OperationalException(str(error)) from error
    return chosen


def feature_inputs(
    strategy: IStrategy, candles: pd.DataFrame, metadata: dict[str, Any]
) -> FeatureInputs:
    """
    Return what the groups may read in one of FreqAI's hooks.
    :param strategy: the strategy
    :param candles: the hook's frame
    :param metadata: the hook's: pair, and the timeframe where it is not the strategy's own
    """
    config = strategy.config
    return FeatureInputs(
        candles=candles,
        pair=metadata["pair"],
        timeframe=metadata.get("tf", strategy.timeframe),
        peers=tuple(config["freqai"]["feature_parameters"].get("include_corr_pairlist", [])),
        candles_of=_candle_reader(strategy.dp),
        side_of=_side_reader(config),
    )


def informative_candles(chosen: FeatureSet, pairs: list[str]) -> list[tuple[str, str, str]]:
    """
    Return the candles beside FreqAI's own that a live bot must load.
    :param chosen: the feature set
    :param pairs: the traded pairs
    """
    kinds = [need for need in CANDLE_NEEDS if need in chosen.needs]
    return [(pair, "1h", str(kind)) for pair in pairs for kind in kinds]


def _candle_reader(provider: DataProvider) -> CandleReader:
    if provider.runmode in (RunMode.DRY_RUN, RunMode.LIVE):
        return lambda pair, timeframe, kind: provider.get_pair_dataframe(
            pair=pair, timeframe=timeframe, candle_type=kind
        )
    # `get_pair_dataframe` asks the exchange for the timeframe of funding rates, where offline
    # training has none; the files are the same
    return lambda pair, timeframe, kind: provider.historic_ohlcv(
        pair=pair, timeframe=timeframe, candle_type=kind
    )


def _side_reader(config: dict[str, Any]) -> Callable[[str, str], pd.DataFrame]:
    def read(kind: str, pair: str) -> pd.DataFrame:
        try:
            return read_side(Path(config["datadir"]), kind, pair)
        except DataError as error:
            raise OperationalException(
                f"{feature_set_path(config)}: groups: one of them reads {kind}. {error}. Record or "
                "simulate it, or leave the group out."
            ) from error

    return read
