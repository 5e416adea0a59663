from dataclasses import replace

import numpy as np
import optuna
import pytest

from agent_market.errors import ConfigError
from agent_market.evaluation.training import Candidate, SearchBudget, local_processes
from agent_market.evaluation.training.inner_folds import inner_folds
from agent_market.evaluation.training.search import STUDY_FILE, search_parameters
from agent_market.evaluation.training.search_spaces import SPACES, with_found
from agent_market.learning.adapters import create
from agent_market.learning.feature_table import FeatureTable
from tests.evaluation.training.conftest import HORIZON, N_TRAIN, spec, windows


def _search(plans, folder, trials=6, workers=1, seconds=None, **changes):
    candidate = Candidate("model", HORIZON, spec(**changes))
    budget = SearchBudget(seconds=seconds, trials=trials)
    return search_parameters(candidate, plans, budget, local_processes(workers), folder, {})


def _tables_of(record):
    return [(trial["params"], trial["value"], trial["state"]) for trial in record["trials"]]


def _rewritten(plan, folder, rows):
    """Return the plan with other features, labels and prices in `rows`."""
    rng = np.random.default_rng(99)
    folder.mkdir()
    values = np.array(plan.table.read(0, len(plan.table)))
    values[rows] = rng.normal(0, 5, values[rows].shape)
    np.save(folder / "values.npy", values)
    block = replace(plan.table.blocks[0], values=folder / "values.npy")
    labels, candles = plan.labels.copy(), plan.candles.copy()
    labels[rows] = rng.normal(0, 1, labels[rows].shape)
    candles.loc[candles.index[rows], ["open", "high", "low", "close"]] *= 3
    table = FeatureTable((block,), plan.table.candles, plan.table.key)
    return replace(plan, table=table, labels=labels, candles=candles)


def test_that_folds_lie_in_the_first_training_window_and_are_purged(make_plan):
    folds = inner_folds([make_plan()], 3)
    assert [plan.windows[0].predict for (plan,) in folds] == [(125, 250), (250, 375), (375, 500)]
    for (plan,) in folds:
        window = plan.windows[0]
        labels = plan.training_labels(window)
        assert window.train == (0, window.predict[0])
        # the last label that is trained on ends before the first tested candle
        assert np.flatnonzero(np.isfinite(labels[:, 0]))[-1] + HORIZON == window.predict[0] - 1
        assert np.isnan(plan.labels[N_TRAIN - HORIZON :]).all()
        assert len(plan.candles) == N_TRAIN


def test_that_a_pair_listed_later_is_not_searched_while_others_are_predicted(make_plan):
    late = make_plan("NEW/USDT:USDT", seed=3, first=300)
    assert late.windows == windows(first=300)
    folds = inner_folds([make_plan(), late], 3)
    assert [[plan.pair for plan in fold] for fold in folds] == [["BTC/USDT:USDT"]] * 3


def test_that_a_horizon_longer_than_a_block_is_refused(make_plan):
    with pytest.raises(ConfigError, match="horizon of 130"):
        inner_folds([make_plan(horizon=130)], 3)


def test_that_the_search_does_not_see_what_is_predicted_out_of_sample(make_plan, tmp_path):
    plan = make_plan(strength=0.3)
    seen = _search([plan], tmp_path / "a").record
    later = slice(N_TRAIN - HORIZON + 1, None)
    # features and prices of the last training rows are seen, their labels are not known yet
    labels = plan.labels.copy()
    labels[later] = np.random.default_rng(1).normal(size=labels[later].shape)
    changed = replace(_rewritten(plan, tmp_path / "other", slice(N_TRAIN, None)), labels=labels)
    assert _tables_of(_search([changed], tmp_path / "b").record) == _tables_of(seen)
    # the same change one row into what is known is noticed: the test can fail
    known = _rewritten(plan, tmp_path / "third", slice(N_TRAIN - 200, None))
    assert _tables_of(_search([known], tmp_path / "c").record) != _tables_of(seen)


