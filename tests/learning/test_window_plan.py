from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_market.learning.feature_store import FeatureStore
from agent_market.learning.feature_table import FeatureBlock, FeatureTable
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan, Window
from agent_market.learning.window_tasks import run_window, run_windows
from tests.candles import random_candles

HORIZON = 5
SPEC = ModelSpec("lightgbm_regressor", {"n_estimators": 10}, 7, HORIZON, test_size=0.2)


def _plan(folder: Path, labels: np.ndarray[Any, Any] | None = None, n_rows: int = 400) -> PairPlan:
    candles = random_candles(n_rows)
    store = FeatureStore(folder)
    rng = np.random.default_rng(1)
    features = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=["%-a", "%-b", "%-c"])
    block = store.put("aa", features, pd.DataFrame())
    index = store.array("bb", np.arange(n_rows, dtype=np.int64))
    table = FeatureTable((FeatureBlock(block.values, block.names),), index, "key")
    if labels is None:
        labels = (features["%-a"].to_numpy() + rng.normal(size=n_rows))[:, None]
    windows = tuple(
        Window(1000 + stop, (stop - 200, stop), (stop, stop + 100), stop) for stop in (200, 300)
    )
    names = ("&-y",)
    return PairPlan("BTC/USDT:USDT", table, candles, labels, names, HORIZON, windows)


def test_that_labels_that_were_not_known_at_the_end_are_missing(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    labels = plan.training_labels(plan.windows[0])
    assert np.isnan(labels[-HORIZON:]).all() and np.isfinite(labels[:-HORIZON]).all()
    assert np.isfinite(plan.labels).all()  # a copy was cut
    classes = _plan(tmp_path, np.full((400, 1), "up", dtype=object))
    known = classes.training_labels(classes.windows[0])
    assert [row[0] for row in known[-HORIZON - 1 :]] == ["up", *[None] * HORIZON]


def test_that_the_identity_changes_with_all_that_counts_and_nothing_else(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    first, second = plan.windows
    versions = {"lightgbm": "4"}
    identity = plan.identity(first, SPEC, versions)
    assert identity == _plan(tmp_path).identity(first, SPEC, versions)
    labels = plan.labels.copy()
    labels[first.train[1] - HORIZON :] = 9  # unknown at the window's end
    assert identity == _plan(tmp_path, labels).identity(first, SPEC, versions)
    labels[first.train[1] - HORIZON - 1] = 9
    others = [
        _plan(tmp_path, labels).identity(first, SPEC, versions),
        plan.identity(second, SPEC, versions),
        plan.identity(first, SPEC, {"lightgbm": "5"}),
        plan.identity(first, ModelSpec("lightgbm_regressor", {}, 7, HORIZON), versions),
        plan.identity(
            first, ModelSpec("lightgbm_regressor", SPEC.params, 8, HORIZON, 0.2), versions
        ),
    ]
    assert len({identity, *others}) == 6


@pytest.mark.parametrize("adapter", ["lightgbm_regressor", "lstm_regressor"])
def test_that_the_number_of_workers_changes_no_byte(adapter: str, tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    params = {"n_estimators": 10} if adapter.startswith("light") else {"max_epochs": 1}
    spec = ModelSpec(adapter, params, 7, HORIZON, test_size=0.2)
    tasks = [plan.task(window, spec) for window in plan.windows]
    found = [
        {
            outcome.key: outcome.predictions[plan.pair].outputs["&-y"].tobytes()
            for outcome in run_windows(tasks, workers)
        }
        for workers in (1, 2)
    ]
    assert len(found[0]) == 2 and found[0] == found[1]


def test_that_a_model_with_a_window_sees_the_rows_before_its_first_prediction(
    tmp_path: Path,
) -> None:
    plan = _plan(tmp_path)
    spec = ModelSpec("lstm_regressor", {"max_epochs": 1, "window_candles": 8}, 7, HORIZON)
    outcome = run_window(plan.task(plan.windows[0], spec))
    assert np.isfinite(outcome.predictions[plan.pair].outputs["&-y"]).all()


def test_that_a_window_that_cannot_be_trained_leaves_the_others_alone(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    labels = plan.labels.copy()
    labels[:200] = 1.0
    outcomes = {
        outcome.key: outcome
        for outcome in run_windows(
            [_plan(tmp_path, labels).task(window, SPEC) for window in plan.windows], 1
        )
    }
    failed, trained = (outcomes[plan.key(window)] for window in plan.windows)
    assert failed.predictions == {} and failed.report is None
    assert failed.error is not None and failed.error.startswith(plan.pair)
    assert trained.error is None and trained.report is not None
