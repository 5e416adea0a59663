import pickle
from dataclasses import replace

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError
from agent_market.evaluation.training import Candidate, local_processes, run_candidates
from agent_market.learning.window_model import Rows, WindowModel, fit_window
from agent_market.learning.window_tasks import run_window
from tests.evaluation.training.conftest import HORIZON, LABEL, NAMES, spec


def test_that_predictions_are_those_of_the_windows_in_order_of_time(make_plan):
    plan = make_plan()
    candidate = Candidate("lightgbm_regressor", HORIZON, spec())

    def backwards(tasks):
        yield from reversed([run_window(task) for task in tasks])

    (found,) = run_candidates([candidate], {HORIZON: [plan]}, backwards)[candidate.key]
    assert list(found.frame.index) == list(range(500, 1400))
    assert found.frame["date"].is_monotonic_increasing
    assert np.array_equal(found.frame["candle"], plan.table.index[500:1400])
    for window in plan.windows:
        direct = run_window(plan.task(window, candidate.spec)).predictions[plan.pair]
        rows = found.frame.loc[window.predict[0] : window.predict[1] - 1]
        assert rows[LABEL].to_numpy().tobytes() == direct.outputs[LABEL].tobytes()
        assert (rows["trained_at"] == window.trained_at).all()


def test_that_processes_give_the_bytes_of_one_process(make_plan):
    plans = {HORIZON: [make_plan(), make_plan("ETH/USDT:USDT", seed=1)]}
    candidates = [
        Candidate(name, HORIZON, spec(name)) for name in ("lightgbm_regressor", "linear_regressor")
    ]
    one = run_candidates(candidates, plans, local_processes(1))
    two = run_candidates(candidates, plans, local_processes(2))
    for key, entries in one.items():
        for alone, beside in zip(entries, two[key], strict=True):
            assert pickle.dumps(alone.frame.to_dict()) == pickle.dumps(beside.frame.to_dict())


def test_that_a_window_that_cannot_be_trained_leaves_no_prediction_and_a_reason(make_plan):
    plan = make_plan()
    labels = plan.labels.copy()
    labels[:520] = 0.0  # the first window's label never changes
    candidate = Candidate("lightgbm_regressor", HORIZON, spec())
    plans = {HORIZON: [replace(plan, labels=labels)]}
    (found,) = run_candidates([candidate], plans, local_processes(1))[candidate.key]
    first = found.frame["trained_at"] == plan.windows[0].trained_at
    assert (
        found.frame.loc[first, LABEL].isna().all() and not found.frame.loc[first, "trusted"].any()
    )
    assert found.frame.loc[~first, "trusted"].all()
    assert len(found.errors) == 1 and "BTC/USDT:USDT" in found.errors[0]


def _fit(plan, model_spec):
    start, stop = plan.windows[0].train
    rows = Rows(
        plan.table.read(start, stop),
        plan.training_labels(plan.windows[0]),
        plan.table.index[start:stop],
    )
    return fit_window([rows], NAMES, (LABEL,), model_spec)


@pytest.mark.parametrize("adapter", ["lightgbm_regressor", "linear_regressor"])
def test_that_an_excluded_feature_changes_no_prediction(make_plan, tmp_path, adapter):
    plan = make_plan()
    model, report = _fit(plan, spec(adapter, exclude=("^%-noise",), test_size=0.2))
    assert set(report.importance) == {NAMES[0], NAMES[3]}
    table = plan.table.read(500, 700)
    changed = table.copy()
    changed[:, 1:3] = 1e6
    assert np.array_equal(
        model.predict(table).outputs[LABEL], model.predict(changed).outputs[LABEL]
    )
    changed[:, 0] = -changed[:, 0]
    assert not np.array_equal(
        model.predict(table).outputs[LABEL], model.predict(changed).outputs[LABEL]
    )
    model.save(tmp_path / "model")
    loaded = WindowModel.load(tmp_path / "model")
    assert loaded.spec == model.spec
    assert np.array_equal(loaded.predict(table).outputs[LABEL], model.predict(table).outputs[LABEL])


def test_that_a_model_without_exclusions_is_the_one_it_was(make_plan):
    plan = make_plan()
    table = plan.table.read(500, 700)
    plain, _ = _fit(plan, spec())
    other, _ = _fit(plan, spec(exclude=("^no such column",)))
    assert np.array_equal(plain.predict(table).outputs[LABEL], other.predict(table).outputs[LABEL])


def test_that_nothing_left_to_train_on_is_an_error(make_plan):
    with pytest.raises(ConfigError, match="leaves none of 4 features"):
        _fit(make_plan(), spec(exclude=("%",)))
    with pytest.raises(DataError, match="shape"):
        _fit(make_plan(), spec(exclude=("news",)))[0].predict(np.zeros((3, 3), dtype=np.float32))
