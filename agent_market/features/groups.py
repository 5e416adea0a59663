"""The registry of feature groups: what FreqAI is asked for, what each needs, how far it looks back.

A column is named `%-<group>_<name>`, so that an ablation by the first word of the names, as
`scripts/train_supervised.py --ablate` makes it, switches one group. Whatever stands here is tested
for look-ahead and for memory: see `tests/leak/test_feature_groups.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import pandas as pd

from agent_market.features import derivatives, event_clock, news, price_groups
from agent_market.features.decay import reach_of
from agent_market.features.inputs import FeatureInputs, Need, candles_in
from agent_market.features.market import LOOKBACKS, market
from agent_market.features.order_flow import PRESSURE_HALF_LIFE_CANDLES, add_order_flow_features
from agent_market.features.price_groups import Columns
from agent_market.features.regime_momentum import (
    LEVEL_HALF_LIFE_CANDLES,
    MOMENTUM_HALF_LIFE_CANDLES,
    add_regime_momentum_features,
)
from agent_market.features.standardize import STANDARD_WINDOW, STANDARDIZATIONS
from agent_market.features.technical import add_candle_features
from agent_market.market.sidedata import EVERY_PAIR

REGIME_CANDLES = 864  # what is usual, for a bot that loads a thousand candles


class Hook(StrEnum):
    """FreqAI's hooks: by period, timeframe and correlated pair; without periods; once a pair."""

    EXPAND_ALL = "expand_all"
    EXPAND_BASIC = "expand_basic"
    STANDARD = "standard"


@dataclass(frozen=True)
class FeatureGroup:
    """A named group of features.

    compute : takes the inputs (and the period where the hook is EXPAND_ALL) and returns columns of
        shape (n_rows,) by their bare names. Its docstring states the information time.
    memory : candles before row t that the value at t reads, by period and timeframe.
    needs : what it reads beside its own candles.
    """

    name: str
    hook: Hook
    compute: Callable[..., Columns]
    memory: Callable[[int, str], int]
    needs: frozenset[Need] = frozenset()

    @property
    def summary(self) -> str:
        """The first line of what the group's function says of itself."""
        return (self.compute.__doc__ or "").strip().split("\n")[0]


def candle(inputs: FeatureInputs) -> Columns:
    """The shape of each candle: return, body, place of the close, range.

    Information time: row t uses rows t-1 and t.
    """
    return _bare(add_candle_features(inputs.candles), "%-")


def regime(inputs: FeatureInputs) -> Columns:
    """Level of volatility, momentum, and momentum that turns its sign in quiet markets.

    Information time: row t uses rows t-983..t.
    """
    return _bare(add_regime_momentum_features(inputs.candles, REGIME_CANDLES), "%-")


def flow(inputs: FeatureInputs) -> Columns:
    """Imbalance of taker volume in the candle, and its decayed mean.

    Information time: row t uses side data with `available_at` up to its close, of rows t-29..t. On
    candles longer than the side data's, each stands for the last span in its candle.
    """
    side = inputs.side_of(Need.ORDER_FLOW, inputs.pair)
    added = add_order_flow_features(inputs.candles, side, inputs.timeframe)
    return _bare(added, "%-flow_")


def _bare(frame: pd.DataFrame, prefix: str) -> Columns:
    chosen = [str(name) for name in frame if str(name).startswith(prefix)]
    return {name.removeprefix(prefix): frame[name] for name in chosen}


def _periods(count: int, more: int = 0) -> Callable[[int, str], int]:
    return lambda period, timeframe: count * period + more


def _rows(count: int) -> Callable[[int, str], int]:
    return lambda period, timeframe: count


