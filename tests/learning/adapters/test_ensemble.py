"""Ensembles: what their members get, how they are weighed, and that no fold leaks."""
# ruff: noqa: N803, N806 - X is scikit-learn's name of the features

import io
import json
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.model_selection import KFold

from agent_market.errors import ConfigError, DataError
from agent_market.learning.adapters import (
    ADAPTERS,
    ModelAdapter,
    Part,
    check_adapter,
    create,
    load_adapter,
)
from agent_market.learning.adapters.ensemble import out_of_fold
from agent_market.learning.adapters.ensemble_weights import shrunk_weights

FloatArray = npt.NDArray[np.float64]
HORIZON = 24
LIGHTGBM = {"name": "lightgbm_regressor", "params": {"num_iterations": 40}}
XGBOOST = {"name": "xgboost_regressor", "params": {"n_estimators": 40}}
CATBOOST = {"name": "catboost_regressor", "params": {"iterations": 40, "learning_rate": 0.2}}
LINEAR = {"name": "linear_regressor"}


def planted(n_rows: int = 400, seed: int = 0) -> tuple[npt.NDArray[np.float32], FloatArray]:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n_rows, 4)).astype(np.float32)
    return X, X[:, 0] - 0.5 * X[:, 1] + 0.3 * draw.normal(size=n_rows)


def average(*members: dict[str, Any], **more: Any) -> ModelAdapter:
    return create("average_regressor", {"members": list(members), **more})


def stacking(*members: dict[str, Any], **more: Any) -> ModelAdapter:
    given = {"horizon_candles": HORIZON, "members": list(members)}
    return create("stacking_regressor", given | more)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("average_regressor", {}),
        ("stacking_regressor", {"horizon_candles": 12, "folds": 2}),
    ],
)
def test_that_the_default_members_keep_the_contract(name, params):
    check_adapter(create(name, params))


def test_that_an_average_is_the_weighted_mean_of_its_members():
    X, y = planted()
    model = average(LIGHTGBM | {"weight": 3}, XGBOOST).fit(X, y, seed=5)
    parts = [member.predict(X) for member in model.model.members]
    np.testing.assert_allclose(model.predict(X), 0.75 * parts[0] + 0.25 * parts[1])
    shares = [member.feature_importance() for member in model.model.members]
    np.testing.assert_allclose(model.feature_importance(), 0.75 * shares[0] + 0.25 * shares[1])


def test_that_equal_members_get_seeds_of_their_own():
    drawn = {"name": "xgboost_regressor", "params": {"n_estimators": 5, "subsample": 0.5}}
    X, y = planted()
    first, second = average(drawn, drawn).fit(X, y, seed=5).model.members
    assert (first.predict(X) != second.predict(X)).any()


@pytest.mark.parametrize("make", [average, stacking])
def test_that_members_stop_early_by_the_validation_part(make):
    draw = np.random.default_rng(0)
    X, y = planted(600)
    y = y + 2 * draw.normal(size=600)
    params = {"n_estimators": 300, "eta": 0.3, "early_stopping_rounds": 20}
    quick = {"name": "xgboost_regressor", "params": params}
    model = make(quick, LINEAR).fit(X[:300], y[:300], X[300:], y[300:], seed=1)
    assert model.model.members[0].model.num_boosted_rounds() < 100


def test_that_an_ensemble_averages_away_errors_of_its_members():
    X, y = planted(600)
    X_new, y_new = planted(2000, seed=9)
    model = average(LIGHTGBM, XGBOOST, CATBOOST).fit(X, y, seed=1)
    misses = [((m.predict(X_new) - y_new) ** 2).mean() for m in model.model.members]
    assert ((model.predict(X_new) - y_new) ** 2).mean() < np.mean(misses)


def test_that_the_file_holds_the_models_of_the_members_and_nothing_pickled(tmp_path):
    X, y = planted()
    model = stacking(LIGHTGBM, LINEAR).fit(X, y, seed=1)
    model.save(tmp_path / "a.model")
    with zipfile.ZipFile(tmp_path / "a.model") as archive:
        inner = zipfile.ZipFile(io.BytesIO(archive.read("model.zip")))
    assert inner.namelist() == [
        "weights.json",
        "0_lightgbm_regressor.model",
        "1_linear_regressor.model",
    ]
    assert json.loads(inner.read("weights.json")) == model.model.weights.tolist()
    (tmp_path / "b.model").write_bytes(inner.read("0_lightgbm_regressor.model"))
    alone = load_adapter(tmp_path / "b.model").predict(X)
    assert alone.tobytes() == model.model.members[0].predict(X).tobytes()


def test_that_linear_members_fill_nan_unless_told_not_to():
    assert average(LIGHTGBM, LINEAR).supports_nan
    strict = average(LIGHTGBM, LINEAR | {"params": {"imputer": None}})
    assert not strict.supports_nan
    X, y = planted()
    X[::5, 2] = np.nan
    with pytest.raises(DataError, match="average_regressor takes no NaN"):
        strict.fit(X, y, seed=1)


