"""One prediction: the same as in a batch, and never a silent one from stale or missing input."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent_market.errors import ConfigError, DataError, ModelUnavailable, StaleDataError
from agent_market.learning.inference import (
    DegradeLevel,
    FeatureGroup,
    InferencePolicy,
    Predictor,
)
from agent_market.learning.window_model import ModelSpec, Rows, WindowModel, fit_window
from agent_market.store import Generations

NAMES = (*(f"%-price-{number}" for number in range(18)), "%-news-tone", "%-news-count")
TRAINED = datetime(2026, 1, 1, tzinfo=UTC)
AT = TRAINED + timedelta(hours=1)
CANDLE = timedelta(minutes=5)
NOW = AT + CANDLE + timedelta(seconds=2)
POLICY = InferencePolicy(
    timeframe=CANDLE,
    max_staleness=timedelta(minutes=1),
    max_model_age=timedelta(hours=24),
    groups={"news": FeatureGroup("^%-news-", max_age=timedelta(minutes=30))},
)
FRESH = {"news": NOW - timedelta(minutes=10)}


def _rows(seed: int, n_rows: int) -> Rows:
    features = np.random.default_rng(seed).normal(size=(n_rows, len(NAMES))).astype(np.float32)
    features[::7, 18:] = np.nan  # hours without a headline: the model has seen the group missing
    y = np.nan_to_num(features[:, 0] + 0.5 * features[:, 18])[:, None].astype(np.float64)
    return Rows(features, y, np.arange(n_rows))


def _fit(adapter: str, seed: int = 1) -> WindowModel:
    params = {"n_estimators": 30} if adapter.startswith("lightgbm") else {}
    spec = ModelSpec(adapter, params, seed=seed, horizon_candles=1)
    return fit_window([_rows(seed, 600)], NAMES, ["&-return"], spec)[0]


@pytest.fixture(scope="module")
def model() -> WindowModel:
    return _fit("lightgbm_regressor")


@pytest.fixture
def predictor(model: WindowModel) -> Predictor:
    return Predictor(model, TRAINED, POLICY)


def _row(seed: int = 9) -> dict[str, float]:
    return dict(zip(NAMES, map(float, _rows(seed, 5).X[3]), strict=True))


def test_that_a_row_alone_gives_the_bytes_it_gives_in_a_batch(predictor: Predictor) -> None:
    features = _rows(2, 40).X
    batch = predictor.predict(features)
    for number, row in enumerate(features):
        mapping = dict(zip(NAMES, map(float, row), strict=True))
        for given in (row, mapping, pd.DataFrame([mapping])):
            answer = predictor.predict_row(given, at=AT, now=NOW, updated=FRESH)
            assert np.float64(answer.outputs["&-return"]).tobytes() == (
                batch.outputs["&-return"][number].tobytes()
            )


def test_that_a_complete_fresh_row_is_full_and_trusted(predictor: Predictor) -> None:
    answer = predictor.predict_row(_row(), at=AT, now=NOW, updated=FRESH)
    assert (answer.level, answer.trusted) == (DegradeLevel.FULL, True)
    assert answer.reasons == () and answer.missing == ()
    assert 0 < answer.latency_seconds < 10
    assert answer.require() == answer.outputs


def test_that_columns_are_found_by_name_whatever_their_order(predictor: Predictor) -> None:
    frame = pd.DataFrame(_rows(2, 20).X, columns=list(NAMES))
    shuffled = frame[list(reversed(NAMES))].assign(close=1.0)
    given = predictor.predict(shuffled).outputs["&-return"]
    assert given.tobytes() == predictor.predict(frame).outputs["&-return"].tobytes()


@pytest.mark.parametrize("as_frame", [True, False])
def test_that_a_misspelled_feature_is_named_with_the_nearest_one(
    predictor: Predictor, as_frame: bool
) -> None:
    row = _row()
    row["%-news-tones"] = row.pop("%-news-tone")
    given = pd.DataFrame([row]) if as_frame else row
    with pytest.raises(DataError, match=r"1 of 20 .* '%-news-tone'.*mean '%-news-tones'"):
        predictor.predict_row(given, at=AT, now=NOW)


def test_that_a_wrong_number_of_columns_and_text_are_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="trained on 20 features"):
        predictor.predict(np.zeros((3, 19), dtype=np.float32))
    with pytest.raises(DataError, match="not a number"):
        predictor.predict_row({**_row(), "%-price-3": "high"}, at=AT, now=NOW)  # type: ignore[dict-item]


@pytest.mark.parametrize("updated", [{"news": NOW - timedelta(minutes=31)}, {}])
def test_that_stale_news_is_blanked_and_the_level_is_price_only(
    predictor: Predictor, updated: dict[str, datetime]
) -> None:
    answer = predictor.predict_row(_row(), at=AT, now=NOW, updated=updated)
    without = {**_row(), "%-news-tone": np.nan, "%-news-count": np.nan}
    assert (answer.level, answer.trusted) == (DegradeLevel.PRICE_ONLY, True)
    assert answer.missing == ("%-news-tone", "%-news-count")
    assert answer.reasons[0].startswith("news ")
    same = predictor.predict_row(without, at=AT, now=NOW, updated=FRESH)
    assert same.outputs == answer.outputs
    assert same.level is DegradeLevel.PRICE_ONLY
    assert same.reasons == ("all 2 features of news are missing",)
    full = predictor.predict_row(_row(), at=AT, now=NOW, updated=FRESH)
    assert full.outputs != answer.outputs  # the blank reached the model


def test_that_one_missing_feature_is_reported_and_costs_no_level(predictor: Predictor) -> None:
    row = {**_row(), "%-price-5": None, "%-price-6": float("inf")}
    answer = predictor.predict_row(row, at=AT, now=NOW, updated=FRESH)  # type: ignore[arg-type]
    assert (answer.level, answer.trusted) == (DegradeLevel.FULL, True)
    assert answer.missing == ("%-price-5", "%-price-6")


def test_that_too_many_missing_features_leave_the_rules(predictor: Predictor) -> None:
    row = {**_row(), **dict.fromkeys(NAMES[:5], np.nan)}  # 5 of 20; the model takes 4
    answer = predictor.predict_row(row, at=AT, now=NOW, updated=FRESH)
    assert (answer.level, answer.trusted) == (DegradeLevel.RULES, False)
    assert np.isnan(answer.outputs["&-return"])
    assert "5 of the model's 20 features are missing (%-price-0" in answer.reasons[0]
    with pytest.raises(ModelUnavailable, match="5 of the model's 20"):
        answer.require()


def test_that_a_model_that_takes_no_gaps_falls_to_the_rules_without_news() -> None:
    features = np.nan_to_num(_rows(1, 300).X)
    rows = Rows(features, features[:, :1].astype(np.float64), np.arange(300))
    spec = ModelSpec("linear_regressor", {}, seed=1, horizon_candles=1)
    strict = Predictor(fit_window([rows], NAMES, ["&-return"], spec)[0], TRAINED, POLICY)
    assert strict.predict_row(_row(), at=AT, now=NOW, updated=FRESH).trusted
    assert strict.predict_row(_row(), at=AT, now=NOW).level is DegradeLevel.RULES


def test_that_a_group_the_model_does_not_use_costs_no_level(model: WindowModel) -> None:
    unused = replace(model, columns=tuple(range(18)), adapters=_eighteen().adapters)
    answer = Predictor(unused, TRAINED, POLICY).predict_row(_row(), at=AT, now=NOW)
    assert (answer.level, answer.missing) == (DegradeLevel.FULL, ())


def _eighteen() -> WindowModel:
    rows = _rows(1, 300)
    spec = ModelSpec("lightgbm_regressor", {"n_estimators": 5}, seed=1, horizon_candles=1)
    return fit_window([Rows(rows.X[:, :18], rows.y, rows.candles)], NAMES[:18], ["&-return"], spec)[
        0
    ]


def test_that_a_stale_candle_is_flat_and_not_predicted(predictor: Predictor) -> None:
    late = AT + CANDLE + timedelta(seconds=61)
    answer = predictor.predict_row(_row(), at=AT, now=late, updated={"news": late})
    assert (answer.level, answer.trusted, answer.outputs) == (DegradeLevel.FLAT, False, {})
    with pytest.raises(StaleDataError, match=r"closed 0:01:01 ago, its budget is 0:01:00"):
        answer.require()
    in_time = AT + CANDLE + timedelta(seconds=60)
    assert predictor.predict_row(_row(), at=AT, now=in_time, updated={"news": in_time}).trusted


def test_that_an_expired_model_leaves_the_rules_and_a_stale_candle_is_worse(
    model: WindowModel,
) -> None:
    old = Predictor(model, NOW - timedelta(hours=24, seconds=1), POLICY)
    answer = old.predict_row(_row(), at=AT, now=NOW, updated=FRESH)
    assert (answer.level, answer.outputs) == (DegradeLevel.RULES, {})
    assert "the model is 1 day, 0:00:01 old" in answer.reasons[0]
    flat = old.predict_row(_row(), at=AT, now=NOW + timedelta(hours=1))
    assert flat.level is DegradeLevel.FLAT and len(flat.reasons) == 2
    forever = Predictor(model, TRAINED, replace(POLICY, max_model_age=None))
    year = timedelta(days=365)
    late = forever.predict_row(_row(), at=AT + year, now=NOW + year, updated={"news": NOW + year})
    assert late.level is DegradeLevel.FULL


def test_that_an_open_candle_is_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="Pass closed candles"):
        predictor.predict_row(_row(), at=AT, now=AT + CANDLE - timedelta(seconds=1))


def test_that_times_without_a_zone_and_unknown_groups_are_refused(model: WindowModel) -> None:
    predictor = Predictor(model, TRAINED, POLICY)
    with pytest.raises(DataError, match=r"at = .* has no time zone"):
        predictor.predict_row(_row(), at=AT.replace(tzinfo=None), now=NOW)
    with pytest.raises(ConfigError, match=r"no group 'newz'.*'news'"):
        predictor.predict_row(_row(), at=AT, now=NOW, updated={"newz": NOW})
    typo = replace(POLICY, groups={"news": FeatureGroup("^%-newz-")})
    with pytest.raises(ConfigError, match=r"groups\.news: '\^%-newz-' finds none of 20"):
        Predictor(model, TRAINED, typo)


def test_that_without_a_model_the_rules_remain() -> None:
    predictor = Predictor(None, TRAINED, POLICY)
    answer = predictor.predict_row(_row(), at=AT, now=NOW)
    assert (answer.level, answer.reasons) == (DegradeLevel.RULES, ("there is no model",))
    with pytest.raises(ModelUnavailable):
        predictor.predict(np.zeros((1, 20), dtype=np.float32))


def test_that_the_newest_generation_that_loads_answers(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "BTC_USDT_USDT")
    with pytest.raises(ModelUnavailable):
        Predictor.load(generations.folder, POLICY)
    models = [_fit("lightgbm_regressor", seed) for seed in (1, 2)]
    for number, each in enumerate(models):
        meta = {"data": {"trained_timestamp": int(TRAINED.timestamp()) + number}}
        generation = generations.commit(each.save, meta)

    def answer() -> tuple[float, datetime]:
        loaded = Predictor.load(generations.folder, POLICY)
        value = loaded.predict_row(_row(), at=AT, now=NOW, updated=FRESH).outputs["&-return"]
        return float(value), loaded.trained_at

    def expected(model: WindowModel) -> float:
        return float(model.predict(np.array([list(_row().values())])).outputs["&-return"][0])

    assert answer() == (expected(models[1]), TRAINED + timedelta(seconds=1))
    (generation.folder / "0.model").write_bytes(b"torn")
    assert answer() == (expected(models[0]), TRAINED)


def test_that_a_model_with_a_window_asks_for_its_rows() -> None:
    rows = _rows(1, 200)
    params = {"window_candles": 6, "max_epochs": 1}
    spec = ModelSpec("lstm_regressor", params, seed=1, horizon_candles=1)
    features = np.nan_to_num(rows.X)
    model = fit_window([Rows(features, rows.y, rows.candles)], NAMES, ["&-return"], spec)[0]
    predictor = Predictor(model, TRAINED, POLICY)
    answer = predictor.predict_row(features[:40], at=AT, now=NOW, updated=FRESH)
    assert answer.trusted
    assert answer.outputs["&-return"] == predictor.predict(features[:40]).outputs["&-return"][-1]
    with pytest.raises(DataError, match=f"reads {model.window} consecutive"):
        predictor.predict_row(features[0], at=AT, now=NOW)
