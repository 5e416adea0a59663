"""Several models as one: their average, or a blend that out-of-fold predictions weigh."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from agent_market.errors import ConfigError, ModelUnavailable
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.ensemble_weights import shrunk_weights
from agent_market.learning.adapters.inputs import AnyArray, Features, FloatArray, Rows
from agent_market.learning.adapters.linear import LinearRegressor, LogisticClassifier
from agent_market.learning.adapters.parameters import KEY, refuse_unknown, take_count
from agent_market.learning.splits import PurgedKFold

Folds = Iterable[tuple[Rows, Rows]]
Mask = npt.NDArray[np.bool_]

TREES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lightgbm", {"num_iterations": 300, "learning_rate": 0.03, "num_leaves": 15}),
    ("xgboost", {"n_estimators": 300, "eta": 0.03, "max_depth": 4}),
    ("catboost", {"iterations": 300, "learning_rate": 0.05, "depth": 5}),
)
WEIGHTS = "weights.json"


@dataclass(frozen=True)
class Blend:
    """Fitted members and what they count.

    weights : (n_members, n_labels), each column sums to 1; one column serves all classes.
    """

    members: tuple[ModelAdapter, ...]
    weights: FloatArray


class _Ensemble(ModelAdapter):
    """What all ensembles share, with two parameters.

    members : list of {"name": a key of ADAPTERS, "params": {...}}; by default LightGBM, XGBoost and
        CatBoost, 300 rounds each. A linear member fills NaN unless its params name the imputer.
    threads : of members that do not name theirs.

    Members are fitted with seeds derived from the seed. Each stops early by the validation part, if
    it can. The window is the longest of the members', NaN is taken if all members take it.
    """

    suffix = "zip"
    seed_names: ClassVar[frozenset[str]] = frozenset({"seed", "random_seed", "random_state"})
    own_parameters: ClassVar[frozenset[str]] = frozenset({"members", "threads"})
    member_keys: ClassVar[frozenset[str]] = frozenset({"name", "params"})

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        refuse_unknown(self.params, self.own_parameters, self.name)
        self._entries = _entries(self.params.get("members"), self.task, self.member_keys, self.name)
        shared = {"threads": self.params["threads"]} if "threads" in self.params else {}
        self._members = tuple(
            self._member(number, entry, shared) for number, entry in enumerate(self._entries)
        )
        self.window = max(member.window for member in self._members)
        self.supports_nan = all(member.supports_nan for member in self._members)
        several = all(member.supports_multi_target for member in self._members)
        self.supports_multi_target = several  # members decide, not the class

    def predict_model(self, model: Blend, X: Features) -> AnyArray:
        """See `ModelAdapter.predict_model`."""
        outputs = [_output(member, X)[self.window - 1 :] for member in model.members]
        return np.asarray(sum(w * output for w, output in zip(model.weights, outputs, strict=True)))

    def importance(self, model: Blend, n_features: int) -> FloatArray:
        """Return the weighted mean of the members' shares."""
        shares = [member.feature_importance() for member in model.members]
        return np.average(shares, axis=0, weights=model.weights.mean(axis=1))

    def dump(self, model: Blend) -> bytes:
        """Return a zip archive of the members' own model files and the weights."""
        content = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as archive:
            archive.writestr(zipfile.ZipInfo(WEIGHTS), json.dumps(model.weights.tolist()))
            for number, member in enumerate(model.members):
                path = Path(folder) / _file(number, member)
                member.save(path)
                archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
        return content.getvalue()

    def parse(self, payload: bytes) -> Blend:
        """Return the ensemble of an archive."""
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(io.BytesIO(payload)) as archive:
                archive.extractall(folder)
            weights = json.loads((Path(folder) / WEIGHTS).read_text())
            members = tuple(
                type(member).load(Path(folder) / _file(number, member))
                for number, member in enumerate(self._members)
            )
        return Blend(members, np.asarray(weights, dtype=np.float64))

    def _member(
        self, number: int, entry: Mapping[str, Any], shared: Mapping[str, Any]
    ) -> ModelAdapter:
        # the registry lists this module's classes, so it cannot be imported before them
        from agent_market.learning.adapters.registry import create

        name = entry["name"]
        imputer = name in (LinearRegressor.name, LogisticClassifier.name)
        given = {**shared, **({"imputer": "median"} if imputer else {}), **entry.get("params", {})}
        try:
            member = create(name, given)
        except ConfigError as error:
            raise ConfigError(f"{KEY}.members[{number}]: {self.name}: {error}") from error
        except ModelUnavailable as error:
            raise ModelUnavailable(
                f"{self.name} needs the package of its member {number}: {error}"
            ) from error
        if member.task != self.task:
            raise ConfigError(
                f"{KEY}.members[{number}]: {name} does {member.task}, {self.name} needs "
                f"{self.task}. Choose a member of that kind."
            )
        return member


