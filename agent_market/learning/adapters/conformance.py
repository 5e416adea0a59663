"""What every adapter must do, run by `check_adapter` on a user's own and by our tests on ours."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agent_market.errors import ConfigError, DataError, StateCorrupt
from agent_market.learning.adapters.contract import ModelAdapter
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray

N_ROWS, N_FEATURES, SEED = 600, 6, 11
CUTS = 24


class Subject:
    """An adapter under test, with data that it can learn: the first two features tell the label.

    X : (600, 6), float32. y : a sum with little noise, or its three terciles as classes.
    """

    def __init__(self, adapter: ModelAdapter) -> None:
        self.prototype = adapter
        self.X, self.y = _planted(adapter.task, seed=1)
        self.X_new, self.y_new = _planted(adapter.task, seed=2)

    @cached_property
    def fitted(self) -> ModelAdapter:
        """The adapter fitted on all rows."""
        return self.fit(self.X, self.y)

    def fit(self, X: Features, y: AnyArray, **options: Any) -> ModelAdapter:
        """Return a new adapter of the same parameters, fitted."""
        twin = type(self.prototype)(self.prototype.params)
        return twin.fit(X, y, **{"seed": SEED, **options})

    def output(self, adapter: ModelAdapter, X: AnyArray | None = None) -> FloatArray:
        """Return predictions on `X` (by default on new rows); of a classifier, probabilities."""
        rows = self.X_new if X is None else X
        return adapter.predict_proba(rows) if self._classifies else adapter.predict(rows)

    @property
    def first(self) -> int:
        """The first row with enough history to be predicted."""
        return self.prototype.window - 1

    def score(self, adapter: ModelAdapter) -> float:
        """Return the R2 on new rows, of each class's indicator for a classifier."""
        output, truth = self.output(adapter)[self.first :], self.y_new[self.first :]
        if self._classifies:
            truth = (truth[:, None] == adapter.classes_[None, :]).astype(np.float64)
        return 1 - float(((truth - output) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum())

    def refuse(self, met: bool, broken: str) -> None:
        """Raise ConfigError unless the contract is met."""
        if not met:
            raise ConfigError(
                f"{type(self.prototype).__name__} ({self.prototype.name}) breaks the contract of "
                f"ModelAdapter: {broken}."
            )

    @contextmanager
    def expect(self, error: type[Exception], when: str) -> Iterator[None]:
        """Ask that the block raises `error`."""
        try:
            yield
        except error:
            return
        except Exception as other:
            raise ConfigError(
                f"{self.prototype.name} breaks the contract of ModelAdapter: {when} raises "
                f"{type(other).__name__} ({other}) instead of {error.__name__}."
            ) from other
        self.refuse(False, f"{when} does not raise {error.__name__}")

    @property
    def _classifies(self) -> bool:
        return self.prototype.task == "classification"


def learns(subject: Subject) -> None:
    """A planted signal is found: more than half of the variance of new rows."""
    score = subject.score(subject.fitted)
    subject.refuse(score > 0.5, f"it explains {score:.0%} of a planted signal, not 50 %")


def repeats(subject: Subject) -> None:
    """One seed gives one model, to the last bit."""
    again = subject.fit(subject.X, subject.y)
    same = _equal(subject.output(subject.fitted), subject.output(again))
    subject.refuse(same, "two fits with one seed predict differently")


def leaves_inputs_alone(subject: Subject) -> None:
    """Fit and predict change none of their arrays."""
    X, y, weight = subject.X.copy(), subject.y.copy(), np.ones(N_ROWS)
    subject.fit(X, y, sample_weight=weight).predict(X)
    same = _equal(X, subject.X) and np.array_equal(y, subject.y) and bool((weight == 1).all())
    subject.refuse(same, "fit or predict writes into the arrays it was given")


def predicts_rows_alone(subject: Subject) -> None:
    """A row's prediction depends on the window that ends there, and on no other row."""
    batch, first = subject.output(subject.fitted), subject.first
    for row in (first, first + 17, N_ROWS - 1):
        single = subject.output(subject.fitted, subject.X_new[row - first : row + 1])
        subject.refuse(
            _equal(single[-1], batch[row]), "a row alone predicts differently than in a batch"
        )
        elsewhere = -subject.X_new
        elsewhere[row - first : row + 1] = subject.X_new[row - first : row + 1]
        beside = subject.output(subject.fitted, elsewhere)[row]
        subject.refuse(_equal(beside, batch[row]), "other rows change a row's prediction")
    if not first:
        order = np.random.default_rng(3).permutation(N_ROWS)
        permuted = subject.output(subject.fitted, subject.X_new[order])
        subject.refuse(_equal(permuted, batch[order]), "permuted rows predict differently")


def waits_for_its_window(subject: Subject) -> None:
    """Rows without a whole window before them are NaN, all others are not."""
    first = subject.first
    subject.refuse(
        not (first and subject.prototype.task == "classification"),
        f"it is a classifier with a window of {first + 1} rows, and a class cannot be NaN",
    )
    known = np.isfinite(subject.output(subject.fitted))
    subject.refuse(bool(known[first:].all()), "a row with a whole window is not predicted")
    subject.refuse(not known[:first].any(), f"one of the first {first} rows is predicted")
    if first:
        short = subject.output(subject.fitted, subject.X_new[:first])
        subject.refuse(
            len(short) == first and bool(np.isnan(short).all()),
            "rows fewer than the window are not NaN, one prediction a row",
        )


def predicts_float64(subject: Subject) -> None:
    """Predictions are float64, one a row; probabilities sum to 1."""
    output = subject.output(subject.fitted)
    subject.refuse(output.dtype == np.float64, f"predictions are {output.dtype}, not float64")
    subject.refuse(len(output) == N_ROWS, f"{N_ROWS} rows give {len(output)} predictions")
    if subject.prototype.task == "regression":
        subject.refuse(output.ndim == 1, f"one label gives shape {output.shape}")
        return
    whole = np.allclose(output.sum(axis=1), 1, atol=1e-6)
    subject.refuse(whole and bool((output >= 0).all()), "probabilities are no probabilities")
    best = subject.fitted.classes_[output.argmax(axis=1)]
    same = np.array_equal(subject.fitted.predict(subject.X_new), best)
    subject.refuse(same, "predict is not the most probable class")


def treats_nan_as_declared(subject: Subject) -> None:
    """With `supports_nan` X may hold NaN; without it, NaN is refused by name."""
    holed = subject.X.copy()
    holed[::7, 4] = np.nan
    if subject.prototype.supports_nan:
        output = subject.output(subject.fit(holed, subject.y), holed)[subject.first :]
        subject.refuse(bool(np.isfinite(output).all()), "NaN in X gives predictions that are NaN")
        return
    with subject.expect(DataError, "fit on NaN"):
        subject.fit(holed, subject.y)
    with subject.expect(DataError, "predict on NaN"):
        subject.fitted.predict(holed)


def refuses_wrong_columns(subject: Subject) -> None:
    """Too few or too many features are refused."""
    for width in (N_FEATURES - 1, N_FEATURES + 1):
        with subject.expect(DataError, f"predict on {width} instead of {N_FEATURES} features"):
            subject.fitted.predict(np.zeros((3, width), dtype=np.float32))


def ranks_features(subject: Subject) -> None:
    """Importance has one share a feature, and the planted ones lead."""
    shares = subject.fitted.feature_importance()
    subject.refuse(shares.shape == (N_FEATURES,), f"importance has shape {shares.shape}")
    valid = bool((shares >= 0).all()) and abs(shares.sum() - 1) < 1e-6
    subject.refuse(valid, "importance is negative or does not sum to 1")
    lead = set(np.argsort(shares)[-2:]) == {0, 1}
    subject.refuse(
        lead, f"importance {np.round(shares, 3)} does not lead with the planted features"
    )


def heeds_weights(subject: Subject) -> None:
    """Labels of weight 0 are not learned; other weights change the model.

    Without a window such rows are as if absent, with one they stay as what later rows look back at.
    """
    weight = np.ones(N_ROWS)
    weight[::3] = 0
    spoiled, twice = subject.y.copy(), subject.y.copy()
    spoiled[::3], twice[::3] = subject.y[0], subject.y[1]
    weighted = subject.output(subject.fit(subject.X, spoiled, sample_weight=weight))
    other = subject.output(subject.fit(subject.X, twice, sample_weight=weight))
    subject.refuse(_equal(weighted, other), "labels of rows of weight 0 matter")
    kept = weight > 0
    absent = subject.output(subject.fit(subject.X[kept], subject.y[kept]))
    subject.refuse(
        subject.first > 0 or np.allclose(weighted, absent, atol=1e-6),
        "rows of weight 0 are not as if they were absent",
    )
    subject.refuse(
        subject.first == 0 or not _equal(weighted, absent),
        "rows of weight 0 are not what later rows look back at",
    )
    uneven = subject.fit(subject.X, subject.y, sample_weight=np.linspace(0.01, 3, N_ROWS))
    output, even = subject.output(uneven), subject.output(subject.fitted)
    differ = not np.allclose(output, even, atol=1e-6, equal_nan=True)
    subject.refuse(differ, "sample weights do not matter")


def continues(subject: Subject) -> None:
    """Where `supports_continue`, going on fits closer and leaves the first model as it was."""
    if not subject.prototype.supports_continue:
        with subject.expect(ConfigError, "fit with init"):
            subject.fit(subject.X, subject.y, init=subject.fitted)
        return
    first = subject.fit(subject.X, subject.y)
    before = subject.output(first)
    further = subject.fit(subject.X, subject.y, init=first)
    subject.refuse(
        _equal(before, subject.output(first)), "going on changes the model it starts from"
    )
    misses = [_miss(subject, adapter) for adapter in (first, further)]
    subject.refuse(misses[1] < misses[0], f"going on does not fit closer ({misses})")


def survives_disk(subject: Subject) -> None:
    """Saved and loaded, or pickled, a model is the same to the last bit."""
    expected = subject.output(subject.fitted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        subject.fitted.save(path)
        loaded = type(subject.prototype).load(path)
    for what, twin in (("loading", loaded), ("pickling", pickle.loads(pickle.dumps(loaded)))):  # noqa: S301 - our own bytes
        subject.refuse(_equal(expected, subject.output(twin)), f"{what} changes predictions")
        importance = twin.feature_importance()
        same = np.allclose(importance, subject.fitted.feature_importance(), rtol=1e-6)
        subject.refuse(same, f"{what} changes the importance")
        subject.refuse(
            twin.feature_names == subject.fitted.feature_names, f"{what} loses feature names"
        )


def notices_cuts(subject: Subject) -> None:
    """A file cut at any byte is StateCorrupt."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        subject.fitted.save(path)
        content = path.read_bytes()
        for size in {*np.linspace(0, len(content) - 1, CUTS).astype(int).tolist(), 1, 2}:
            path.write_bytes(content[:size])
            with subject.expect(StateCorrupt, f"load of {size} of {len(content)} bytes"):
                type(subject.prototype).load(path)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    leaves_inputs_alone,
    learns,
    repeats,
    predicts_rows_alone,
    waits_for_its_window,
    predicts_float64,
    treats_nan_as_declared,
    refuses_wrong_columns,
    ranks_features,
    heeds_weights,
    continues,
    survives_disk,
    notices_cuts,
)


def check_adapter(adapter: ModelAdapter) -> None:
    """Fit an adapter on synthetic rows and check that it keeps the contract.

    Parameters
    ----------
    adapter : ModelAdapter
        Unfitted, with parameters that learn from 600 rows; it is not changed.

    Raises
    ------
    ConfigError
        It breaks the contract; the message says where.
    """
    subject = Subject(adapter)
    for check in CHECKS:
        check(subject)


def _planted(task: str, seed: int) -> tuple[Features, AnyArray]:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(N_ROWS, N_FEATURES)).astype(np.float32)
    y = X[:, 0] - 0.8 * X[:, 1] + 0.1 * draw.normal(size=N_ROWS)
    if task == "regression":
        return X, y
    names = np.array(["down", "flat", "up"])
    return X, names[np.searchsorted([-0.5, 0.5], y)]


def _miss(subject: Subject, adapter: ModelAdapter) -> float:
    """Return the mean squared error on the training rows, of probabilities for a classifier."""
    output = subject.output(adapter, subject.X)[subject.first :]
    truth = subject.y[subject.first :]
    if output.ndim == 2:
        truth = (truth[:, None] == adapter.classes_[None, :]).astype(np.float64)
    return float(((truth - output) ** 2).mean())


def _equal(left: AnyArray, right: AnyArray) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()
