import logging
import threading
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.freqai_interface import IFreqaiModel

from agent_market.bridge import drawer as drawer_module
from agent_market.errors import ModelUnavailable, StateCorrupt
from tests.crash.state_bot import (
    CANDLE,
    FEATURES,
    LABEL,
    PAIR,
    START,
    append_prediction,
    candles,
    configuration,
    drawer_of,
    first_prediction,
    kitchen_of,
    predicted,
    save_model,
    trained,
)

SPOT, EURO = "BTC/USDT", "BTC/EUR"
OTHER_UTC = pd.DatetimeTZDtype("ms", "UTC")


class _Model(IFreqaiModel):
    """FreqAI's own flow around one stored adapter."""

    def train(self, *args: Any, **kwargs: Any) -> Any: ...

    def fit(self, *args: Any, **kwargs: Any) -> Any: ...

    def predict(self, unfiltered_df: Any, dk: Any, **kwargs: Any) -> Any:
        n_rows = len(unfiltered_df)
        dk.DI_values = np.zeros(n_rows)
        values = unfiltered_df["close"].to_numpy() / 100
        frame = pd.DataFrame({LABEL: values, "&-class": "up", "&-return_lo": values - 1})
        return frame.assign(abstain=0), np.ones(n_rows, dtype=int)


def model_of(folder: Path, **freqai: Any) -> _Model:
    model = _Model(configuration(folder, fit_live_predictions_candles=6, **freqai))
    model.dd, model.live = drawer_of(folder, **freqai), True
    return model


def live_candle(model: _Model, folder: Path, last: pd.Timestamp, age_hours: float = 0) -> Any:
    """One candle through FreqAI's `build_strategy_return_arrays`."""
    model.dk = dk = kitchen_of(folder)
    dk.freqai_config["expiration_hours"] = model.freqai_info.get("expiration_hours", 0)
    dk.data["labels_mean"], dk.data["labels_std"] = {LABEL: 1.0}, {LABEL: 2.0}
    frame = candles(last)
    trained_timestamp = int(pd.Timestamp.now(UTC).timestamp() - age_hours * 3600)
    model.build_strategy_return_arrays(frame, dk, PAIR, trained_timestamp)
    return dk.return_dataframe.set_index("date")


def test_that_candles_missed_while_the_bot_was_down_are_nan_and_not_to_be_traded(
    tmp_path: Path,
) -> None:
    model = model_of(tmp_path)
    live_candle(model, tmp_path, START)
    for n in (1, 2):
        before = live_candle(model, tmp_path, START + n * CANDLE)
    assert before["do_predict"].iloc[-3:].tolist() == [0, 1, 1]

    after = live_candle(model_of(tmp_path), tmp_path, START + 6 * CANDLE)
    gap = after.loc[START + 3 * CANDLE :]
    assert len(gap) == 4
    columns = [LABEL, f"{LABEL}_mean", f"{LABEL}_std", "&-class", "&-return_lo", "abstain"]
    assert gap[columns].isna().all(axis=None)
    assert gap["do_predict"].tolist() == [0] * 4
    shared = before.index.intersection(after.index)
    columns.append("do_predict")
    pd.testing.assert_frame_equal(
        after.loc[shared, columns],
        before.loc[shared, columns],
        check_dtype=False,  # NaN turns a column of integers into floats
    )


def test_that_skipped_and_expired_candles_are_nan_and_freqais_statistics_still_work(
    tmp_path: Path,
) -> None:
    model = model_of(tmp_path, expiration_hours=2)
    live_candle(model, tmp_path, START)
    live_candle(model, tmp_path, START + CANDLE)
    live_candle(model, tmp_path, START + 4 * CANDLE)  # two skipped
    live_candle(model, tmp_path, START + 5 * CANDLE, age_hours=3)  # expired
    frame = live_candle(model, tmp_path, START + 6 * CANDLE).loc[START + CANDLE :]
    assert frame["do_predict"].tolist() == [1, 0, 0, 1, 0, 1]
    assert frame[LABEL].isna().tolist() == [False, True, True, False, True, False]
    assert np.isfinite(frame[f"{LABEL}_mean"].iloc[-1])
    assert not (frame[LABEL] == 0).any()


def test_that_the_first_candles_have_no_mean_of_zero(tmp_path: Path) -> None:
    first = live_candle(model_of(tmp_path), tmp_path, START)
    assert first[LABEL].notna().all()
    assert first["do_predict"].eq(0).all()
    assert first[[f"{LABEL}_mean", f"{LABEL}_std"]].isna().all(axis=None)


def test_that_no_model_gives_nan(tmp_path: Path) -> None:
    drawer, kitchen = drawer_of(tmp_path), kitchen_of(tmp_path)
    assert drawer.load_data(PAIR, kitchen) is None
    frame = candles(START).assign(**{"%-slow": 1.0, LABEL: 2.0})
    drawer.return_null_values_to_strategy(frame, kitchen)
    returned = kitchen.return_dataframe
    assert returned[[LABEL, f"{LABEL}_mean", f"{LABEL}_std", "DI_values"]].isna().all(axis=None)
    assert (returned["do_predict"] == 0).all()


