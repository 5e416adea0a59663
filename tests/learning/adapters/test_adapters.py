"""One conformance test over the whole registry, and what it does not reach."""
# ruff: noqa: N803, N806 - X is scikit-learn's name of the features

import json
import logging
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, ModelUnavailable, StateCorrupt
from agent_market.learning.adapters import (
    ADAPTERS,
    ModelAdapter,
    check_adapter,
    create,
    load_adapter,
)
from agent_market.learning.adapters.conformance import CHECKS, Subject
from agent_market.learning.adapters.linear import LinearRegressor

FAST_REGRESSORS = [
    {"name": "lightgbm_regressor", "params": {"num_iterations": 60}},
    {"name": "linear_regressor"},
]
FAST: dict[str, dict[str, Any]] = {
    "lightgbm": {"num_iterations": 60},
    "xgboost": {"n_estimators": 60},
    "catboost": {"iterations": 60, "learning_rate": 0.2},
    "linear": {},
    "logistic": {},
    "average_regressor": {"members": FAST_REGRESSORS},
    "average_classifier": {
        "members": [
            {"name": "lightgbm_classifier", "params": {"num_iterations": 60}},
            {"name": "logistic_classifier"},
        ]
    },
    "stacking_regressor": {"members": FAST_REGRESSORS, "horizon_candles": 2, "folds": 2},
    "mlp": {"max_epochs": 4, "learning_rate": 0.002, "batch_size": 32},
    "lstm": {"max_epochs": 6, "learning_rate": 0.01, "batch_size": 32, "window_candles": 3},
    "tcn": {"max_epochs": 10, "learning_rate": 0.003, "batch_size": 32, "window_candles": 3},
    "transformer": {
        "max_epochs": 10,
        "learning_rate": 0.002,
        "batch_size": 32,
        "window_candles": 3,
        "layers": 1,
    },
}
REGRESSORS = [name for name, adapter in ADAPTERS.items() if adapter.task == "regression"]
CLASSIFIERS = [name for name, adapter in ADAPTERS.items() if adapter.task == "classification"]
TREES = [name for name in ADAPTERS if name.startswith(("lightgbm", "xgboost", "catboost"))]
ROUNDS = {"lightgbm": "num_iterations", "xgboost": "n_estimators", "catboost": "iterations"}


def fast(name: str, **more: Any) -> ModelAdapter:
    kind = name if name in FAST else name.split("_")[0]
    return create(name, FAST[kind] | more)


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    made = {name: Subject(fast(name)) for name in ADAPTERS}
    for name in ("linear_regressor", "logistic_classifier"):
        made[f"{name}+imputer"] = Subject(fast(name, imputer="median"))
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [*ADAPTERS, "linear_regressor+imputer", "logistic_classifier+imputer"]
)
def test_that_every_adapter_keeps_the_contract(name, check, subjects):
    check(subjects[name])


def test_that_a_fresh_process_loads_every_model_and_predicts_the_same_bytes(subjects, tmp_path):
    for name, subject in subjects.items():
        subject.fitted.save(tmp_path / f"{name}.model")
        np.save(tmp_path / f"{name}.X.npy", subject.X_new)
    script = """
import sys, numpy as np
from pathlib import Path
from agent_market.learning.adapters import load_adapter
for path in Path(sys.argv[1]).glob("*.model"):
    adapter = load_adapter(path)
    X = np.load(path.with_suffix(".X.npy"))
    output = adapter.predict(X) if adapter.task == "regression" else adapter.predict_proba(X)
    np.save(path.with_suffix(".output.npy"), output)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
    for name, subject in subjects.items():
        there = np.load(tmp_path / f"{name}.output.npy")
        assert there.tobytes() == subject.output(subject.fitted).tobytes(), name


def test_that_a_save_killed_midway_leaves_the_previous_model(tmp_path):
    path = tmp_path / "a.model"
    script = """