class _Average(_Ensemble):
    """Weighted mean of the members.

    weight : of a member, above 0; 1. Weights are divided by their sum.
    """

    member_keys: ClassVar[frozenset[str]] = frozenset({"name", "params", "weight"})

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        given = [_weight(entry, number, self.name) for number, entry in enumerate(self._entries)]
        self._weights = np.array(given)[:, None] / sum(given)

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Blend:
        """See `ModelAdapter.fit_model`."""
        return Blend(fit_members(self._members, train, valid, seed), self._weights)


class AverageRegressor(_Average):
    """Mean prediction of several regressors, as weights say; see `_Average` and `_Ensemble`."""

    name = "average_regressor"
    task = "regression"


class AverageClassifier(_Average):
    """Mean probabilities of several classifiers, as weights say."""

    name = "average_classifier"
    task = "classification"


class StackingRegressor(_Ensemble):
    """Blend of regressors whose weights come from purged out-of-fold predictions.

    horizon_candles : length of the label in rows; without a default, since the purge rests on it.
    folds : consecutive blocks, each predicted by members that were fitted on the others; 4.

    Rows that were dropped between candles only make the purge longer. The weights are
    `shrunk_weights`. Members are then fitted again on all training rows. In the folds as in this
    last fit, members that stop early do so by the validation part, so that they are the same kind
    of model; the weights never see it.
    """

    name = "stacking_regressor"
    task = "regression"
    own_parameters: ClassVar[frozenset[str]] = frozenset(
        {"members", "threads", "folds", "horizon_candles"}
    )

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        if "horizon_candles" not in self.params:
            raise ConfigError(
                f"{KEY}.horizon_candles: {self.name} found none. Its folds are purged by the "
                "label's length: give it in candles, as feature_parameters.label_period_candles."
            )
        own = dict(self.params)
        self._horizon = take_count(own, "horizon_candles", 1, self.name, least=1)
        folds = take_count(own, "folds", 4, self.name, least=2)
        self.splitter = PurgedKFold(n_splits=folds, horizon=self._horizon)

    def fit_model(
        self, train: Part, valid: Part | None, *, n_classes: int, seed: int, init: Any
    ) -> Blend:
        """See `ModelAdapter.fit_model`."""
        rows = np.arange(len(train.X)) if train.targets is None else train.targets
        folds = self.splitter.split(rows, groups=rows)
        predictions = out_of_fold(self._members, train, valid, folds, seed)
        weight = np.ones(len(rows)) if train.weight is None else train.weight
        labels = train.y.reshape(len(rows), -1)
        weights = [
            shrunk_weights(predictions[:, :, label], labels[:, label], weight, self._horizon)
            for label in range(labels.shape[1])
        ]
        return Blend(fit_members(self._members, train, valid, seed), np.stack(weights, axis=1))


