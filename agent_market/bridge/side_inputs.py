"""How old side data are at each candle, and the funding rate, from the host's candles and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.enums import CandleType, RunMode
from freqtrade.strategy import IStrategy

from agent_market.bridge.feature_sets import feature_inputs
from agent_market.decisions.degrade import CANDLES, PREDICTION, Budget, budgets_of
from agent_market.features.feature_set import FeatureSet
from agent_market.features.inputs import SIDE_NEEDS, Need
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import EVERY_PAIR, join_as_of
from agent_market.settings import DegradeSettings

FUNDING = "funding"
STORED_FUNDING = "1h"


class SideInputs:
    """
    The inputs of a strategy beside its candles, with the budgets of all.

    On futures the funding rate is one of them, whatever the features read.
    """

    def __init__(
        self,
        strategy: IStrategy,
        settings: DegradeSettings,
        timeframe: str,
        feature_set: FeatureSet | None,
    ) -> None:
        """
        :param strategy: the strategy, not yet with a data provider
        :param settings: section `agent_market.degrade`
        :param timeframe: the strategy's
        :param feature_set: what its features read; None where they are its own
        """
        self.reads_funding = strategy.config.get("trading_mode") == "futures"
        needs = () if feature_set is None else feature_set.needs
        side = {str(need) for need in needs if need in SIDE_NEEDS}
        if self.reads_funding:
            side.add(FUNDING)
        self.budgets: dict[str, Budget] = budgets_of(settings, timeframe, sorted(side))
        self._strategy, self._timeframe = strategy, timeframe
        self._is_live = strategy.config.get("runmode") in (RunMode.DRY_RUN, RunMode.LIVE)

    def informative_candles(self, pairs: list[str]) -> list[tuple[str, str, str]]:
        """
        Return the candles that a live bot must load.
        :param pairs: the traded pairs
        """
        if not self.reads_funding:
            return []
        kind, timeframe = str(CandleType.FUNDING_RATE), self._funding_timeframe()
        return [(pair, timeframe, kind) for pair in pairs]

    def read(
        self, frame: pd.DataFrame, metadata: Mapping[str, Any]
    ) -> tuple[pd.Series | None, pd.DataFrame]:
        """
        Return the funding rate known at each close, in bps, and the age of each side input, in s.

        The rate is NaN where it is over its budget, and None where there is none.
        :param frame: the strategy's candles
        :param metadata: names the pair
        """
        ages, funding = pd.DataFrame(index=frame.index), None
        side = [name for name in self.budgets if name not in (CANDLES, PREDICTION)]
        if not side:
            return funding, ages
        reads = feature_inputs(self._strategy, frame, dict(metadata))
        for name in side:
            if name == FUNDING:
                timeframe = self._funding_timeframe()
                rows = reads.candles_of(metadata["pair"], timeframe, Need.FUNDING)
                # a live bot asks for funding candles once in the length of one
                delay = pd.Timedelta(seconds=timeframe_seconds(timeframe))
                known = self._known(frame, rows["date"], delay, rows["open"] * 1e4)
                fresh = known["age"] <= self.budgets[name].seconds
                funding, ages[name] = known["value"].where(fresh), known["age"]
            else:
                pair = EVERY_PAIR if name == Need.NEWS else metadata["pair"]
                rows = reads.side_of(name, pair)
                ages[name] = self._known(frame, rows["available_at"], pd.Timedelta(0))["age"]
        return funding, ages

    def _funding_timeframe(self) -> str:
        if not self._is_live:
            return STORED_FUNDING
        return str(self._strategy.dp.get_funding_rate_timeframe())

    def _known(
        self,
        frame: pd.DataFrame,
        moments: pd.Series,
        delay: pd.Timedelta,
        values: pd.Series | float = np.nan,
    ) -> pd.DataFrame:
        """Return `value` and `age` (seconds) of the newest row known at each close."""
        moments = pd.to_datetime(moments, utc=True).astype("datetime64[ms, UTC]")
        rows = pd.DataFrame({"event_time": moments, "available_at": moments + delay})
        rows["seen"], rows["value"] = moments, values
        joined = join_as_of(frame[["date"]], rows, self._timeframe)
        close = frame["date"] + pd.Timedelta(seconds=timeframe_seconds(self._timeframe))
        age = (close - joined["seen"]).dt.total_seconds().fillna(np.inf)
        return pd.DataFrame({"value": joined["value"].astype(float), "age": age})