import os, signal, sys, numpy as np
from pathlib import Path
from agent_market.learning.adapters import create
X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
first = create("linear_regressor").fit(X, X[:, 0], seed=0)
second = create("linear_regressor").fit(X, X[:, 1], seed=0)
first.save(Path(sys.argv[1]))
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
second.save(Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=120)
    assert killed.returncode == -9
    assert load_adapter(path).feature_importance()[0] > 0.9


@pytest.mark.parametrize("name", [name for name in TREES if name in REGRESSORS])
def test_that_trees_learn_a_product_of_two_features(name):
    X = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    y = X[:, 0] * X[:, 1]
    predicted = fast(name).fit(X[:2000], y[:2000], seed=1).predict(X[2000:])
    assert 1 - np.var(y[2000:] - predicted) / np.var(y[2000:]) > 0.5


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", [[0, 1], [-1, 4], [False, True], ["down", "up"], [0.0, 2.0]])
def test_that_two_classes_of_any_type_come_back_as_they_went_in(name, labels, tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    y = np.array(labels)[(X[:, 0] > 0).astype(int)]
    adapter = fast(name).fit(X, y.astype(object), seed=1)
    adapter.save(tmp_path / "model")
    loaded = load_adapter(tmp_path / "model")
    assert loaded.classes_.tolist() == adapter.classes_.tolist() == labels
    assert loaded.predict(X).dtype.kind == y.dtype.kind
    assert (loaded.predict(X) == y).mean() > 0.9
    assert loaded.predict_proba(X).shape == (300, 2)


@pytest.mark.parametrize(
    "name", [name for name in REGRESSORS if ADAPTERS[name].supports_multi_target]
)
def test_that_several_labels_are_learned_each(name, tmp_path):
    X = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    y = np.stack([X[:, 0], -X[:, 1]], axis=1)
    adapter = fast(name).fit(X, y, X[:100], y[:100], seed=1)
    adapter.save(tmp_path / "model")
    predicted = load_adapter(tmp_path / "model").predict(X)
    assert predicted.shape == (500, 2)
    known, truth = predicted[adapter.window - 1 :], y[adapter.window - 1 :]
    assert all(np.corrcoef(known[:, label], truth[:, label])[0, 1] > 0.8 for label in (0, 1))
    assert adapter.feature_importance()[2] < 0.2


def test_that_lightgbm_refuses_several_labels_and_a_single_column_is_flat():
    X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    with pytest.raises(DataError, match=r"y_train has 2 labels.*xgboost_regressor"):
        fast("lightgbm_regressor").fit(X, X[:, :2], seed=1)
    assert fast("lightgbm_regressor").fit(X, X[:, :1], seed=1).predict(X).shape == (100,)


def n_rounds(adapter: ModelAdapter) -> int:
    count = {
        "lightgbm": lambda model: model.current_iteration(),
        "xgboost": lambda model: model.num_boosted_rounds(),
        "catboost": lambda model: model.tree_count_,
    }
    return int(count[adapter.name.split("_")[0]](adapter.model))


def first_rounds(adapter: ModelAdapter, X: Any, count: int) -> Any:
    """Return what the library itself predicts by its first rounds: labels, or P(class 1)."""
    model, kind = adapter.model, adapter.name.split("_")[0]
    if kind == "lightgbm":
        return model.predict(X, num_iteration=count)
    if kind == "xgboost":
        return model.inplace_predict(X, iteration_range=(0, count))
    if adapter.task == "regression":
        return model.predict(X, ntree_end=count)
    return model.predict_proba(X, ntree_end=count)[:, 1]


def miss(truth: Any, output: Any, name: str) -> float:
    """Return the loss that every library stops by: squared error, or log loss."""
    if name in REGRESSORS:
        return float(((truth - output) ** 2).mean())
    return float(-np.log(np.where(truth == 1, output, 1 - output)).mean())


@pytest.mark.parametrize("name", TREES)
def test_that_the_validation_part_ends_the_fit_at_its_best_round(name, tmp_path):
    X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    y = X[:, 0] + np.random.default_rng(1).normal(size=400)
    y = y if name in REGRESSORS else (y > 0).astype(int)
    data = (X[:200], y[:200], X[200:], y[200:])
    rounds = {ROUNDS[name.split("_")[0]]: 200, "early_stopping_rounds": 10, "learning_rate": 0.3}
    stopped = create(name, rounds).fit(*data, seed=1)
    best = n_rounds(stopped)
    assert 1 <= best < 200
    full = create(name, rounds | {"early_stopping_rounds": 0}).fit(*data, seed=1)
    assert n_rounds(full) == 200
    output = stopped.predict(X) if name in REGRESSORS else stopped.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(output, first_rounds(full, X, best))
    losses = [miss(y[200:], first_rounds(full, X[200:], n), name) for n in range(1, best + 10)]
    assert losses[best - 1] <= min(losses) + 1e-6
    stopped.save(tmp_path / "model")
    assert n_rounds(load_adapter(tmp_path / "model")) == best
    assert n_rounds(create(name, rounds).fit(*data, seed=1, init=stopped)) >= best


@pytest.mark.parametrize("name", TREES)
def test_that_the_seed_alone_decides_which_rows_are_drawn(name):
    half = {"lightgbm": {"bagging_fraction": 0.5, "bagging_freq": 1}, "xgboost": {"subsample": 0.5}}
    data = part_of_each()
    drawn = [
        fast(name, **half.get(name.split("_")[0], {})).fit(**data | {"seed": seed}).model
        for seed in (1, 1, 2)
    ]
    dumped = [fast(name).predict_model(model, data["X_train"]).tobytes() for model in drawn]
    assert dumped[0] == dumped[1] != dumped[2]


def spoiled(row: int, column: int, value: float) -> Any:
    def spoil(data: dict[str, Any]) -> None:
        data["X_train"][row, column] = value

    return spoil


BAD: dict[str, tuple[Any, str]] = {
    "inf": (spoiled(3, 1, np.inf), r"X_train: b: infinite in float32 in 1 of 80 rows\. Clip"),
    "beyond float32": (
        lambda data: data.update(X_train=data["X_train"].astype(float) * 1e39),
        "a, b, c: infinite in float32",
    ),
    "empty": (lambda data: data.update(X_train=data["X_train"][:0]), "X_train is empty"),
    "one row flat": (lambda data: data.update(X_train=data["X_train"][0]), "has 1 dimensions"),
    "integers": (
        lambda data: data.update(X_train=data["X_train"].astype(int)),
        r"dtype int64, not a float.*astype",
    ),
    "objects": (
        lambda data: data.update(X_train=data["X_train"].astype(object)),
        "dtype object, not a float",
    ),
    "a name too many": (
        lambda data: data.update(feature_names=["a", "b", "c", "d"]),
        r"3 features, the model has 4 \(a, b, c and 1 more\)",
    ),
    "a name twice": (lambda data: data.update(feature_names=["a", "b", "a"]), "'a' twice"),
    "too few labels": (lambda data: data.update(y_train=data["y_train"][:-1]), "79 rows, X has 80"),
    "no validation labels": (lambda data: data.update(y_valid=None), "X_valid, y_valid: one of"),
    "validation of another width": (
        lambda data: data.update(X_valid=data["X_valid"][:, :2]),
        "X_valid has 2 features",
    ),
    "negative weight": (
        lambda data: data.update(sample_weight=np.linspace(-1, 1, 80)),
        r"sample_weight runs from -1 to 1",
    ),
    "no weight": (lambda data: data.update(sample_weight=np.zeros(80)), "not all 0"),
    "short weights": (lambda data: data.update(valid_weight=np.ones(3)), "valid_weight has 3 rows"),
}
BAD_TARGETS: dict[str, tuple[Any, str]] = {
    "NaN label": (lambda y: np.where(np.arange(80) < 2, np.nan, y), "NaN or infinite in 2 of 80"),
    "constant label": (lambda y: np.ones(80), "label 0 is 1 in all 80 rows"),
    "text label": (lambda y: np.array(["up"] * 80), "Pass numbers"),
}
BAD_CLASSES: dict[str, tuple[Any, str]] = {
    "one class": (lambda y: np.array(["up"] * 80), r"single class .*up.* in all 80 rows"),
    "part of a class": (lambda y: np.linspace(0, 1, 80), "not whole"),
    "missing class": (lambda y: np.array(["up", "down", None, "up"] * 20), "NoneType, str"),
    "two columns": (lambda y: np.zeros((80, 2)), r"shape \(80, 2\)"),
}


def part_of_each() -> dict[str, Any]:
    X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(float)
    train, valid = slice(0, 80), slice(80, 100)
    return {
        "X_train": X[train],
        "y_train": y[train],
        "X_valid": X[valid],
        "y_valid": y[valid],
        "feature_names": ["a", "b", "c"],
        "seed": 1,
    }


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("case", BAD)
def test_that_data_which_cannot_be_trained_on_are_refused_by_name(name, case):
    spoil, message = BAD[case]
    data = part_of_each()
    spoil(data)
    with pytest.raises(DataError, match=message):
        fast(name).fit(**data)


@pytest.mark.parametrize("name", ADAPTERS)
def test_that_a_feature_without_any_value_is_named(name):
    data = part_of_each()
    data["X_train"][:, 2] = np.nan
    with pytest.raises(DataError, match=r"c: NaN in (all 80|80 of 80) rows"):
        fast(name).fit(**data)


@pytest.mark.parametrize("case", [*BAD_TARGETS, *BAD_CLASSES])
def test_that_labels_which_cannot_be_learned_are_refused_by_name(case):
    change, message = (BAD_TARGETS | BAD_CLASSES)[case]
    data = part_of_each()
    data["y_train"] = change(data["y_train"])
    adapter = fast("lightgbm_regressor" if case in BAD_TARGETS else "lightgbm_classifier")
    with pytest.raises(DataError, match=message):
        adapter.fit(**data)


def test_that_a_class_only_validation_has_is_named():
    data = part_of_each()
    data["y_valid"][0] = 7
    with pytest.raises(DataError, match=r"y_valid has the class .*7.*which y_train lacks"):
        fast("xgboost_classifier").fit(**data)


def test_that_a_row_with_infinity_is_refused_when_predicting():
    adapter = fast("xgboost_regressor").fit(**part_of_each())
    with pytest.raises(DataError, match=r"X: c: infinite in float32 in 1 of 1 rows"):
        adapter.predict(np.array([[0, 0, -np.inf]], dtype=np.float32))


def test_that_what_is_not_fitted_says_so_and_a_failed_fit_keeps_the_model():
    adapter = fast("lightgbm_classifier")
    with pytest.raises(ModelUnavailable, match=r"lightgbm_classifier is not fitted. Call fit"):
        adapter.predict(np.zeros((1, 3), dtype=np.float32))
    data = part_of_each()
    before = adapter.fit(**data).predict_proba(data["X_valid"])
    with pytest.raises(DataError):
        adapter.fit(**data | {"y_train": np.ones(80)})
    assert (adapter.predict_proba(data["X_valid"]) == before).all()


def test_that_a_regressor_has_no_classes():
    adapter = fast("linear_regressor").fit(**part_of_each())
    for ask in (lambda: adapter.classes_, lambda: adapter.predict_proba(np.zeros((1, 3)))):
        with pytest.raises(ConfigError, match="linear_regressor is no classifier"):
            ask()


def test_that_a_fit_goes_on_only_from_its_own_kind():
    data = part_of_each()
    first = fast("lightgbm_classifier").fit(**data)
    with pytest.raises(ConfigError, match="init is lightgbm_classifier"):
        fast("xgboost_classifier").fit(**data, init=first)
    with pytest.raises(ConfigError, match="names differ"):
        fast("lightgbm_classifier").fit(**data | {"feature_names": ["x", "y", "z"]}, init=first)
    relabeled = data | {"y_train": data["y_train"] + 1, "y_valid": data["y_valid"] + 1}
    with pytest.raises(ConfigError, match="init has the classes"):
        fast("lightgbm_classifier").fit(**relabeled, init=first)


@pytest.mark.parametrize("name", ADAPTERS)
def test_that_an_unknown_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigError, match="tolerancee"):
        create(name, {"tolerancee": 1})


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("lightgbm_regressor", {"num_leavess": 3}, r"num_leavess.*Did you mean 'num_leaves'"),
        ("catboost_regressor", {"depht": 3}, r"depht.*Did you mean 'depth'"),
        ("linear_regressor", {"alhpa": 3}, r"alhpa.*Did you mean 'alpha'"),
        ("xgboost_regressor", {"max_dept": 3, "verbosity": 0}, r"does not use \"max_dept\""),
        ("xgboost_regressor", {"max_depth": "deep"}, "refused to train.*max_depth"),
        (
            "lightgbm_regressor",
            {"n_estimators": 3, "num_trees": 3},
            "'n_estimators' and 'num_trees'",
        ),
        ("catboost_regressor", {"threads": 1, "thread_count": 2}, "'threads' and 'thread_count'"),
        ("lightgbm_regressor", {"random_state": 3}, r"random_state.*pass fit\(\.\.\., seed"),
        ("catboost_classifier", {"random_seed": 3}, r"random_seed.*pass fit\(\.\.\., seed"),
        ("xgboost_classifier", {"n_jobs": 0}, r"threads: xgboost_classifier found 0"),
        ("xgboost_classifier", {"early_stopping_rounds": True}, "found True"),
        ("linear_regressor", {"imputer": "mean"}, "imputer: linear_regressor found 'mean'"),
        ("linear_regressor", {"alpha": float("nan")}, "alpha: .* found nan, which JSON"),
        ("lightgbm_regresor", {}, "Did you mean 'lightgbm_regressor'"),
    ],
)
def test_that_a_wrong_parameter_is_refused_before_any_fit(name, params, message):
    with pytest.raises(ConfigError, match=message):
        create(name, params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm_regressor", {"learning_rate": -1}),
        ("catboost_regressor", {"depth": 99}),
        ("linear_regressor", {"alpha": "much"}),
        ("xgboost_classifier", {"objective": "multi:softmax"}),
        ("xgboost_regressor", {"booster": "gblinear"}),
    ],
)
def test_that_a_value_the_library_refuses_is_a_config_error(name, params):
    X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    y = X[:, 0] if name in REGRESSORS else np.arange(90) % 3
    with pytest.raises(ConfigError, match=name):
        create(name, params).fit(X, y, seed=1)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm_regressor", {"n_estimators": 20, "n_jobs": 2, "force_row_wise": True}),
        ("lightgbm_regressor", {"objective": "quantile", "alpha": 0.9, "verbose": -1}),
        ("xgboost_regressor", {"n_estimators": 20, "n_jobs": 2, "eta": 0.2, "reg_lambda": 2}),
        ("xgboost_classifier", {"booster": "dart", "rate_drop": 0.1, "n_estimators": 20}),
        ("xgboost_classifier", {"objective": "multi:softprob", "n_estimators": 20}),
        ("lightgbm_classifier", {"objective": "multiclassova", "n_estimators": 20}),
        ("catboost_regressor", {"n_estimators": 20, "max_depth": 3, "logging_level": "Silent"}),
        ("catboost_classifier", {"num_trees": 20, "objective": "CrossEntropy", "od_wait": 5}),
        ("linear_regressor", {"alpha": 2.0, "threads": 2}),
        ("logistic_classifier", {"C": 0.5}),
    ],
)
def test_that_the_library_s_own_names_pass_through(name, params, tmp_path):
    data = part_of_each()
    adapter = create(name, params).fit(**data)
    adapter.save(tmp_path / "model")
    loaded = load_adapter(tmp_path / "model")
    assert loaded.params == params
    assert (loaded.predict(data["X_valid"]) == adapter.predict(data["X_valid"])).all()