@pytest.mark.parametrize("make", [average, stacking])
def test_that_several_labels_are_learned_where_all_members_can(make):
    X, y = planted(600)
    both = np.stack([y, X[:, 2].astype(float)], axis=1)
    model = make(XGBOOST, LINEAR)
    assert model.supports_multi_target
    model.fit(X, both, X[:50], both[:50], seed=1)
    predicted = model.predict(X)
    assert all(np.corrcoef(predicted[:, k], both[:, k])[0, 1] > 0.9 for k in (0, 1))
    assert not make(XGBOOST, LIGHTGBM).supports_multi_target
    with pytest.raises(DataError, match="y_train has 2 labels"):
        make(XGBOOST, LIGHTGBM).fit(X, both, seed=1)


class TrailingMean(ModelAdapter):
    """The mean of feature 0 over three rows, times a factor that is fitted."""

    name = "trailing_mean"
    task = "regression"
    suffix = "json"
    window = 3

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Any:
        means = self.predict_model(1.0, train.X)[train.targets - 2]
        weight = np.ones(len(means)) if train.weight is None else train.weight
        return float((weight * means * train.y).sum() / (weight * means**2).sum())

    def predict_model(self, model: Any, X: Any) -> Any:
        return model * (X[2:, 0] + X[1:-1, 0] + X[:-2, 0]) / 3

    def importance(self, model: Any, n_features: int) -> FloatArray:
        return np.eye(n_features)[0]

    def dump(self, model: Any) -> bytes:
        return json.dumps(model).encode()

    def parse(self, payload: bytes) -> Any:
        return json.loads(payload)


@pytest.mark.parametrize("make", [average, stacking])
def test_that_members_may_look_back_over_rows_that_a_fold_or_a_weight_leaves_out(make, monkeypatch):
    monkeypatch.setitem(ADAPTERS, "trailing_mean", TrailingMean)
    X, _ = planted(600)
    y = np.convolve(X[:, 0], np.ones(3) / 3)[:600]
    weight = np.ones(600)
    weight[::4] = 0
    y[::4] = np.nan
    model = make({"name": "trailing_mean"}, LINEAR).fit(X, y, sample_weight=weight, seed=1)
    assert model.window == 3
    predicted = model.predict(X)
    assert np.isnan(predicted[:2]).all() and np.isfinite(predicted[2:]).all()
    alone = model.model.members[0].predict(X)
    known = (weight > 0) & (np.arange(600) > 1)
    np.testing.assert_allclose(alone[known], y[known], atol=1e-6)
    if make is stacking:
        assert model.model.weights[0, 0] > 0.8  # the member that sees the window


def noise_market(seed: int) -> Part:
    """Return forward returns of a random walk, and persistent features that do not know it."""
    draw = np.random.default_rng(seed)
    walk = np.cumsum(draw.normal(size=1200 + HORIZON))
    features = np.cumsum(draw.normal(size=(1200, 4)), axis=0).astype(np.float32)
    return Part(features, walk[HORIZON:] - walk[:-HORIZON], None)


DEEP = {
    "name": "lightgbm_regressor",
    "params": {"num_iterations": 60, "min_data_in_leaf": 3, "learning_rate": 0.2},
}
SHALLOW = {"name": "linear_regressor", "params": {"alpha": 1e6}}  # knows the mean, no more


def coefficients(folds: Any) -> tuple[float, float]:
    """Return the mean IC of out-of-fold predictions over noise markets, and its standard error."""
    scores = []
    for seed in range(12):
        train = noise_market(seed)
        adapter = stacking(DEEP, SHALLOW)
        splits = folds(adapter).split(train.X)
        predictions = out_of_fold(adapter._members[:1], train, None, splits, seed=1)
        scores.append(np.corrcoef(predictions[0, :, 0], train.y)[0, 1])
    return float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def test_that_purged_folds_find_no_skill_in_noise_where_a_random_split_finds_much():
    mean, error = coefficients(lambda adapter: adapter.splitter)
    assert abs(mean) < 3 * error and error < 0.06
    mean, _ = coefficients(lambda adapter: KFold(4, shuffle=True, random_state=0))
    assert mean > 0.7


def test_that_a_member_which_only_remembers_earns_no_weight():
    weights, leaked = [], []
    for seed in range(4):
        train = noise_market(seed)
        adapter = stacking(DEEP, SHALLOW)
        weights.append(adapter.fit(train.X, train.y, seed=1).model.weights[0, 0])
        splits = KFold(4, shuffle=True, random_state=0).split(train.X)
        predictions = out_of_fold(adapter._members, train, None, splits, seed=1)[:, :, 0]
        leaked.append(shrunk_weights(predictions, train.y, np.ones(1200), HORIZON)[0])
    assert max(weights) < 0.5  # below an equal share
    assert min(leaked) > 0.8


