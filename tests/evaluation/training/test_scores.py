from dataclasses import replace

import numpy as np
import pytest

from agent_market.evaluation.training import Candidate, local_processes, run_candidates
from agent_market.evaluation.training.importance import importance_of
from agent_market.evaluation.training.scored_rows import scored_rows
from agent_market.evaluation.training.scores import score_label
from tests.evaluation.training.conftest import HORIZON, LABEL, NAMES, forward_return, spec


def _predict(plans, model_spec):
    candidate = Candidate("model", HORIZON, model_spec)
    return run_candidates([candidate], {HORIZON: plans}, local_processes(1))[candidate.key]


def _overall(plans, model_spec):
    return score_label(_predict(plans, model_spec), LABEL, 6.0, seed=0)["overall"]


def test_that_a_planted_signal_is_found_and_noise_is_not(make_plan):
    found = _overall([make_plan(strength=0.5)], spec())
    assert found["ic"] == pytest.approx(0.45, abs=0.1)
    assert found["ic_interval_95"][0] > 0.25 and found["rank_ic_interval_95"][0] > 0.25
    assert found["hit_rate"] > 0.6 and found["r2"] > 0.1
    none = _overall([make_plan(strength=0.0)], spec())
    low, high = none["ic_interval_95"]
    assert low < 0 < high and none["r2"] < 0.01
    assert none["strategy"]["net"]["return_percent"] < 0  # costs alone


def test_that_the_benchmark_of_r2_is_the_training_mean(make_plan):
    plan = make_plan()
    predictions = _predict([plan], spec())
    means = {at: each.label_mean[LABEL] for at, each in predictions[0].outcomes.items()}
    frame = predictions[0].frame.assign(**{LABEL: predictions[0].frame["trained_at"].map(means)})
    scores = score_label([replace(predictions[0], frame=frame)], LABEL, 6.0, 0)["overall"]
    assert scores["r2"] == pytest.approx(0.0, abs=1e-12)
    known = plan.training_labels(plan.windows[0])
    assert means[plan.windows[0].trained_at] == pytest.approx(np.nanmean(known))


def test_that_rows_that_are_not_trusted_are_not_scored(make_plan):
    predictions = _predict([make_plan()], spec())
    frame = predictions[0].frame.copy()
    frame.loc[frame.index[:450], "trusted"] = False
    frame.loc[frame.index[:450], LABEL] = 1e9
    scores = score_label([replace(predictions[0], frame=frame)], LABEL, 6.0, 0)
    assert scores["overall"]["n"] == 900 - 450 - HORIZON
    assert scores["overall"]["trusted_share"] == 0.5 and scores["overall"]["ic"] > 0.2
    assert [row["n"] for row in scores["windows"]] == [0, 0, 150, 200, 96]


def test_that_pairs_are_averaged_and_listed(make_plan):
    plans = [make_plan(), make_plan("ETH/USDT:USDT", seed=1, strength=0.0)]
    scores = score_label(_predict(plans, spec()), LABEL, 6.0, 0)
    each = [row["ic"] for row in scores["by_pair"]]
    assert scores["overall"]["ic"] == pytest.approx(np.mean(each)) and each[0] > 0.3 > each[1]
    assert len(scores["windows"]) == 10


def test_that_a_classifier_is_scored_by_the_return_it_expects(make_plan):
    plan = make_plan(strength=0.6, classes=True)
    scores = _overall([plan], spec("lightgbm_classifier"))
    assert scores["ic"] > 0.3 and scores["hit_rate"] > 0.55 and scores["r2"] != scores["r2"]
    assert scores["log_loss"] < scores["log_loss_of_training_shares"] < 1.2
    blind = _overall([make_plan(strength=0.0, classes=True)], spec("lightgbm_classifier"))
    assert blind["log_loss"] > blind["log_loss_of_training_shares"]


def test_that_a_class_is_worth_what_it_earned_in_the_training_rows_alone(make_plan):
    plan = make_plan(classes=True)
    (predictions,) = _predict([plan], spec("lightgbm_classifier"))
    rows = scored_rows(predictions, LABEL)
    window = plan.windows[0]
    start, settled = window.train[0], window.known - HORIZON
    returns = forward_return(plan.candles["close"].to_numpy())[start:settled]
    labels = plan.labels[start:settled, 0]
    first = predictions.frame.loc[window.predict[0]]
    expected = sum(first[name] * returns[labels == name].mean() for name in ("down", "flat", "up"))
    assert rows.score[0] == pytest.approx(expected)
    assert rows.loss[0] == pytest.approx(-np.log(first[plan.labels[window.predict[0], 0]]))
    candles = plan.candles.copy()
    candles.loc[window.known :, ["open", "close"]] *= 7  # nothing after the training matters
    changed = scored_rows(replace(predictions, plan=replace(plan, candles=candles)), LABEL)
    in_window = rows.window == window.trained_at
    assert np.array_equal(rows.score[in_window], changed.score[in_window])


def test_that_importance_tells_mean_spread_and_stability(make_plan):
    importance = importance_of(_predict([make_plan(strength=0.8)], spec()))
    first = importance["top"][0]
    assert first["feature"] == NAMES[0] and first["mean_share"] > 0.5 and first["top_share"] == 1.0
    assert 0 < first["std"] < 0.2
    assert importance["n_windows"] == 5 and -1 <= importance["stability"] <= 1
    assert sum(row["mean_share"] for row in importance["top"]) == pytest.approx(1.0, abs=1e-4)


def test_that_an_unused_feature_is_never_in_the_top(make_plan):
    importance = importance_of(_predict([make_plan()], spec(exclude=("news",))))
    assert {row["feature"] for row in importance["top"]} == set(NAMES[:3])