@pytest.mark.parametrize(
    "objective",
    ["reg:gamma", "reg:logistic", "reg:tweedie", "count:poisson", "reg:pseudohubererror"],
)
def test_that_the_probe_for_unused_parameters_takes_every_objective(objective):
    create("xgboost_regressor", {"objective": objective})
    create("xgboost_regressor", {"objective": objective, "multi_strategy": "multi_output_tree"})


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("name", ADAPTERS)
def test_that_a_missing_library_makes_the_model_unavailable(name, monkeypatch):
    hide(monkeypatch, "lightgbm", "xgboost", "catboost", "sklearn", "sklearn.linear_model", "torch")
    with pytest.raises(ModelUnavailable, match=rf"{name} needs the package .*pip install"):
        create(name)
    with pytest.raises(ModelUnavailable, match=f"{name} needs the package"):
        create(name, fallback=True)


@pytest.mark.parametrize(
    ("wanted", "missing", "found"),
    [
        ("lightgbm_regressor", ["lightgbm"], "xgboost_regressor"),
        ("lightgbm_regressor", ["lightgbm", "xgboost"], "linear_regressor"),
        ("catboost_classifier", ["catboost"], "lightgbm_classifier"),
        ("xgboost_classifier", ["lightgbm", "xgboost"], "logistic_classifier"),
        ("xgboost_classifier", ["lightgbm"], "xgboost_classifier"),
    ],
)
def test_that_the_next_library_stands_in_and_the_log_names_the_missing(
    wanted, missing, found, monkeypatch, caplog
):
    hide(monkeypatch, *missing)
    with caplog.at_level(logging.WARNING):
        adapter = create(wanted, {"threads": 1, "max_depth": 4}, fallback=True)
    assert adapter.name == found
    warned = wanted != found
    assert all((f"package {module}" in caplog.text) == warned for module in missing)
    data = part_of_each()
    data["X_train"][:9, 1] = np.nan
    assert np.isfinite(adapter.fit(**data).predict(data["X_train"])).all()


