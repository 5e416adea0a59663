from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, StateCorrupt
from agent_market.learning.window_model import ModelSpec, Rows, WindowModel, fit_window

HORIZON = 6
NAMES = ("%-a", "%-b", "%-c")


def _rows(n: int = 200, seed: int = 0, first: int = 1000) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = (x[:, :1] + 0.1 * rng.normal(size=(n, 1))).astype(np.float64)
    return Rows(x, y, np.arange(first, first + n))


def _spec(adapter: str = "linear_regressor", **fields: Any) -> ModelSpec:
    if adapter == "linear_regressor":
        fields.setdefault("params", {"imputer": "median"})
    return ModelSpec(adapter, fields.pop("params", {}), 7, HORIZON, **fields)


def _fit(rows: Rows, spec: ModelSpec) -> WindowModel:
    return fit_window([rows], NAMES, ["&-y"], spec)[0]


def test_that_no_label_reaches_from_training_into_validation() -> None:
    """The labels at the purged rows do not matter; the one before them does."""
    rows, spec = _rows(), _spec(test_size=0.25)
    first_valid = 150
    plain = _fit(rows, spec).predict(rows.X).outputs["&-y"]
    for row, counts in ((first_valid - HORIZON, False), (first_valid - HORIZON - 1, True)):
        y = rows.y.copy()
        y[row] += 1000
        changed = _fit(Rows(rows.X, y, rows.candles), spec).predict(rows.X).outputs["&-y"]
        assert (not np.array_equal(plain, changed)) == counts


def test_that_the_purge_counts_candles_and_not_rows() -> None:
    rows = _rows()
    apart = Rows(rows.X, rows.y, rows.candles + 100 * (np.arange(200) >= 150))  # a gap there
    _, report = fit_window([apart], NAMES, ["&-y"], _spec(test_size=0.25))
    assert (report.n_rows, report.n_valid) == (150, 50)
    _, report = fit_window([rows], NAMES, ["&-y"], _spec(test_size=0.25))
    assert (report.n_rows, report.n_valid) == (150 - HORIZON, 50)


def test_that_all_rows_are_trained_on_without_a_validation_part() -> None:
    model, report = fit_window([_rows()], NAMES, ["&-y"], _spec(test_size=0))
    assert (report.n_rows, report.n_valid) == (200, 0)
    assert model.calibration_errors == {}


def test_that_weights_are_freqais() -> None:
    from agent_market.learning.window_model import _weights

    used = np.ones(50, dtype=bool)
    expected = np.exp(-np.arange(50) / (0.9 * 50))[::-1]  # FreqaiDataKitchen
    np.testing.assert_allclose(_weights(np.arange(50), used, 0.9), expected, rtol=1e-12)
    assert (_weights(np.arange(50), used, 0) == 1).all()


def test_that_a_label_that_never_changes_is_a_data_error() -> None:
    rows = _rows()
    flat = Rows(rows.X, np.zeros_like(rows.y), rows.candles)
    with pytest.raises(DataError):
        _fit(flat, _spec("lightgbm_regressor"))
    nothing = Rows(rows.X, np.full_like(rows.y, np.nan), rows.candles)
    with pytest.raises(DataError, match="0 of 200 rows have a label"):
        _fit(nothing, _spec())


def test_that_a_purge_of_everything_says_what_to_change() -> None:
    with pytest.raises(DataError, match="label_period_candles = 6 takes all of the 10"):
        _fit(_rows(10), _spec(test_size=0.5))


def test_that_rows_with_too_few_features_are_nan_and_not_trusted() -> None:
    model = _fit(_rows(), _spec("lightgbm_regressor", params={"n_estimators": 5}))
    x = _rows(5, seed=3).X
    x[2, :2] = np.nan
    prediction = model.predict(x)
    assert prediction.trusted.tolist() == [True, True, False, True, True]
    assert np.isnan(prediction.outputs["&-y"]).tolist() == [False, False, True, False, False]