def test_that_a_row_without_any_prediction_is_a_gap(tmp_path: Path) -> None:
    drawer = drawer_of(tmp_path)
    first_prediction(drawer, START)
    append_prediction(drawer, tmp_path, START + CANDLE, np.nan)
    newest = drawer.model_return_values[PAIR].iloc[-1]
    assert np.isnan(newest[LABEL]) and newest["do_predict"] == 0
    assert drawer.historic_predictions[PAIR][LABEL].notna().all()


def test_that_a_candle_handed_over_twice_is_stored_as_its_last_prediction(tmp_path: Path) -> None:
    drawer = drawer_of(tmp_path)
    first_prediction(drawer, START)
    for value in (1.0, 2.0):
        append_prediction(drawer, tmp_path, START + CANDLE, value)
    append_prediction(drawer, tmp_path, START, 9.0)  # older than what is stored: kept out
    for history in (drawer, drawer_of(tmp_path)):
        rows = history.historic_predictions[PAIR]
        assert rows["date_pred"].is_unique
        assert rows[LABEL].tolist()[-2:] == [3.0, 2.0]


@pytest.mark.parametrize("dtype", [OTHER_UTC, pd.DatetimeTZDtype("ns", UTC)], ids=str)
def test_that_dates_of_another_unit_merge_with_the_stored_ones(
    tmp_path: Path, dtype: pd.DatetimeTZDtype
) -> None:
    drawer = drawer_of(tmp_path)
    first_prediction(drawer, START)
    append_prediction(drawer, tmp_path, START + CANDLE, 0.25)
    for _ in range(2):
        frame = candles(START + CANDLE)
        frame["date"] = frame["date"].astype(dtype)
        drawer.set_initial_return_values(PAIR, pd.DataFrame(), frame)
        merged = drawer.attach_return_values_to_return_dataframe(PAIR, frame)
        assert merged[LABEL].tolist() == [3.0] * 19 + [0.25]
        assert merged["date"].dtype == dtype
        drawer = drawer_of(tmp_path)


def test_that_pairs_of_one_coin_keep_their_own_models_and_predictions(tmp_path: Path) -> None:
    drawer = drawer_of(tmp_path)
    for timestamp, pair in enumerate((PAIR, SPOT, EURO), start=1):
        save_model(drawer, tmp_path, timestamp, pair)
        first_prediction(drawer, START, pair)
        append_prediction(drawer, tmp_path, START + CANDLE, timestamp, pair)
    drawer = drawer_of(tmp_path)
    for timestamp, pair in enumerate((PAIR, SPOT, EURO), start=1):
        model = drawer.load_data(pair, kitchen_of(tmp_path, pair))
        assert predicted(model) == predicted(trained(timestamp))
        assert drawer.historic_predictions[pair][LABEL].iloc[-1] == timestamp
    assert sorted(drawer.pair_dict) == sorted([PAIR, SPOT, EURO])


def test_that_infinite_metadata_loses_no_model_and_reads_back(tmp_path: Path) -> None:
    drawer, kitchen = drawer_of(tmp_path), kitchen_of(tmp_path)
    drawer.get_pair_dict_info(PAIR)
    kitchen.data |= {
        "worst": np.float32("-inf"),
        "scores": np.array([1.0, np.nan]),
        "n": np.int8(3),
    }
    kitchen.set_paths(PAIR, 7)
    kitchen.set_new_model_names(PAIR, 7)
    drawer.save_data(trained(7), PAIR, kitchen)
    fresh = kitchen_of(tmp_path)
    drawer_of(tmp_path).load_data(PAIR, fresh)
    assert fresh.data["worst"] == -np.inf and fresh.data["n"] == 3
    assert fresh.data["scores"][0] == 1.0 and np.isnan(fresh.data["scores"][1])
    assert fresh.training_features_list == FEATURES and fresh.label_list == [LABEL]
    assert fresh.model_filename == "cb_btc_7" and fresh.data_path.is_dir()


def test_that_only_the_generations_asked_for_stay_and_no_training_frame(tmp_path: Path) -> None:
    for keep, left in ((True, 2), (3, 3), (False, 4)):
        folder = tmp_path / str(keep)
        drawer = drawer_of(folder, purge_old_models=keep)
        for timestamp in range(4):
            save_model(drawer, folder, timestamp + 1)
        models = drawer.state_path / "models" / "BTC_USDT_USDT"
        assert len(list(models.iterdir())) == left
        assert {path.name for path in models.rglob("*.*")} == {"manifest.json", "model.zip"}


