"""What the nets promise beyond the contract: windows, exact rows, a process left as it was."""
# ruff: noqa: N803, N806 - X is scikit-learn's name of the features

import io
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from agent_market.errors import ConfigError, DataError
from agent_market.learning.adapters import ADAPTERS, ModelAdapter, create, load_adapter

WINDOWED = ("lstm_regressor", "tcn_regressor", "transformer_regressor")
NETS = ("mlp_regressor", *WINDOWED)
QUICK: dict[str, Any] = {"max_epochs": 2, "batch_size": 64}
RATES = {"lstm_regressor": 0.02, "tcn_regressor": 0.01, "transformer_regressor": 0.005}


def lagged_product(n_rows: int, seed: int) -> tuple[Any, Any]:
    """Return features and y_t = a_t * a_(t-2), which no single row tells anything of."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n_rows, 3)).astype(np.float32)
    y = 0.1 * draw.normal(size=n_rows)
    y[2:] += X[2:, 0] * X[:-2, 0]
    return X, y


def walk(n_rows: int = 200, n_features: int = 7) -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n_rows, n_features)).astype(np.float32)
    return X, X[:, 0] + 0.5 * draw.normal(size=n_rows)


def quick(name: str, **params: Any) -> ModelAdapter:
    window = {} if name.startswith("mlp") else {"window_candles": 5}
    return create(name, QUICK | window | params)


def r_squared(adapter: ModelAdapter, X: Any, y: Any) -> float:
    known = slice(adapter.window - 1, None)
    return 1 - float(((adapter.predict(X) - y)[known] ** 2).mean() / y[known].var())


def test_that_importing_the_adapters_does_not_import_torch():
    script = "import sys, agent_market.learning.adapters; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize("name", WINDOWED)
def test_that_a_window_learns_what_a_single_row_cannot_tell(name):
    X, y = lagged_product(1500, seed=0)
    X_new, y_new = lagged_product(600, seed=1)
    shared = {"dropout": 0.0, "batch_size": 64, "max_epochs": 20}
    windowed = create(name, shared | {"window_candles": 4, "learning_rate": RATES[name]})
    blind = create("mlp_regressor", shared | {"learning_rate": 0.003})
    assert r_squared(windowed.fit(X, y, seed=1), X_new, y_new) > 0.7
    assert r_squared(blind.fit(X, y, seed=1), X_new, y_new) < 0.1
    assert windowed.feature_importance().argmax() == 0


def test_that_a_window_of_two_is_too_short_for_a_lag_of_two():
    X, y = lagged_product(1500, seed=0)
    short = create("tcn_regressor", {"window_candles": 2, "max_epochs": 10, "batch_size": 64})
    assert r_squared(short.fit(X, y, seed=1), *lagged_product(600, seed=1)) < 0.1


@pytest.mark.parametrize("name", NETS)
def test_that_every_row_of_a_batch_has_the_bytes_of_its_window_alone(name):
    X, y = walk()
    adapter = quick(name).fit(X, y, seed=1)
    batch, window = adapter.predict(X), adapter.window
    for row in range(window - 1, len(X)):
        alone = adapter.predict(X[row - window + 1 : row + 1])
        assert alone.shape == (window,) and np.isnan(alone[:-1]).all()
        assert alone[-1].tobytes() == batch[row].tobytes()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mlp_regressor", {"hidden_size": 17}),
        ("mlp_regressor", {"hidden_size": 7, "layers": 3}),
        ("mlp_regressor", {"threads": 2}),
        ("lstm_regressor", {"hidden_size": 17, "layers": 2}),
        ("tcn_regressor", {"channels": 7, "kernel_size": 3}),
        ("transformer_regressor", {"hidden_size": 18, "heads": 3, "positions": "sinusoidal"}),
        ("transformer_regressor", {"layers": 3}),
    ],
)
def test_that_widths_at_which_matrix_products_depend_on_the_place_stay_exact(name, params):
    X, y = walk()
    adapter = quick(name, **params).fit(X, np.stack([y, -y, y**2], axis=1), seed=1)
    batch, window = adapter.predict(X), adapter.window
    for row in range(window - 1, len(X), 3):
        alone = adapter.predict(X[row - window + 1 : row + 1])
        assert alone[-1].tobytes() == batch[row].tobytes()


def test_that_a_net_whose_rows_depend_on_their_place_is_asked_row_by_row():
    class Uneven(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, windows):
            return windows[:, -1, :1] + torch.arange(len(windows))[:, None]

    X, y = walk()
    model = quick("lstm_regressor").fit(X, y, seed=1).model
    assert type(model)(model.architecture, model.scaling, model.importance, Uneven()).block == 1


@pytest.mark.parametrize("name", NETS)
def test_that_neither_later_rows_nor_rows_before_the_window_change_a_prediction(name):
    X, y = walk()
    adapter = quick(name).fit(X, y, seed=1)
    row, window = 120, adapter.window
    changed = X.copy()
    changed[row + 1 :] = 99
    changed[: row - window + 1] = -99
    assert adapter.predict(changed)[row].tobytes() == adapter.predict(X)[row].tobytes()
    changed[row - window + 1] += 1  # the oldest row of the window does
    assert adapter.predict(changed)[row] != adapter.predict(X)[row]


@pytest.mark.parametrize("name", WINDOWED)
def test_that_training_sees_nothing_but_the_windows_of_its_targets(name):
    X, y = walk()
    weight = np.ones(len(X))
    weight[80:120] = 0  # such as a test block between two training blocks
    expected = quick(name).fit(X, y, sample_weight=weight, seed=1).predict(X)
    unseen, labels = X.copy(), y.copy()
    unseen[80:116] = 1e6  # the next window begins at row 116
    labels[80:120] = np.nan
    labels[:4] = np.nan
    spoiled = quick(name).fit(unseen, labels, sample_weight=weight, seed=1)
    assert spoiled.predict(X).tobytes() == expected.tobytes()
    unseen[116] = 3
    seen = quick(name).fit(unseen, labels, sample_weight=weight, seed=1)
    assert seen.predict(X).tobytes() != expected.tobytes()


def test_that_the_first_rows_of_the_validation_part_are_history_alone():
    X, y = walk(300)
    y_valid = y[200:].copy()
    expected = quick("tcn_regressor").fit(X[:200], y[:200], X[200:], y_valid, seed=1).predict(X)
    y_valid[:4] = np.nan
    same = quick("tcn_regressor").fit(X[:200], y[:200], X[200:], y_valid, seed=1).predict(X)
    assert same.tobytes() == expected.tobytes()


def test_that_a_part_without_a_whole_window_is_refused():
    X, y = walk()
    with pytest.raises(DataError, match=r"X_train has 4 rows, none .* 4 rows before it"):
        quick("lstm_regressor").fit(X[:4], y[:4], seed=1)
    weight = (np.arange(200) < 4).astype(float)
    with pytest.raises(DataError, match="X_valid has 200 rows"):
        quick("lstm_regressor").fit(X, y, X, y, valid_weight=weight, seed=1)
    with pytest.raises(DataError, match="y_train has 199 rows, X has 200"):
        quick("lstm_regressor").fit(X, y[1:], seed=1)


@pytest.mark.parametrize("name", NETS)
def test_that_the_net_of_the_best_epoch_is_kept(name):
    X, y = walk(300)
    data = (X[:200], y[:200], X[200:], y[200:] + X[200:, 1])
    rates = {"learning_rate": 0.02, "batch_size": 32}
    patient = {"max_epochs": 40, "early_stopping_rounds": 3}
    stopped = quick(name, **rates | patient).fit(*data, seed=1)
    known = slice(stopped.window - 1, None)
    tried, losses = [], []
    for epochs in range(1, 40):
        full = {"max_epochs": epochs, "early_stopping_rounds": 0}
        tried.append(quick(name, **rates | full).fit(*data, seed=1).predict(data[2])[known])
        losses.append(((tried[-1] - data[3][known]) ** 2).mean())
        if epochs > np.argmin(losses) + 3:
            break
    best = int(np.argmin(losses))
    assert best < 36
    assert stopped.predict(data[2])[known].tobytes() == tried[best].tobytes()


@pytest.mark.parametrize("name", NETS)
def test_that_a_fit_neither_uses_nor_moves_the_settings_of_the_process(name):
    X, y = walk()
    results, threads_before = [], torch.get_num_threads()
    for seed, threads in ((1, 1), (2, 2)):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the state that must not matter
        torch.set_num_threads(threads)
        before = torch.get_rng_state()
        results.append(quick(name).fit(X, y, seed=5).predict(X).tobytes())
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        assert not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads_before)
    assert results[0] == results[1]
    assert quick(name).fit(X, y, seed=6).predict(X).tobytes() != results[0]


def test_that_fits_and_predictions_in_threads_do_not_disturb_each_other():
    X, y = walk()
    alone = [quick(name, max_epochs=5).fit(X, y, seed=3).predict(X).tobytes() for name in NETS]
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(quick(name, max_epochs=5).fit, X, y, seed=3) for name in NETS]
        beside = [fit.result().predict(X).tobytes() for fit in fits]
    assert alone == beside


def test_that_a_fit_that_goes_on_keeps_the_scaling_of_its_start():
    X, y = walk()
    first = quick("lstm_regressor").fit(X, y, seed=1)
    further = quick("lstm_regressor").fit(X * 10 + 5, y * 10, seed=1, init=first)
    for name, values in vars(first.model.scaling).items():
        np.testing.assert_array_equal(vars(further.model.scaling)[name], values)


def test_that_going_on_in_vain_keeps_the_start():
    X, y = walk(300)
    first = quick("mlp_regressor", max_epochs=20).fit(X, y, seed=1)
    runs_away = quick("mlp_regressor", learning_rate=1.0)
    further = runs_away.fit(X[:200], y[:200], X[200:], y[200:], seed=1, init=first)
    assert further.predict(X).tobytes() == first.predict(X).tobytes()


def test_that_going_on_from_a_net_of_another_size_is_refused():
    X, y = walk()
    first = quick("tcn_regressor").fit(X, y, seed=1)
    with pytest.raises(ConfigError, match=r"window: init is a tcn_regressor of 5, this fit has 6"):
        quick("tcn_regressor", window_candles=6).fit(X, y, seed=1, init=first)
    with pytest.raises(ConfigError, match=r"channels: init is .* of 32, this fit has 16"):
        quick("tcn_regressor", channels=16).fit(X, y, seed=1, init=first)


@pytest.mark.parametrize("name", NETS)
def test_that_absence_is_seen_and_nan_elsewhere_is_the_mean(name):
    X, _ = walk(600)
    X[::3, 1] = np.nan
    y = np.isnan(X[:, 1]).astype(float)
    adapter = quick(name, max_epochs=15, learning_rate=0.01, window_candles=2).fit(X, y, seed=1)
    assert r_squared(adapter, X, y) > 0.7
    assert adapter.feature_importance().argmax() == 1
    holed, filled = X.copy(), X.copy()
    holed[:, 4], filled[:, 4] = np.nan, X[:, 4].mean(dtype=np.float64)
    np.testing.assert_allclose(adapter.predict(holed), adapter.predict(filled), atol=1e-5)


def test_that_a_wild_value_counts_as_five_deviations_and_a_constant_feature_not_at_all():
    X, y = walk()
    X[:, 2] = 0.1
    adapter = quick("mlp_regressor").fit(X, y, seed=1)
    wild, wilder, moved = X.copy(), X.copy(), X.copy()
    wild[:, 0], wilder[:, 0], moved[:, 2] = 1e3, 1e30, 1e6
    assert adapter.predict(wild).tobytes() == adapter.predict(wilder).tobytes()
    assert adapter.predict(moved).tobytes() == adapter.predict(X).tobytes()
    assert adapter.feature_importance()[2] == 0


def test_that_the_units_of_labels_come_back():
    X, y = walk(600)
    params = {"max_epochs": 20, "learning_rate": 0.005}
    small = quick("mlp_regressor", **params).fit(X, y * 1e-4 + 0.01, seed=1)
    assert r_squared(small, X, y * 1e-4 + 0.01) > 0.7


@pytest.mark.parametrize("name", [*NETS, "mlp_classifier"])
def test_that_a_model_file_holds_values_and_no_pickled_module(name, tmp_path):
    X, y = walk()
    adapter = quick(name).fit(X, y if name in NETS else y > 0, seed=1)
    adapter.save(tmp_path / "model")
    adapter.save(tmp_path / "again")
    assert (tmp_path / "model").read_bytes() == (tmp_path / "again").read_bytes()
    with zipfile.ZipFile(tmp_path / "model") as archive:
        content = torch.load(io.BytesIO(archive.read("model.pt")), weights_only=True)
    assert content["architecture"]["window"] == adapter.window
    loaded = load_adapter(tmp_path / "model")
    assert loaded.window == adapter.window
    assert loaded.predict(X).tobytes() == adapter.predict(X).tobytes()
    assert b"torch_nets" not in pickle.dumps(adapter)


def test_that_a_worker_process_fits_the_same_bytes_and_sends_the_model_back():
    X, y = walk()
    here = [quick(name).fit(X, y, seed=1) for name in NETS]
    fits = (joblib.delayed(quick(name).fit)(X, y, seed=1) for name in NETS)
    there = joblib.Parallel(n_jobs=2, backend="loky")(fits)
    for ours, theirs in zip(here, there, strict=True):
        assert ours.predict(X).tobytes() == theirs.predict(X).tobytes()


def test_that_windows_are_never_all_in_memory_at_once():
    script = """
