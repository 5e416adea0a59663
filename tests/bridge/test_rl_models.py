"""Policies as FreqAI models: trained by window, stored, and read by RLTrader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from freqtrade.exceptions import OperationalException

from agent_market.learning.window_model import policy_column
from tests.bridge.backtests import BTC, backtest, small_config, stored
from tests.conftest import SmallMarket
from tests.parity.freqai import strategy_of
from tests.parity.models import POLICIES

NEXT = [policy_column("&-gain", held) for held in (-1, 0, 1)]


def _config(folder: Path, market: SmallMarket, model: str, **freqai: Any) -> dict[str, Any]:
    return small_config(
        folder,
        market,
        strategy="RLTrader",
        model=model,
        feature_parameters={"label_period_candles": 2},
        data_split_parameters={"test_size": 0, "shuffle": False},
        **freqai,
    )


@pytest.mark.parametrize("model", POLICIES)
def test_that_a_policy_gives_a_position_for_each_one_held(
    model: str, small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, model)
    frame, _, _ = backtest(config)
    predicted = frame[frame["do_predict"] == 1]
    assert len(predicted) >= 570
    assert np.isin(predicted[NEXT], (-1.0, 0.0, 1.0)).all()
    np.testing.assert_array_equal(predicted["&-gain"], predicted[NEXT[1]])
    files = stored(config)
    again, _, _ = backtest(config)
    assert stored(config) == files
    assert again[NEXT].equals(frame[NEXT])


def test_that_rl_trader_names_a_model_that_is_no_policy(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, "FastLightGBMRegressor")
    with pytest.raises(OperationalException, match="Choose a model that is a policy"):
        backtest(config)


def test_that_signals_follow_from_the_position_that_the_host_holds(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, "PolicyTrader")
    frame, _, _ = backtest(config)
    strategy = strategy_of(config)
    frame = frame.copy()
    frame.loc[frame.index[-1], [*NEXT, "do_predict"]] = (-1.0, -1.0, 0.0, 1)
    frame.loc[frame.index[-2], [*NEXT, "do_predict"]] = (0.0, 1.0, 1.0, 1)
    frame.loc[frame.index[-3], "do_predict"] = 0
    signals = strategy.populate_exit_trend(
        strategy.populate_entry_trend(frame, {"pair": BTC}), {"pair": BTC}
    )
    columns = ["enter_long", "exit_long", "enter_short", "exit_short"]
    found = signals[columns].fillna(0).iloc[-3:].to_numpy()
    np.testing.assert_array_equal(found, [[0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]])