def test_that_the_imputer_learns_from_training_rows_alone():
    data = part_of_each()
    data["X_train"][::4, 1] = np.nan
    data["X_valid"] = data["X_valid"] * 1000
    adapter = create("linear_regressor", {"imputer": "median"}).fit(**data)
    np.testing.assert_array_equal(adapter.model.fill, np.nanmedian(data["X_train"], axis=0))
    assert adapter.model.masked.tolist() == [1]
    holed = np.array([[np.nan, 0, np.nan]], dtype=np.float32)
    filled = np.array([[adapter.model.fill[0], 0, adapter.model.fill[2]]], dtype=np.float32)
    assert adapter.predict(holed) == pytest.approx(adapter.predict(filled))


def test_that_the_mask_of_the_imputer_carries_what_absence_says():
    X = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    X[::2, 1] = np.nan
    y = np.isnan(X[:, 1]).astype(float)
    adapter = create("linear_regressor", {"imputer": "median"}).fit(X, y, seed=1)
    assert np.abs(adapter.predict(X) - y).max() < 0.1
    assert adapter.feature_importance()[1] > 0.95


def test_that_a_linear_model_without_imputer_says_how_to_get_one():
    X = np.array([[1.0, np.nan], [2.0, 1.0]], dtype=np.float32)
    with pytest.raises(DataError, match=r'feature_1: NaN in 1 of 2 rows.*imputer to "median"'):
        create("linear_regressor").fit(X, np.array([0.0, 1.0]), seed=1)


