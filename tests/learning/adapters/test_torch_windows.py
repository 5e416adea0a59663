"""What the check asks of any adapter with a window, shown on a ridge over flattened windows."""
# ruff: noqa: N803, N806 - X is scikit-learn's name of the features

from dataclasses import replace

import numpy as np
import pytest

from agent_market.errors import ConfigError
from agent_market.learning.adapters import check_adapter
from agent_market.learning.adapters.linear import LinearRegressor, LogisticClassifier


def flattened(X, window):
    """Return the windows that end at rows window - 1 and later, one a row, latest row first."""
    rows = np.arange(window - 1, len(X))[:, None] - np.arange(window)
    return np.ascontiguousarray(X[rows].reshape(len(rows), -1))


class WindowedRidge(LinearRegressor):
    """A user's adapter that looks at three rows and keeps the contract."""

    name = "windowed_ridge"

    def __init__(self, params=None):
        super().__init__(params)
        self.window = 3

    def fit_model(self, train, valid, **options):
        windows = flattened(train.X, 3)[train.targets - 2]
        return super().fit_model(replace(train, X=windows), None, **options)

    def predict_model(self, model, X):
        return super().predict_model(model, flattened(X, 3))

    def importance(self, model, n_features):
        return np.abs(model.coefficients).reshape(3, n_features).sum(axis=0)


class SeesTheNextRow(WindowedRidge):
    def predict_model(self, model, X):
        windows = flattened(np.concatenate([X[1:], X[-1:]]), 3)
        return LinearRegressor.predict_model(self, model, windows)


class SeesAFourthRow(WindowedRidge):
    def predict_model(self, model, X):
        output = super().predict_model(model, X)
        output[1:] += X[: len(output) - 1, :1] * 1e-3
        return output


class LearnsLabelsWithoutWeight(WindowedRidge):
    def fit(self, X_train, y_train, *arguments, sample_weight=None, **options):
        weight = None if sample_weight is None else sample_weight + 1e-3
        return super().fit(X_train, y_train, *arguments, sample_weight=weight, **options)


class DropsHistory(WindowedRidge):
    def fit(self, X_train, y_train, *arguments, sample_weight=None, **options):
        kept = slice(None) if sample_weight is None else sample_weight > 0
        weight = None if sample_weight is None else sample_weight[kept]
        return super().fit(
            X_train[kept], y_train[kept], *arguments, sample_weight=weight, **options
        )


class GuessesTheFirstRows(WindowedRidge):
    def predict(self, X):
        return np.nan_to_num(super().predict(X))


class LeavesARowOut(WindowedRidge):
    def predict(self, X):
        output = super().predict(X)
        output[50 : len(X) - 50] = np.nan
        return output


class WindowedClassifier(LogisticClassifier):
    def __init__(self, params=None):
        super().__init__(params)
        self.window = 3

    def fit_model(self, train, valid, **options):
        return super().fit_model(replace(train, X=train.X[train.targets]), None, **options)


def test_that_a_user_s_own_adapter_with_a_window_passes_the_check():
    check_adapter(WindowedRidge())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (SeesTheNextRow, "planted signal|a row alone predicts differently"),
        (SeesAFourthRow, "a row alone predicts differently|other rows change"),
        (LearnsLabelsWithoutWeight, "labels of rows of weight 0 matter"),
        (DropsHistory, "not what later rows look back at"),
        (GuessesTheFirstRows, "one of the first 2 rows is predicted"),
        (LeavesARowOut, "of a planted signal|is not predicted"),
        (WindowedClassifier, "predicts shape|a class cannot be NaN"),
    ],
)
def test_that_the_check_finds_what_breaks_the_contract_of_windows(broken, message):
    with pytest.raises(ConfigError, match=message):
        check_adapter(broken())


def test_that_a_hook_gets_the_rows_of_its_targets_and_every_row_as_history():
    seen = []

    class Watching(WindowedRidge):
        def fit_model(self, train, valid, **options):
            seen.extend([train, valid])
            return super().fit_model(train, valid, **options)

    X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    weight = np.arange(30) % 2 + 0.0
    Watching().fit(X, X[:, 0], X[:10], X[:10, 1], sample_weight=weight, seed=1)
    train, valid = seen
    assert train.X.shape == (30, 2)
    assert train.targets.tolist() == list(range(3, 30, 2))
    assert train.y.tolist() == X[train.targets, 0].tolist()
    assert (train.weight == 1).all() and len(train.weight) == len(train.y)
    assert valid.targets.tolist() == list(range(2, 10)) and valid.weight is None