_REGIME_MEMORY = max(
    REGIME_CANDLES + reach_of(LEVEL_HALF_LIFE_CANDLES),
    reach_of(MOMENTUM_HALF_LIFE_CANDLES) + reach_of(LEVEL_HALF_LIFE_CANDLES),
)
_ALL = (
    FeatureGroup("returns", Hook.EXPAND_ALL, price_groups.returns, _periods(1)),
    FeatureGroup("volatility", Hook.EXPAND_ALL, price_groups.volatility, _periods(4)),
    FeatureGroup("volume", Hook.EXPAND_ALL, price_groups.volume, _periods(4)),
    FeatureGroup("vwap", Hook.EXPAND_ALL, price_groups.vwap, _periods(1)),
    FeatureGroup("range", Hook.EXPAND_ALL, price_groups.ranges, _periods(1)),
    FeatureGroup("momentum", Hook.EXPAND_ALL, price_groups.momentum, _periods(1, 1)),
    FeatureGroup("reversion", Hook.EXPAND_ALL, price_groups.reversion, _periods(1, 1)),
    FeatureGroup("candle", Hook.EXPAND_BASIC, candle, _rows(1)),
    FeatureGroup("regime", Hook.STANDARD, regime, _rows(_REGIME_MEMORY)),
    FeatureGroup(
        "market", Hook.STANDARD, market, _rows(max(LOOKBACKS)), needs=frozenset({Need.PEERS})
    ),
    FeatureGroup("calendar", Hook.STANDARD, event_clock.calendar, _rows(0)),
    FeatureGroup("events", Hook.STANDARD, event_clock.events, _rows(0)),
    FeatureGroup(
        "funding", Hook.STANDARD, derivatives.funding, _rows(0), needs=frozenset({Need.FUNDING})
    ),
    FeatureGroup(
        "basis",
        Hook.STANDARD,
        derivatives.basis,
        lambda period, timeframe: derivatives.basis_memory(timeframe),
        needs=frozenset({Need.MARK}),
    ),
    FeatureGroup(
        "crowding",
        Hook.STANDARD,
        derivatives.crowding,
        lambda period, timeframe: candles_in(1, timeframe),
        needs=frozenset({Need.OPEN_INTEREST}),
    ),
    FeatureGroup(
        "flow",
        Hook.STANDARD,
        flow,
        _rows(reach_of(PRESSURE_HALF_LIFE_CANDLES)),
        needs=frozenset({Need.ORDER_FLOW}),
    ),
    FeatureGroup("news", Hook.STANDARD, news.news, _rows(0), needs=frozenset({Need.NEWS})),
    FeatureGroup(
        "embedding", Hook.STANDARD, news.embedding, _rows(0), needs=frozenset({Need.NEWS})
    ),
)
GROUPS: Mapping[str, FeatureGroup] = MappingProxyType({group.name: group for group in _ALL})
"""Every group by its name, which is one word: an ablation reads names up to the first `_`."""


def compute_group(
    group: FeatureGroup,
    inputs: FeatureInputs,
    period: int | None = None,
    standardization: str | None = None,
) -> pd.DataFrame:
    """Return the columns of a group as FreqAI is given them, shape (n_rows, n_columns).

    Parameters
    ----------
    period : int, optional
        In candles; for groups of the hook EXPAND_ALL.
    standardization : str, optional
        A key of `STANDARDIZATIONS`, over 288 candles of the group's own timeframe.

    Notes
    -----
    Information time: row t as the group says. Infinite values become NaN.
    """
    arguments = () if group.hook is not Hook.EXPAND_ALL else (period,)
    suffix = "-period" if group.hook is Hook.EXPAND_ALL else ""
    columns = {}
    for name, values in group.compute(inputs, *arguments).items():
        finite = values.replace([np.inf, -np.inf], np.nan)
        if standardization is not None:
            finite = STANDARDIZATIONS[standardization](finite, STANDARD_WINDOW)
        columns[f"%-{group.name}_{name}{suffix}"] = finite
    return pd.DataFrame(columns, index=inputs.candles.index)


def side_pair(need: Need, pair: str) -> str:
    """Return the pair under which side data of a kind are kept."""
    return EVERY_PAIR if need is Need.NEWS else pair
