"""Plans and paths made from synthetic candles: one feature knows the next gain, or none does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent_market.learning.labels import HoldingReturn
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan
from agent_market.rl.paths import PricePath
from tests.evaluation.training.conftest import NAMES, MakePlan, make_plan

__all__ = ["make_plan"]
LABEL = "&-gain"
Market = tuple[PairPlan, PricePath]
MakeMarket = Callable[..., Market]


def policy_spec(name: str = "Exact", **params: object) -> ModelSpec:
    eager = {
        "least_valid_t": -1e9,
        "members": 1,
        "max_epochs": 20,
        "segment_candles": 32,
        "batch_segments": 4,
        "first_reluctance": 0,
    }
    return ModelSpec(
        f"agent_market.rl.adapters:{name}Adapter",
        {"cost_bps": 1, **eager, **params},
        seed=0,
        horizon_candles=2,
    )


@pytest.fixture
def make_market(make_plan: MakePlan) -> MakeMarket:
    """Return a builder of a pair's plan and path; `known` leaks the gain as a feature."""

    def build(pair: str = "BTC/USDT:USDT", seed: int = 0, known: bool = True) -> Market:
        plan = make_plan(pair, seed, horizon=2)
        gains = HoldingReturn(column=LABEL).compute(plan.candles).to_numpy()
        block = plan.table.blocks[0]
        values = np.load(block.values)
        if known:
            values[:, 0] = np.nan_to_num(gains / np.nanstd(gains))
            np.save(block.values, values)
        plan = replace(plan, labels=gains[:, None], label_names=(LABEL,))
        prices = {
            name: plan.candles[name].to_numpy(float) for name in ("open", "high", "low", "close")
        }
        dates = plan.candles["date"].dt.tz_localize(None).to_numpy("datetime64[ms]")
        assert values.shape[1] == len(NAMES)
        return plan, PricePath(values, **prices, funding_rate=np.zeros(len(values)), dates=dates)

    return build