import resource, numpy as np
from agent_market.learning.adapters import create
X = np.random.default_rng(0).normal(size=(20_000, 40)).astype(np.float32)
params = {"window_candles": 128, "max_epochs": 1, "batch_size": 64, "channels": 8}
adapter = create("tcn_regressor", params)
adapter.fit(X[:500], X[:500, 0], seed=1).predict(X[:500])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
adapter.fit(X, X[:, 0], seed=1).predict(X)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    command = [sys.executable, "-c", script]
    grown = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    whole = 20_000 * 128 * 40 * 4 / 2**20
    assert float(grown.stdout) < whole / 4  # MiB


def test_that_a_training_that_runs_away_is_a_config_error():
    X, y = walk()
    wild = {"learning_rate": 10.0, "gradient_clip": 1e6, "layers": 15, "max_epochs": 60}
    with pytest.raises(ConfigError, match=r"mlp_regressor: the loss is .* Lower .*learning_rate"):
        quick("mlp_regressor", **wild).fit(X, y, seed=1)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("mlp_regressor", {"hidden_sise": 8}, r"hidden_sise.*Did you mean 'hidden_size'"),
        ("tcn_regressor", {"hidden_size": 8}, "tcn_regressor has no such parameter"),
        ("lstm_regressor", {"heads": 8}, "lstm_regressor has no such parameter"),
        ("lstm_regressor", {"layers": 0}, "layers: lstm_regressor found 0"),
        ("lstm_regressor", {"window_candles": 2.5}, "window_candles: .* found 2.5"),
        ("lstm_regressor", {"seed": 1}, r"seed.*pass fit\(\.\.\., seed"),
        ("tcn_regressor", {"kernel_size": 1}, "whole number of at least 2"),
        ("transformer_regressor", {"heads": 3}, "found 3, which does not divide hidden_size 32"),
        ("transformer_regressor", {"positions": "none"}, "found 'none'. Use one of learned"),
        ("mlp_regressor", {"dropout": 1.0}, r"found 1.0. Use a number from 0 to 0.95"),
        ("mlp_regressor", {"learning_rate": "fast"}, "learning_rate: mlp_regressor found 'fast'"),
        ("mlp_regressor", {"device": "abacus"}, "device: mlp_regressor found 'abacus'"),
        ("mlp_classifier", {"window_candles": 2}, "looks at one row"),
    ],
)
def test_that_a_wrong_parameter_of_a_net_is_refused_before_any_fit(name, params, message):
    with pytest.raises(ConfigError, match=message):
        create(name, params)


def test_that_other_adapters_have_a_window_of_one_row():
    assert all(create(name).window == 1 for name in ("lightgbm_regressor", "mlp_regressor"))
    assert {name for name in ADAPTERS if name in NETS} == set(NETS)