def test_that_a_feature_that_is_mostly_missing_is_left_out_and_reported() -> None:
    rows = _rows()
    rows.X[:150, 2] = np.nan
    model, report = fit_window([rows], NAMES, ["&-y"], _spec())
    assert model.columns == (0, 1)
    assert report.n_rows == 200 and report.missing.features["%-c"].left_out
    x = _rows(5).X
    x[:, 2] = np.nan
    assert model.predict(x).trusted.all()


@pytest.mark.parametrize("adapter", ["lightgbm_regressor", "xgboost_regressor", "linear_regressor"])
def test_that_several_labels_are_learned_in_one_model_or_in_one_each(
    adapter: str, tmp_path: Path
) -> None:
    rows = _rows()
    y = np.column_stack([rows.y[:, 0], -2 * rows.y[:, 0]])
    model, _ = fit_window([Rows(rows.X, y, rows.candles)], NAMES, ["&-y", "&-z"], _spec(adapter))
    outputs = model.predict(rows.X).outputs
    assert np.corrcoef(outputs["&-y"], outputs["&-z"])[0, 1] < -0.95
    model.save(tmp_path)
    for name, values in WindowModel.load(tmp_path).predict(rows.X).outputs.items():
        assert values.tobytes() == outputs[name].tobytes()


def test_that_an_incomplete_model_is_refused(tmp_path: Path) -> None:
    model = _fit(_rows(), _spec())
    model.save(tmp_path)
    (tmp_path / "0.model").write_bytes((tmp_path / "0.model").read_bytes()[:-20])
    with pytest.raises(StateCorrupt):
        WindowModel.load(tmp_path)
    (tmp_path / "window.json").write_text('{"spec": 1}')
    with pytest.raises(StateCorrupt, match="is not a complete model"):
        WindowModel.load(tmp_path)


def test_that_excluded_features_are_not_trained_on() -> None:
    model, report = fit_window([_rows()], NAMES, ["&-y"], _spec(exclude=("-a$", "-b$")))
    assert report.n_features == 1 and set(report.importance) == {"%-c"}
    assert model.feature_names == NAMES
    with pytest.raises(ConfigError, match="leaves none of 3 features"):
        _fit(_rows(), _spec(exclude=("%",)))


def test_that_another_number_of_features_is_refused() -> None:
    with pytest.raises(DataError, match="trained on 3 features"):
        _fit(_rows(), _spec()).predict(np.zeros((5, 2), dtype=np.float32))


def test_that_rows_of_a_panel_are_purged_by_time() -> None:
    """Two pairs over the same candles: the validation part begins at one moment for both."""
    model, report = fit_window([_rows(), _rows(seed=1)], NAMES, ["&-y"], _spec(test_size=0.25))
    assert (report.n_rows, report.n_valid) == (2 * (150 - HORIZON), 100)
    with pytest.raises(ConfigError, match="cannot be fitted on several pairs"):
        fit_window([_rows(), _rows(seed=1)], NAMES, ["&-y"], _spec("lstm_regressor"))
    assert model.predict(_rows(seed=2).X).trusted.all()


def test_that_classes_come_with_their_probabilities() -> None:
    rows = _rows()
    classes = np.where(rows.y > 0, "up", "down").astype(object)
    classes[-HORIZON:] = None
    model, report = fit_window(
        [Rows(rows.X, classes, rows.candles)],
        NAMES,
        ["&s-move"],
        _spec("lightgbm_classifier", params={"n_estimators": 20}),
    )
    assert report.n_rows == 200 - HORIZON
    outputs = model.predict(rows.X).outputs
    assert set(outputs) == {"&s-move", "down", "up"}
    np.testing.assert_allclose(outputs["up"] + outputs["down"], 1)
    assert ((outputs["up"] > 0.5) == (outputs["&s-move"] == "up")).all()