def test_that_a_generation_that_does_not_load_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawer = drawer_of(tmp_path)
    for timestamp in (1, 2):
        save_model(drawer, tmp_path, timestamp)

    def refuse(refused: tuple[int, ...]) -> Any:
        def load(folder: Path) -> Any:
            if int(folder.name[-1]) in refused:
                raise StateCorrupt("of another version.")
            return trained(int(folder.name[-1]))

        return load

    full_path, config = drawer.full_path, drawer.config
    second = drawer_module.CrashSafeDrawer(full_path, config, refuse((2,)))
    assert predicted(second.load_data(PAIR, kitchen_of(tmp_path))) == predicted(trained(1))
    assert second.get_pair_dict_info(PAIR)[1] == 1
    assert "of another version" in caplog.text
    third = drawer_module.CrashSafeDrawer(full_path, config, refuse((1, 2)))
    assert third.load_data(PAIR, kitchen_of(tmp_path)) is None
    assert third.get_pair_dict_info(PAIR) == ("", 0), "it is trained at once"


def test_that_a_model_that_could_not_be_saved_is_not_published(tmp_path: Path) -> None:
    drawer = drawer_of(tmp_path)
    save_model(drawer, tmp_path, 1)
    full = SimpleNamespace(save=lambda folder: (_ for _ in ()).throw(OSError("disk full")))
    drawer.pair_dict[PAIR]["trained_timestamp"] = 2  # FreqAI does so before it saves
    with pytest.raises(OSError, match="disk full"):
        drawer.save_data(full, PAIR, kitchen_of(tmp_path))
    assert drawer.get_pair_dict_info(PAIR)[1] == 1
    assert predicted(drawer.load_data(PAIR, kitchen_of(tmp_path))) == predicted(trained(1))


def test_that_a_reader_never_sees_a_model_with_metadata_of_another(tmp_path: Path) -> None:
    drawer, stop = drawer_of(tmp_path), threading.Event()
    save_model(drawer, tmp_path, 1)
    mixtures: list[int] = []
    n_reads = 0

    def read() -> None:
        nonlocal n_reads
        while not stop.is_set():
            kitchen = kitchen_of(tmp_path)
            model = drawer.load_data(PAIR, kitchen)
            n_reads += 1
            if model is not trained(kitchen.data["trained_timestamp"]):
                mixtures.append(kitchen.data["trained_timestamp"])

    reader = threading.Thread(target=read)
    reader.start()
    for timestamp in range(2, 40):
        save_model(drawer, tmp_path, timestamp)
    stop.set()
    reader.join()
    assert n_reads > 100
    assert mixtures == []


def test_that_a_backtests_models_are_read_back_but_never_become_live_ones(tmp_path: Path) -> None:
    drawer = drawer_of(tmp_path)
    window = FreqaiDataKitchen(
        configuration(tmp_path) | {"freqai_backtest_live_models": True}, live=False, pair=PAIR
    )
    window.full_path = drawer.full_path
    window.training_features_list, window.label_list = FEATURES, [LABEL]
    window.set_new_model_names(PAIR, 1)
    with pytest.raises(ModelUnavailable):
        drawer.load_metadata(window)
    drawer.set_pair_dict_info({"pair": PAIR})
    drawer.save_metadata(window)
    assert not drawer.has_model(PAIR, window)
    drawer.pair_dict[PAIR]["trained_timestamp"] = 1
    drawer.save_data(trained(1), PAIR, window)
    fresh = drawer_of(tmp_path)
    assert fresh.has_model(PAIR, window)
    assert predicted(fresh.load_data(PAIR, window)) == predicted(trained(1))
    window.training_features_list = []
    fresh.load_metadata(window)
    assert window.training_features_list == FEATURES
    assert fresh.pair_dict == {}


def test_that_freqais_own_state_is_ignored_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "models" / "crash"
    folder.mkdir(parents=True)
    for name in ("historic_predictions.pkl", "pair_dictionary.json"):
        (folder / name).write_bytes(b"\x80")
    with caplog.at_level(logging.WARNING):
        drawer = drawer_of(tmp_path)
    assert drawer.pair_dict == {} and drawer.historic_predictions == {}
    assert len(caplog.records) == 1
    assert "historic_predictions.pkl and pair_dictionary.json" in caplog.text


def test_that_a_long_history_is_cut_to_its_newest_rows_at_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawer = drawer_of(tmp_path)
    first_prediction(drawer, START)
    monkeypatch.setattr(drawer_module, "KEPT_PREDICTIONS", 5)
    expected = drawer.historic_predictions[PAIR]["date_pred"].tolist()[-5:]
    for _ in range(2):
        assert drawer_of(tmp_path).historic_predictions[PAIR]["date_pred"].tolist() == expected


def test_that_freqais_own_drawer_reads_nothing_of_ours(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    live_candle(model, tmp_path, START)
    save_model(model.dd, tmp_path, 1)
    names = {path.name for path in model.full_path.iterdir()}
    assert names == {"state", "run_params.json"}
    plain = _Model(configuration(tmp_path))
    assert plain.dd.pair_dict == {} and plain.dd.historic_predictions == {}