def test_that_a_constant_feature_does_not_upset_a_linear_model():
    data = part_of_each()
    data["X_train"][:, 1] = 0.1
    adapter = fast("linear_regressor").fit(**data)
    data["X_valid"][:, 1] = 1e6
    assert np.abs(adapter.predict(data["X_valid"])).max() < 5
    assert adapter.feature_importance()[1] == 0


@pytest.mark.parametrize("name", ADAPTERS)
def test_that_a_damaged_byte_is_noticed_or_harmless(name, subjects, tmp_path):
    subject, path = subjects[name], tmp_path / "model"
    subject.fitted.save(path)
    content = path.read_bytes()
    noticed = 0
    for position in {*np.linspace(0, len(content) - 1, 60).astype(int).tolist()}:
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded = load_adapter(path)
        except (StateCorrupt, ConfigError):
            noticed += 1
        else:
            assert subject.output(loaded).tobytes() == subject.output(subject.fitted).tobytes()
    assert noticed > 40  # a few bytes of the archive, such as dates, mean nothing


def test_that_a_model_file_is_a_zip_with_a_header_and_the_native_model(subjects, tmp_path):
    path = tmp_path / "model"
    subjects["lightgbm_regressor"].fitted.save(path)
    again = tmp_path / "again"
    subjects["lightgbm_regressor"].fitted.save(again)
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
        assert archive.read("model.txt").startswith(b"tree\n")
    assert header["n_features"] == 6
    assert header["feature_names"][0] == "feature_0"
    assert header["params"] == {"num_iterations": 60}
    assert {file.name for file in tmp_path.iterdir()} == {"model", "again"}


