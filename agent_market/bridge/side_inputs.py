"""How old side data are at each candle, and the funding rate, from the host's candles and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.enums import CandleType
from freqtrade.strategy import IStrategy

from agent_market.bridge.feature_sets import feature_inputs
from agent_market.decisions.degrade import CANDLES, PREDICTION, Budget, budgets_of
from agent_market.features.feature_set import FeatureSet
from agent_market.features.inputs import SIDE_NEEDS, Need
from agent_market.market.candles import timeframe_seconds
from agent_market.market.sidedata import EVERY_PAIR, join_as_of
from agent_market.settings import DegradeSettings

FUNDING = "funding"
FUNDING_KNOWN_AFTER = pd.Timedelta("1h")  # a live bot asks for funding candles once an hour


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

    def informative_candles(self, pairs: list[str]) -> list[tuple[str, str, str]]:
        """
        Return the candles that a live bot must load.
        :param pairs: the traded pairs
        """
        kind = str(CandleType.FUNDING_RATE)
        return [(pair, "1h", kind) for pair in pairs] if self.reads_funding else []

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
                rows = reads.candles_of(metadata["pair"], "1h", Need.FUNDING)
                known = self._known(frame, rows["date"], FUNDING_KNOWN_AFTER, rows["open"] * 1e4)
                fresh = known["age"] <= self.budgets[name].seconds
                funding, ages[name] = known["value"].where(fresh), known["age"]
            else:
                pair = EVERY_PAIR if name == Need.NEWS else metadata["pair"]
                rows = reads.side_of(name, pair)
                ages[name] = self._known(frame, rows["available_at"], pd.Timedelta(0))["age"]
        return funding, ages

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