def fit_members(
    members: Sequence[ModelAdapter],
    train: Part,
    valid: Part | None,
    seed: int,
    kept: Mask | None = None,
) -> tuple[ModelAdapter, ...]:
    """Return new members fitted on the targets of `train`, or on those that are `kept`.

    The other rows have weight 0: a windowed member still sees their features, never their labels.
    """
    y, weight = _spread(train.y, train), _weights(train, kept)
    tail: dict[str, Any] = {}
    if valid is not None:
        tail = {"X_valid": valid.X, "y_valid": _spread(valid.y, valid)}
        tail["valid_weight"] = _weights(valid)
    return tuple(
        type(member)(member.params).fit(
            train.X, y, **tail, sample_weight=weight, seed=_member_seed(seed, number)
        )
        for number, member in enumerate(members)
    )


def out_of_fold(
    members: Sequence[ModelAdapter], train: Part, valid: Part | None, folds: Folds, seed: int
) -> FloatArray:
    """Return predictions of each target by members that were not fitted on it.

    Parameters
    ----------
    folds : iterable of (train, test)
        Numbers of targets; every target is in one test part. They must be purged: nothing here
        looks at labels that overlap.

    Returns
    -------
    ndarray of shape (n_members, n_targets, n_labels)
    """
    rows = np.arange(len(train.X)) if train.targets is None else train.targets
    labels = train.y.reshape(len(rows), -1).shape[1]
    predictions = np.full((len(members), len(rows), labels), np.nan)
    for kept_rows, tests in folds:
        kept = np.zeros(len(rows), dtype=bool)
        kept[kept_rows] = True
        for number, member in enumerate(fit_members(members, train, valid, seed, kept)):
            predictions[number, tests] = _output(member, train.X)[rows[tests]]
    return predictions


def _output(member: ModelAdapter, X: Features) -> FloatArray:
    """Return (n_rows, n_labels), or probabilities (n_rows, n_classes)."""
    output = member.predict(X) if member.task == "regression" else member.predict_proba(X)
    return np.asarray(output, dtype=np.float64).reshape(len(X), -1)


def _spread(values: FloatArray, part: Part) -> FloatArray:
    """Return values of targets as values of rows, 0 where there is no target."""
    if part.targets is None:
        return values
    spread = np.zeros((len(part.X), *values.shape[1:]))
    spread[part.targets] = values
    return spread


def _weights(part: Part, kept: Mask | None = None) -> FloatArray | None:
    if part.weight is None and part.targets is None and kept is None:
        return None
    weight = np.ones(len(part.y)) if part.weight is None else part.weight
    return _spread(weight if kept is None else weight * kept, part)


def _member_seed(seed: int, number: int) -> int:
    """Return 31 random bits: LightGBM's seeds are signed."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _file(number: int, member: ModelAdapter) -> str:
    return f"{number}_{member.name}.model"


def _entries(
    given: Any, task: str, keys: frozenset[str], adapter: str
) -> tuple[Mapping[str, Any], ...]:
    if given is None:
        kind = "regressor" if task == "regression" else "classifier"
        return tuple({"name": f"{name}_{kind}", "params": params} for name, params in TREES)
    if not isinstance(given, list) or len(given) < 2:
        raise ConfigError(
            f"{KEY}.members: {adapter} found {given!r}. Give a list of at least two members."
        )
    for number, entry in enumerate(given):
        if not isinstance(entry, dict) or "name" not in entry or entry.keys() - keys:
            raise ConfigError(
                f"{KEY}.members[{number}]: {adapter} found {entry!r}. Give an object with "
                f"{', '.join(sorted(keys))}, of which name is required."
            )
    return tuple(given)


def _weight(entry: Mapping[str, Any], number: int, adapter: str) -> float:
    weight = entry.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight > 0:
        raise ConfigError(
            f"{KEY}.members[{number}].weight: {adapter} found {weight!r}. Give a number above 0."
        )
    return float(weight)
