"""Accepted expressions become features of HybridMultiMode in a backtest."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.exceptions import OperationalException

from agent_market.expressions import expression_hash, parse_expression
from agent_market.expressions.accepted import expression_name, write_accepted
from agent_market.expressions.columns import expression_columns
from tests.accepted_expressions import accepted
from tests.bridge.backtests import BTC, ETH, backtest, small_config
from tests.conftest import SmallMarket
from tests.parity.freqai import strategy_of

OWN = 'ts_zscore(close / at("1h", ts_mean(close, 3)), 24)'
ACROSS = "demean(returns)"


def _config(folder: Path, market: SmallMarket, *formulas: str, **more: Any) -> dict[str, Any]:
    config = small_config(folder, market, feature_parameters={"include_corr_pairlist": [ETH]})
    path = Path(config["user_data_dir"]) / "freqai_expressions.json"
    write_accepted(path, accepted(*formulas, **more))
    return config


def _names(*formulas: str) -> list[str]:
    return [f"%-{expression_name(expression_hash(parse_expression(text)))}" for text in formulas]


def _candles(config: dict[str, Any], pair: str) -> pd.DataFrame:
    frame: pd.DataFrame = strategy_of(config).dp.get_pair_dataframe(pair, "5m")
    return frame


def test_that_a_backtest_trains_on_the_expressions_of_the_file(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, OWN, ACROSS)
    frame, _, dk = backtest(config)
    assert set(_names(OWN, ACROSS)) <= set(dk.training_features_list)
    assert (frame["do_predict"].iloc[-577:] == 1).all()

    write_accepted(tmp_path / "userdir" / "freqai_expressions.json", accepted(OWN))
    _, _, dk = backtest(config)
    assert _names(OWN)[0] in dk.training_features_list  # and nothing stale from the cache
    assert _names(ACROSS)[0] not in dk.training_features_list


def test_that_columns_are_those_of_the_formula_and_of_the_past_alone(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, OWN, ACROSS)
    btc, eth = _candles(config, BTC), _candles(config, ETH)
    nodes = {text: parse_expression(text) for text in (OWN, ACROSS)}
    whole = expression_columns(nodes, btc, {ETH: eth}, "5m", pair=BTC)
    mean = (btc["close"].pct_change() + eth["close"].pct_change()) / 2
    np.testing.assert_allclose(whole[ACROSS], btc["close"].pct_change() - mean, atol=1e-12)
    for stop in (400, 1001, 1500):
        known = expression_columns(nodes, btc.iloc[:stop], {ETH: eth}, "5m", pair=BTC)
        pd.testing.assert_frame_equal(known, whole.iloc[:stop], check_exact=True)
    assert whole[OWN].notna().sum() > 1000


def test_that_the_strategy_waits_for_the_longest_expression(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, "ts_zscore(close, 700)")
    assert strategy_of(config).startup_candle_count >= 699


def test_that_expressions_of_another_timeframe_are_refused(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = _config(tmp_path, small_market, ACROSS, timeframe="1h")
    with pytest.raises(OperationalException, match="found on 1h candles, and the strategy runs on"):
        strategy_of(config)


def test_that_a_damaged_file_is_named(small_market: SmallMarket, tmp_path: Path) -> None:
    config = _config(tmp_path, small_market, ACROSS)
    path = tmp_path / "userdir" / "freqai_expressions.json"
    path.write_text(path.read_text().replace("demean", "demeam"))
    with pytest.raises(OperationalException, match=r"freqai_expressions\.json.*demeam"):
        strategy_of(config)