def test_that_a_file_of_another_adapter_or_none_is_refused(subjects, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(ModelUnavailable, match="there is no model file"):
        load_adapter(path)
    subjects["linear_regressor"].fitted.save(path)
    with pytest.raises(ConfigError, match="holds a model of linear_regressor, not of xgboost"):
        ADAPTERS["xgboost_regressor"].load(path)


class Own(LinearRegressor):
    """A user's adapter that keeps the contract."""

    name = "own"


class LooksAtOtherRows(Own):
    def predict_model(self, model, X):
        return super().predict_model(model, X - X.mean(axis=0))


class ForgetsTheSeed(Own):
    def fit_model(self, train, valid, **options):
        noise = np.random.default_rng().normal(size=train.y.shape)
        noisy = type(train)(train.X, train.y + noise, train.weight)
        return super().fit_model(noisy, valid, **options)


class IgnoresWeights(Own):
    def fit_model(self, train, valid, **options):
        return super().fit_model(type(train)(train.X, train.y, None), valid, **options)


class PromisesNan(Own):
    def __init__(self, params=None):
        super().__init__(params)
        self.supports_nan = True

    def fit_model(self, train, valid, **options):
        kept = ~np.isnan(train.X).any(axis=1)
        return LinearRegressor().fit_model(
            type(train)(train.X[kept], train.y[kept], None), valid, **options
        )

    def predict_model(self, model, X):
        return (((X - model.mean) / model.scale) * model.coefficients).sum(axis=1)


class ForgetsTheModel(Own):
    def dump(self, model):
        return super().dump(type(model)(**{**vars(model), "intercepts": model.intercepts + 1}))


class ReversesImportance(Own):
    def importance(self, model, n_features):
        return super().importance(model, n_features)[::-1]


class PredictsTheMean(Own):
    def predict_model(self, model, X):
        return np.zeros(len(X))


class SpoilsItsInput(Own):
    def predict_model(self, model, X):
        output = super().predict_model(model, X)
        X[:] = 0
        return output


def test_that_a_user_s_own_adapter_passes_the_check():
    check_adapter(Own())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (LooksAtOtherRows, "a row alone predicts differently"),
        (ForgetsTheSeed, "two fits with one seed"),
        (IgnoresWeights, "sample weights do not matter"),
        (PromisesNan, "NaN in X gives predictions that are NaN"),
        (ForgetsTheModel, "loading changes predictions"),
        (ReversesImportance, "does not lead with the planted"),
        (PredictsTheMean, "of a planted signal"),
        (SpoilsItsInput, "writes into the arrays"),
    ],
)
def test_that_the_check_finds_what_breaks_the_contract(broken, message):
    with pytest.raises(ConfigError, match=message):
        check_adapter(broken())


def test_that_contiguous_float32_is_not_copied():
    seen = []

    class Watching(Own):
        def predict_model(self, model, X):
            seen.append(X)
            return super().predict_model(model, X)

    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    Watching().fit(X, X[:, 0], sample_weight=np.ones(50), seed=1).predict(X)
    assert all(np.shares_memory(rows, X) for rows in seen) and len(seen) == 2
