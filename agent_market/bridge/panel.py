"""One model for all pairs: a training costs one fit, however many pairs there are."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from freqtrade.configuration import TimeRange
from freqtrade.exceptions import OperationalException
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.strategy import IStrategy

from agent_market.bridge.drawer import CrashSafeDrawer, SavableModel
from agent_market.bridge.features import PairFeatures
from agent_market.bridge.live_tasks import (
    Panel,
    Snapshot,
    Table,
    own_column,
    panel_tables,
    training_frame,
    training_table,
)
from agent_market.bridge.live_training import log_left_out
from agent_market.bridge.model import AgentMarketModel
from agent_market.bridge.offline import handed_over
from agent_market.bridge.planning import plan_pair
from agent_market.errors import DataError
from agent_market.learning.window_model import WindowModel
from agent_market.learning.window_plan import PairPlan

logger = logging.getLogger(__name__)

ALL_PAIRS = "panel"  # what the stored model is named by; a pair has a slash


class PanelDrawer(CrashSafeDrawer):
    """
    Keeps one live model, which is that of every pair.

    One generation holds it, so all pairs change models at once, on the disk and in memory.
    """

    def get_pair_dict_info(self, pair: str) -> tuple[str, int]:
        """
        Return file name and time of training of the one model, "" and 0 without it.
        :param pair: any pair
        """
        self.set_pair_dict_info({"pair": pair})  # the entry that FreqAI writes to
        return super().get_pair_dict_info(ALL_PAIRS)

    def save_data(self, model: SavableModel, coin: str, dk: FreqaiDataKitchen) -> None:
        """
        Store the model and hand it over for every pair.
        :param model: has `save(folder)`
        :param coin: the pair whose turn it was
        :param dk: FreqAI's data kitchen of this training
        """
        self.set_pair_dict_info({"pair": ALL_PAIRS})
        trained_timestamp = self.pair_dict[coin]["trained_timestamp"]
        self.pair_dict[ALL_PAIRS]["trained_timestamp"] = trained_timestamp
        super().save_data(model, ALL_PAIRS, dk)

    def load_data(self, coin: str, dk: FreqaiDataKitchen) -> Any:
        """
        Return the one model and put what belongs to it into the data kitchen.
        :param coin: any pair
        :param dk: FreqAI's data kitchen of this pair
        :return: the model, or None
        """
        return super().load_data(ALL_PAIRS, dk)


class AgentMarketPanelModel(AgentMarketModel):
    """
    A FreqAI model that is fitted on the rows of all pairs of the whitelist at once.

    A pair's own features have one name for all pairs; features of correlated pairs keep theirs. The
    strategy's labels should be comparable between pairs, as returns are.
    """

    panel = True
    drawer = PanelDrawer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if type(self).train is not AgentMarketModel.train:
            raise OperationalException(
                f"{type(self).__name__} has a train() of its own, which gets one pair; a panel "
                "trains all pairs at once. Write a ModelAdapter, or derive from AgentMarketModel."
            )
        self._trained: dict[tuple[str, str], dict[int, pd.DataFrame]] = {}

    # backtest

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

    # live

    def train_live(
        self,
        strategy: IStrategy,
        dk: FreqaiDataKitchen,
        trained: TimeRange,
        loaded: TimeRange,
    ) -> WindowModel:
        """
        Return a model of the newest candles of all pairs of the whitelist that have any.

        An error of ours says why there is none; the model before it stays.
        :param strategy: the strategy
        :param dk: FreqAI's data kitchen of the pair whose turn it is
        :param trained: the training period
        :param loaded: the training period and the candles before it
        """
        candles = self._panel(strategy, dk, trained, loaded)
        logger.info("%s: trains one model for %d pairs.", dk.pair, len(candles.members))
        init = self._continued(ALL_PAIRS)
        model = self.trainer.train(candles, self.spec, dk, init)
        if model is not None:
            return model
        tables, left_out = panel_tables(
            candles, lambda member: self._table(member, strategy), self.corr_pairlist
        )
        log_left_out(left_out)
        return self.trainer.fit(tables, self.spec, dk, init)

    def columns_of(self, model: WindowModel, pair: str) -> list[str]:
        """
        Return the columns of a pair's frame that are the features of the panel.
        :param model: the panel's model
        :param pair: the pair
        """
        return [own_column(name, pair) for name in model.feature_names]

    def _panel(
        self, strategy: IStrategy, dk: FreqaiDataKitchen, trained: TimeRange, loaded: TimeRange
    ) -> Panel:
        whitelist = tuple(strategy.dp.current_whitelist())
        with self.dd.history_lock:
            candles = {
                pair: {
                    timeframe: dk.slice_dataframe(loaded, frame).reset_index(drop=True)
                    for timeframe, frame in self.dd.historic_data.get(pair, {}).items()
                }
                for pair in {*whitelist, *self.corr_pairlist}
            }
        members = [pair for pair in whitelist if _is_complete(candles[pair])]
        nothing = "FreqAI has no candles of it in memory; it reads them when the bot starts."
        log_left_out({pair: nothing for pair in whitelist if pair not in members})
        if not members:
            raise DataError("No pair of the whitelist has candles.")
        return Panel(
            tuple(
                Snapshot(
                    pair,
                    candles[pair],
                    {corr: candles[corr] for corr in self.corr_pairlist if corr != pair},
                    trained,
                    whitelist,
                )
                for pair in members
            )
        )

    def _table(self, candles: Snapshot, strategy: IStrategy) -> Table:
        dk = FreqaiDataKitchen(self.config, True, candles.pair)
        frame = training_frame(candles, strategy, dk)
        return training_table(frame, dk, self.base_tf_seconds)


def _is_complete(frames: dict[str, pd.DataFrame]) -> bool:
    return bool(frames) and not any(frame.empty for frame in frames.values())