def test_that_every_target_is_predicted_by_members_that_never_saw_it():
    X, y = planted(300)
    train = Part(X, np.where(np.arange(300) == 150, 1e6, y), None)
    adapter = stacking(LINEAR, XGBOOST, folds=3)
    folds = list(adapter.splitter.split(X))
    predictions = out_of_fold(adapter._members, train, None, folds, seed=1)
    assert np.isfinite(predictions).all()
    assert np.abs(predictions[:, 150]).max() < 10
    for kept, tests in folds:
        gap = np.abs(kept[:, None] - tests[None, :]).min()
        assert gap >= HORIZON


SKILL = 0.05


def forecasts(noises: tuple[float, ...], n_rows: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return calibrated forecasts of returns over 12 rows, and these returns.

    The true part of a return has a coefficient of 0.05; member k sees it with noise k, inf being
    noise alone.
    """
    draw = np.random.default_rng(seed)

    def persistent() -> FloatArray:
        return np.convolve(draw.normal(size=n_rows + 11), np.ones(12), "valid") / np.sqrt(12)

    signal = persistent()
    members = [
        SKILL * persistent() / 1.5
        if np.isinf(noise)
        else SKILL * (signal + noise * persistent()) / (1 + noise**2)
        for noise in noises
    ]
    return np.stack(members), SKILL * signal + persistent()


@pytest.mark.parametrize(
    ("noises", "least"),
    [((1, 1, 1), -0.001), ((1, 1.5, 2), -0.001), ((1, np.inf, np.inf), 0.003)],
    ids=["members alike", "members a bit apart", "two members are noise"],
)
def test_that_learned_weights_are_not_worse_than_equal_ones(noises, least):
    truth, y_new = forecasts(noises, 400_000, seed=99)
    learned, equal, free = [], [], []
    for seed in range(40):
        predictions, y = forecasts(noises, 20_000, seed)
        ones = np.ones(20_000)
        for gains, weights in (
            (learned, shrunk_weights(predictions, y, ones, 12)),
            (free, shrunk_weights(predictions, y, ones, 1e-3)),  # next to no penalty
            (equal, np.full(len(noises), 1 / len(noises))),
        ):
            gains.append(np.corrcoef(weights @ truth, y_new)[0, 1])
    assert np.mean(learned) - np.mean(equal) >= least
    if noises == (1, 1, 1):
        assert np.mean(free) < np.mean(learned) - 0.002  # what the penalty is for


def test_that_weights_follow_a_signal_that_is_plain():
    draw = np.random.default_rng(0)
    y = draw.normal(size=5000)
    good, bad = y + 0.3 * draw.normal(size=5000), draw.normal(size=5000)
    weights = shrunk_weights(np.stack([good, bad]), y, np.ones(5000), 1)
    assert weights[0] > 0.95 and weights.sum() == pytest.approx(1) and (weights >= 0).all()
    doubled = shrunk_weights(np.stack([good, bad]), 10 * y, np.full(5000, 7.0), 1)
    assert doubled[0] > 0.95  # neither the label's unit nor the weights' scale matters


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("stacking_regressor", {}, r"horizon_candles: stacking_regressor found none.*label's"),
        ("stacking_regressor", {"horizon_candles": 0}, "found 0. Use a whole number"),
        ("stacking_regressor", {"horizon_candles": 3, "folds": 1}, "folds: .* found 1"),
        ("average_regressor", {"horizon_candles": 3}, "average_regressor has no such parameter"),
        ("average_regressor", {"members": []}, "at least two members"),
        ("average_regressor", {"members": [LINEAR]}, "at least two members"),
        ("average_regressor", {"members": [LINEAR, "linear_regressor"]}, r"members\[1\]"),
        (
            "average_regressor",
            {"members": [LINEAR, {"name": "lightgbm_regresor"}]},
            r"members\[1\]: .*Did you mean 'lightgbm_regressor'",
        ),
        (
            "average_regressor",
            {"members": [LINEAR, {"name": "linear_regressor", "params": {"alhpa": 1}}]},
            r"members\[1\]: .*Did you mean 'alpha'",
        ),
        (
            "average_regressor",
            {"members": [LINEAR, {"name": "logistic_classifier"}]},
            "does classification, average_regressor needs regression",
        ),
        ("average_regressor", {"members": [LINEAR, LINEAR | {"weight": 0}]}, "weight: .*found 0"),
        (
            "stacking_regressor",
            {"members": [LINEAR, LINEAR | {"weight": 2}], "horizon_candles": 3},
            r"members\[1\]: .* with name, params",
        ),
        ("average_regressor", {"random_state": 3}, "pass fit"),
    ],
)
def test_that_a_wrong_parameter_is_refused_before_any_fit(name, params, message):
    with pytest.raises(ConfigError, match=message):
        create(name, params)


def test_that_threads_reach_every_member_that_does_not_name_them():
    model = average(LIGHTGBM, XGBOOST | {"params": {"threads": 1}}, threads=2)
    assert [member.params["threads"] for member in model._members] == [2, 1]


def test_that_a_purge_which_leaves_nothing_is_a_config_error():
    X, y = planted(60)
    with pytest.raises(ConfigError, match="PurgedKFold: purge and embargo leave no row"):
        stacking(LINEAR, LINEAR, horizon_candles=40).fit(X, y, seed=1)
