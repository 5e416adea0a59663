"""Accepted alpha expressions as FreqAI features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from freqtrade.exceptions import OperationalException
from freqtrade.strategy import IStrategy

from agent_market.bridge.configuration import settings_of
from agent_market.bridge.feature_sets import feature_inputs
from agent_market.errors import AgentMarketError
from agent_market.expressions import Node, Scope
from agent_market.expressions.accepted import read_accepted
from agent_market.expressions.columns import expression_columns
from agent_market.expressions.nodes import Input, walk
from agent_market.features.inputs import Need
from agent_market.settings import freqai_file


class ExpressionFeatures:
    """
    The columns `%-expr_*` of the expressions in `freqai_expressions.json`.

    Operators over pairs (`rank`, `demean`, ...) see the pair itself and those of
    `freqai.feature_parameters.include_corr_pairlist`, whose candles FreqAI loads for training.
    """

    def __init__(self, nodes: dict[str, Node], lookback: int) -> None:
        """
        Keep the expressions.
        :param nodes: expressions by name
        :param lookback: candles before its own that the longest of them uses
        """
        self.nodes = {f"%-{name}": node for name, node in nodes.items()}
        self.lookback = lookback
        self._reads_funding = any(Input("funding") in walk(node) for node in nodes.values())

    def add(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], strategy: IStrategy
    ) -> pd.DataFrame:
        """
        Return the frame of `feature_engineering_standard` with a column for each expression.
        :param dataframe: the hook's
        :param metadata: the hook's
        :param strategy: the strategy
        """
        inputs = feature_inputs(strategy, dataframe, metadata)
        peers = [pair for pair in inputs.peers if pair != inputs.pair]
        funding = None
        if self._reads_funding:
            pairs = [inputs.pair, *peers]
            funding = {pair: inputs.candles_of(pair, "1h", Need.FUNDING) for pair in pairs}
        try:
            added = expression_columns(
                self.nodes,
                dataframe,
                {pair: strategy.dp.get_pair_dataframe(pair, inputs.timeframe) for pair in peers},
                inputs.timeframe,
                pair=inputs.pair,
                funding=funding,
                memory_bytes=settings_of(strategy.config).expressions.memory_mb << 20,
            )
        except AgentMarketError as error:
            path = expression_features_path(strategy.config)
            raise OperationalException(f"{inputs.pair}: {path}: {error}") from error
        return dataframe.join(added)


def expression_features_path(config: dict[str, Any]) -> Path | None:
    """
    Return where expressions are read from; None without a user directory.
    :param config: Freqtrade's merged configuration; `freqai.expressions_file` names another file
    """
    return freqai_file(config, "expressions_file")


def expression_features_of(config: dict[str, Any], timeframe: str) -> ExpressionFeatures | None:
    """
    Return the accepted expressions of a configuration; None without a file, or with none in it.
    :param config: Freqtrade's merged configuration
    :param timeframe: the strategy's
    """
    path = expression_features_path(config)
    if path is None or not config.get("freqai", {}).get("enabled") or not path.is_file():
        return None
    scope = Scope(timeframe)
    try:
        content = read_accepted(path, scope)
        nodes, lookback = content.nodes(scope), content.lookback(scope)
    except AgentMarketError as error:
        raise OperationalException(str(error)) from error
    if content.timeframe != timeframe:
        raise OperationalException(
            f"{path}: timeframe: the expressions were found on {content.timeframe} candles, and "
            f"the strategy runs on {timeframe}. Run a campaign on {timeframe}, or move the file "
            "away."
        )
    return ExpressionFeatures(nodes, lookback) if nodes else None
