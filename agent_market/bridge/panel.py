"""One model for all pairs: a window costs one fit, however many pairs there are."""

from __future__ import annotations

from typing import Any

import pandas as pd
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.features import PairFeatures
from agent_market.bridge.model import AgentMarketModel
from agent_market.bridge.offline import handed_over
from agent_market.bridge.planning import plan_pair
from agent_market.learning.window_plan import PairPlan


class AgentMarketPanelModel(AgentMarketModel):
    """
    A FreqAI model that is fitted on the rows of all pairs of the whitelist at once.

    A pair's own features have one name for all pairs; features of correlated pairs keep theirs. The
    strategy's labels should be comparable between pairs, as returns are.
    """

    panel = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._trained: dict[tuple[str, str], dict[int, pd.DataFrame]] = {}

    def plan(
        self, dataframe: pd.DataFrame, pair: str, dk: FreqaiDataKitchen, strategy: IStrategy
    ) -> tuple[PairPlan, PairFeatures]:
        """
        Return features, labels and windows of a pair, the features named alike for all pairs.
        :param dataframe: the frame that the strategy hands over
        :param pair: the pair
        :param dk: FreqAI's data kitchen of this pair
        :param strategy: the strategy
        """
        builder = self.features_of(strategy)
        return plan_pair(self.config, strategy, builder, pair, dataframe, dk, panel=True)

    def run_windows(self, plan: PairPlan, strategy: IStrategy) -> dict[int, pd.DataFrame]:
        """
        Return the predictions of a pair's windows; the first pair trains those of all.
        :param plan: the pair
        :param strategy: the strategy
        """
        key = (plan.pair, plan.table.key)
        if key not in self._trained:
            pairs = strategy.dp.current_whitelist()
            plans = [plan if pair == plan.pair else self._plan_of(pair, strategy) for pair in pairs]
            found = self.runner().run(plans)
            self._trained = {
                (member.pair, member.table.key): found[member.pair] for member in plans
            }
        return self._trained[key]

    def _plan_of(self, pair: str, strategy: IStrategy) -> PairPlan:
        candles = strategy.dp.get_pair_dataframe(pair, self.config["timeframe"])
        frame = handed_over(strategy, pair, candles)
        dk = FreqaiDataKitchen(self.config, False, pair)
        return self.plan(frame, pair, dk, strategy)[0]