def test_that_a_classifier_s_search_does_not_see_later_prices(make_plan, tmp_path):
    plan = make_plan(strength=0.4, classes=True)
    candles = plan.candles.copy()
    candles.loc[N_TRAIN:, ["open", "close"]] *= 9
    records = [
        _search([each], tmp_path / name, trials=4, adapter="lightgbm_classifier").record
        for name, each in (("a", plan), ("b", replace(plan, candles=candles)))
    ]
    assert _tables_of(records[0]) == _tables_of(records[1])
    assert records[0]["own_value"] < 0  # minus a log loss


def test_that_found_parameters_are_better_on_the_folds_and_are_taken(make_plan, tmp_path):
    outcome = _search([make_plan(strength=0.3)], tmp_path, params={"learning_rate": 1.5})
    record = outcome.record
    assert record["best_value"] > record["own_value"] and record["found"]
    assert outcome.candidate.spec.params == record["found"]
    assert record["n_trials"] == len(record["trials"]) == 6


def test_that_parameters_no_trial_beats_are_kept(make_plan, tmp_path):
    plan = make_plan(strength=0.9)
    own = {"n_estimators": 100, "num_leaves": 7, "learning_rate": 0.1, "min_child_samples": 10}
    outcome = _search([plan], tmp_path, trials=1, params=own)
    assert outcome.record["best_value"] < outcome.record["own_value"]
    assert outcome.record["found"] == {} and outcome.candidate.spec.params == own


def test_that_the_trials_do_not_depend_on_the_number_of_processes(make_plan, tmp_path):
    plans = [make_plan()]
    one = _search(plans, tmp_path / "one", workers=1).record
    two = _search(plans, tmp_path / "two", workers=2).record
    assert one == two


def test_that_a_study_goes_on_and_a_killed_trial_is_counted(make_plan, tmp_path):
    plans = [make_plan()]
    first = _search(plans, tmp_path, trials=4).record
    storage = f"sqlite:///{tmp_path / STUDY_FILE}"
    (name,) = optuna.get_all_study_names(storage)
    optuna.load_study(study_name=name, storage=storage).ask()  # the run is killed here
    record = _search(plans, tmp_path, trials=7).record
    assert record["n_trials"] == 7 and record["n_fail"] == 1
    assert _tables_of(record)[:4] == _tables_of(first)
    drawn = [tuple(trial["params"].values()) for trial in record["trials"] if trial["params"]]
    assert len(set(drawn)) == len(drawn) == 6
    assert _search(plans, tmp_path, trials=7).record == record  # nothing is left to try
    assert _search([make_plan(seed=5)], tmp_path, trials=1).record["n_trials"] == 1


def test_that_hopeless_trials_are_given_up_after_a_fold(make_plan, tmp_path):
    record = _search([make_plan(strength=0.3)], tmp_path, trials=24).record
    assert record["n_pruned"] > 0 and record["n_complete"] + record["n_pruned"] == 24


def test_that_a_time_budget_ends_the_search(make_plan, tmp_path):
    record = _search([make_plan()], tmp_path, trials=None, seconds=0.2).record
    assert 4 <= record["n_trials"] < 60
    for budget in ({}, {"seconds": 0}, {"trials": -1}):
        with pytest.raises(ConfigError, match=r"--(trials|search)"):
            SearchBudget(**budget)


@pytest.mark.parametrize("adapter", SPACES)
def test_that_every_space_is_one_its_library_takes(adapter, make_plan, tmp_path):
    plan = make_plan(classes=adapter.endswith("classifier"))
    record = _search([plan], tmp_path, trials=4, adapter=adapter, params={}).record
    assert record["n_complete"] == 4 and record["best_value"] is not None
    for name, span in SPACES[adapter].items():
        for other in span.others:
            params = with_found({other: 3, "threads": 1}, {name: 2}, SPACES[adapter])
            assert params == {name: 2, "threads": 1}
            create(adapter, params)


def test_that_every_other_name_of_lightgbm_s_parameters_is_known():
    import lightgbm

    table = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    for name, span in SPACES["lightgbm_regressor"].items():
        group = next({key, *aliases} for key, aliases in table.items() if name in {key, *aliases})
        assert {name, *span.others} == group


def test_that_a_model_without_a_space_is_refused_by_name(make_plan, tmp_path):
    with pytest.raises(ConfigError, match="no search space for mlp_regressor"):
        _search([make_plan()], tmp_path, adapter="mlp_regressor", params={})
