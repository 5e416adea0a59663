"""FreqAI's options, windows that fail, what is read back, and repeatable bytes."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.exceptions import OperationalException
from freqtrade.freqai.freqai_interface import IFreqaiModel

from tests.bridge.backtests import BTC, backtest, freqai_backtest, small_config, stored
from tests.conftest import SmallMarket
from tests.parity.freqai import freqai_windows

RETURN = "&-forward_return"


def _predicted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["date"] >= "2025-01-12"].reset_index(drop=True)


def _frame_of(config: dict[str, Any]) -> pd.DataFrame:
    return backtest(config)[0]


def _records(config: dict[str, Any]) -> list[dict[str, Any]]:
    folder = Path(config["user_data_dir"]) / "models" / config["freqai"]["identifier"]
    return [json.loads(path.read_text()) for path in sorted((folder / "windows").glob("*.json"))]


@pytest.fixture(scope="module")
def plain(small_market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Predictions without any option."""
    return _predicted(backtest(small_config(tmp_path_factory.mktemp("plain"), small_market))[0])


def test_that_every_candle_of_the_backtest_is_predicted(plain: pd.DataFrame) -> None:
    assert len(plain) == 2 * 288 + 1  # and the candle that FreqAI leaves out
    assert (plain["do_predict"] == 1).all()
    assert plain[[RETURN, f"{RETURN}_mean", f"{RETURN}_std"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("option", "days"),
    [
        ({"DI_threshold": 0.9}, 2),
        ({"use_SVM_to_remove_outliers": True}, 6),  # it trusts next to nothing after fewer
        ({"DI_threshold": 0.5, "principal_component_analysis": True}, 6),
    ],
    ids=str,
)
def test_that_freqai_itself_trusts_the_same_rows(
    option: dict[str, Any], days: int, small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(tmp_path, small_market, feature_parameters=option, train_period_days=days)
    ours, theirs = (_predicted(run(config)) for run in (_frame_of, freqai_backtest))
    ours, theirs = ours.iloc[:-1], theirs.iloc[:-1]  # FreqAI has no window for the last candle
    trusted = ours["do_predict"] == 1
    assert trusted.equals(theirs["do_predict"] == 1)
    assert 0.2 < trusted.mean() < 1
    assert ours[RETURN].isna().equals(~trusted)
    assert ("DI_values" in ours) == ("DI_threshold" in option)
    if "DI_threshold" in option:
        np.testing.assert_allclose(ours["DI_values"], theirs["DI_values"], rtol=1e-3)
        assert trusted.equals(ours["DI_values"] < option["DI_threshold"])


@pytest.mark.parametrize(
    "option",
    [
        {"DI_threshold": 0.9},
        {"use_SVM_to_remove_outliers": True},
        {"use_DBSCAN_to_remove_outliers": True},
        {"principal_component_analysis": True},
        {"noise_standard_deviation": 0.5},
        {"weight_factor": 0.3},
    ],
    ids=str,
)
def test_that_an_option_of_freqai_changes_predictions_the_same_way_each_time(
    option: dict[str, Any], plain: pd.DataFrame, small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(tmp_path, small_market, feature_parameters=option)
    frame = _predicted(backtest(config)[0])
    trusted = frame["do_predict"] == 1
    assert trusted.any() and not np.array_equal(frame[RETURN][trusted], plain[RETURN][trusted])
    again = small_config(tmp_path / "again", small_market, feature_parameters=option)
    backtest(again)
    assert stored(config) == stored(again)  # the pipeline's random steps are seeded


def test_that_components_take_the_place_of_features(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    option = {"principal_component_analysis": True, "include_timeframes": ["5m", "1h"]}
    config = small_config(tmp_path, small_market, feature_parameters=option)
    backtest(config)
    for record in _records(config):
        assert all(name.lower().startswith("pc") for name in record["feature_importance"])


def test_that_buffer_candles_are_cut_as_by_freqai(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(
        tmp_path, small_market, feature_parameters={"buffer_train_data_candles": 7}
    )
    backtest(config)
    theirs = {window.trained_at: window.train["date"] for window in freqai_windows(config, BTC)[0]}
    ends = {record["trained_until"]: record["trained_from"] for record in _records(config)}
    for dates in theirs.values():
        assert ends[dates.iloc[-1].isoformat()] == dates.iloc[0].isoformat()


@pytest.mark.parametrize("candles", [1, 50])
def test_that_live_statistics_are_those_of_freqais_loop(
    candles: int, small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(tmp_path, small_market, fit_live_predictions_candles=candles)
    frame, model, dk = backtest(config)
    ours = _predicted(frame)
    plain_config = small_config(tmp_path / "plain", small_market)
    theirs = _predicted(backtest(plain_config)[0])
    dk.full_df = theirs[["date", RETURN, f"{RETURN}_mean", f"{RETURN}_std"]].copy()
    dk.label_list, model.dk = [RETURN], dk
    IFreqaiModel.backtesting_fit_live_predictions(model, dk)
    for name in (f"{RETURN}_mean", f"{RETURN}_std"):
        np.testing.assert_allclose(ours[name], dk.full_df[name], rtol=1e-6, atol=1e-12)


def test_that_no_validation_part_trains_on_all_known_rows(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    with_part = small_config(tmp_path / "a", small_market)
    without = small_config(
        tmp_path / "b", small_market, data_split_parameters={"test_size": 0, "shuffle": False}
    )
    for config in (with_part, without):
        backtest(config)
    (some, *_), (every, *_) = _records(with_part), _records(without)
    assert every["n_rows"] == 2 * 288 - 12  # the last labels are not known yet
    assert some["n_rows"] < every["n_rows"] - 0.15 * every["n_rows"]


@pytest.mark.parametrize(
    "freqai",
    [
        {"continual_learning": True},
        {"save_backtest_models": True},
        {"feature_parameters": {"plot_feature_importances": 3}},
    ],
    ids=str,
)
def test_that_an_option_without_a_say_in_backtests_changes_nothing(
    freqai: dict[str, Any],
    plain: pd.DataFrame,
    small_market: SmallMarket,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    config = small_config(tmp_path, small_market, **freqai)
    frame = _predicted(backtest(config)[0])
    assert frame[RETURN].equals(plain[RETURN])
    models = sorted(tmp_path.glob("userdir/models/*/backtesting_models/*"))
    assert len(models) == (3 if freqai.get("save_backtest_models") else 0)
    plots = "plot_feature_importances" in str(freqai)
    assert ("plot_feature_importances" in caplog.text) == plots


def test_that_a_smaller_frame_is_accepted(
    plain: pd.DataFrame, small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(tmp_path, small_market) | {"reduce_df_footprint": True}
    frame = _predicted(backtest(config)[0])  # of float32, Freqtrade sees to that
    assert frame[RETURN].equals(plain[RETURN].astype(np.float32))


def test_that_intervals_come_with_predictions(small_market: SmallMarket, tmp_path: Path) -> None:
    learning = {"conformal": {"coverage": 0.8}}
    config = small_config(tmp_path, small_market, learning=learning)
    frame = _predicted(backtest(config)[0])
    lo, hi = frame[f"{RETURN}_lo"], frame[f"{RETURN}_hi"]
    assert (lo <= hi)[lo.notna()].all() and lo.notna().mean() > 0.9
    came_true = frame["close"].shift(-12) / frame["close"] - 1
    inside = ((lo <= came_true) & (came_true <= hi))[came_true.notna()]
    assert 0.65 < inside.mean() < 0.95
    assert set(frame["abstain"]) <= {0, 1}


def test_that_a_window_that_cannot_be_trained_is_nan_and_the_others_go_on(
    small_market: SmallMarket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(tmp_path, small_market, "FlatAtFirst")
    frame = _predicted(backtest(config)[0])
    first, later = frame.iloc[:288], frame.iloc[288:]
    assert "window not trained" in caplog.text
    assert first["&-flat"].isna().all() and (first["do_predict"] == 0).all()
    assert later["&-flat"].notna().all() and (later["do_predict"] == 1).all()
    # it is tried again, and nothing of it was kept
    assert len(stored(config)) == 2


def test_that_missing_features_cost_what_the_record_says(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    config = small_config(tmp_path, small_market, "Gappy")
    frame = _predicted(backtest(config)[0])
    worst = _records(config)[0]["missing"]["features"]
    assert worst["%-absent"]["cause"] == "absent" and worst["%-absent"]["left_out"]
    assert worst["%-gaps"]["cause"] == "gaps" and not worst["%-gaps"]["left_out"]
    missing = frame["close"].index % 10 == 0
    assert missing.any() and (frame["do_predict"] == 1).all()  # LightGBM takes NaN


def test_that_a_model_without_nan_does_not_trust_such_rows(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    option = {"DI_threshold": 50}  # FreqAI's pipeline takes no NaN
    config = small_config(tmp_path, small_market, "Gappy", feature_parameters=option)
    frame = _predicted(backtest(config)[0])
    gap = frame["date"].dt.minute % 50 == 0
    assert (frame["do_predict"] == 0).equals(gap)
    assert frame["&-return"].isna().equals(gap)


def test_that_the_number_of_workers_changes_no_byte_of_the_files(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    found = []
    for workers in (1, 2):
        config = small_config(tmp_path / str(workers), small_market, learning={"workers": workers})
        backtest(config)
        found.append(stored(config))
    assert len(found[0]) == 3
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "is_trained_again"),
    [
        ({}, False),
        ({"model_training_parameters": {"lightgbm_regressor": {"n_estimators": 9}}}, True),
        ({"model_training_parameters": {"lightgbm_regressor": {"random_state": 3}}}, True),
        ({"feature_parameters": {"weight_factor": 0.5}}, True),
        ({"feature_parameters": {"indicator_periods_candles": [24]}}, True),
        ({"feature_parameters": {"label_period_candles": 6}}, True),
        ({"live_retrain_hours": 9, "expiration_hours": 9}, False),
    ],
    ids=str,
)
def test_that_windows_are_trained_again_only_where_something_changed(
    change: dict[str, Any],
    is_trained_again: bool,
    small_market: SmallMarket,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    backtest(small_config(tmp_path, small_market))
    caplog.clear()
    frame = _predicted(backtest(small_config(tmp_path, small_market, **change))[0])
    expected = "3 windows to train, 0 unchanged" if is_trained_again else "0 windows to train, 3"
    assert expected in caplog.text
    assert (frame["do_predict"] == 1).all()


def test_that_a_damaged_prediction_file_is_trained_again(
    small_market: SmallMarket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(tmp_path, small_market)
    backtest(config)
    before = stored(config)
    path = next(tmp_path.rglob("*_prediction.feather"))
    path.write_bytes(path.read_bytes()[:-100])
    backtest(config)
    assert "is damaged" in caplog.text
    assert stored(config) == before


def test_that_a_mistake_in_the_parameters_is_freqtrades_error(
    small_market: SmallMarket, tmp_path: Path
) -> None:
    wrong = {"lightgbm_regressor": {"num_leafs": 7}}
    config = small_config(tmp_path, small_market, model_training_parameters=wrong)
    with pytest.raises(OperationalException, match="num_leafs: lightgbm_regressor has no such"):
        backtest(config)
