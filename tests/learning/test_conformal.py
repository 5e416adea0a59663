"""Coverage under drift, no look-ahead, and one candle at a time as in a batch."""

import dataclasses
import json

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.errors import ConfigError, DataError
from agent_market.learning.conformal import (
    ConformalRule,
    ConformalTracker,
    Intervals,
    conformal_intervals,
    coverage_report,
)

FloatArray = npt.NDArray[np.float64]
ROWS = 20_000
STATIC_ROWS = 2000

VOLATILITIES = {
    "steady": np.ones(ROWS),
    "jump": np.where(np.arange(ROWS) < ROWS // 2, 1.0, 3.0),
    "drift": np.linspace(1, 4, ROWS),
    "calm": np.linspace(4, 1, ROWS),
}


def rule(**changes: float) -> ConformalRule:
    values = {
        "horizon": 12,
        "coverage": 0.9,
        "abstain_coverage": 0.5,
        "adaptation_rate": 0.01,
        "window_candles": 2000,
    }
    return ConformalRule(**{**values, **changes})


def market(volatility: FloatArray, horizon: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return predictions of a small skill, and overlapping outcomes over `horizon` candles."""
    draw = np.random.default_rng(seed)
    returns = volatility * draw.normal(size=len(volatility))
    total = np.concatenate([[0], np.cumsum(returns)])
    outcomes = np.full(len(returns), np.nan)
    outcomes[: -horizon or None] = (total[horizon + 1 :] - total[1:-horizon])[: len(returns)]
    return 0.1 * np.sqrt(horizon) * volatility * draw.normal(size=len(returns)), outcomes


def inside(intervals: Intervals, outcomes: FloatArray) -> float:
    scored = np.isfinite(intervals.lo) & np.isfinite(outcomes)
    hit = (outcomes >= intervals.lo) & (outcomes <= intervals.hi)
    return float(hit[scored].mean())


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("horizon", [1, 12, 48])
@pytest.mark.parametrize("kind", VOLATILITIES)
def test_that_coverage_is_kept_whatever_volatility_does(kind, horizon, coverage):
    predictions, outcomes = market(VOLATILITIES[kind], horizon, seed=1)
    intervals = conformal_intervals(predictions, outcomes, rule(horizon=horizon, coverage=coverage))
    assert inside(intervals, outcomes) == pytest.approx(coverage, abs=0.015)
    later = slice(ROWS // 2, None)
    after = Intervals(*(column[later] for column in intervals))
    assert inside(after, outcomes[later]) == pytest.approx(coverage, abs=0.015)


@pytest.mark.parametrize("kind", ["jump", "drift", "calm"])
def test_that_static_intervals_lose_their_coverage_there(kind):
    predictions, outcomes = market(VOLATILITIES[kind], 12, seed=1)
    errors = np.abs(outcomes - predictions)
    half = np.quantile(errors[:STATIC_ROWS], 0.9)
    lost = abs(np.nanmean(errors[STATIC_ROWS:-12] <= half) - 0.9)
    assert lost > 0.05


def test_that_steady_intervals_are_about_as_narrow_as_the_truth_allows():
    predictions, outcomes = market(VOLATILITIES["steady"], 12, seed=2)
    intervals = conformal_intervals(predictions, outcomes, rule())
    ideal = 2 * 1.645 * np.nanstd(outcomes - predictions)
    assert np.nanmean(intervals.hi - intervals.lo) < 1.05 * ideal


def test_that_a_shock_is_followed_by_no_long_spell_of_wide_intervals():
    volatility = np.ones(ROWS)
    volatility[8000:8300] = 20
    predictions, outcomes = market(volatility, 12, seed=3)
    intervals = conformal_intervals(predictions, outcomes, rule(window_candles=500))
    late = slice(10_000, None)
    ideal = 2 * 1.645 * np.std((outcomes - predictions)[10_000:-12])
    assert np.nanmean((intervals.hi - intervals.lo)[late]) < 1.1 * ideal


def test_that_a_halted_market_is_not_paid_for_with_missing_coverage():
    predictions, outcomes = market(VOLATILITIES["steady"], 1, seed=4)
    predictions[5000:9000] = outcomes[5000:9000] = 0  # errors of 0 never miss
    intervals = conformal_intervals(predictions, outcomes, rule(horizon=1, window_candles=500))
    after = slice(9000, 11_000)
    rows = Intervals(*(column[after] for column in intervals))
    assert inside(rows, outcomes[after]) > 0.85


def holed(values: FloatArray, seed: int) -> FloatArray:
    return np.where(np.random.default_rng(seed).random(len(values)) < 0.1, np.nan, values)


@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize("calibration", [None, np.linspace(-3, 3, 700)])
def test_that_a_batch_and_a_stream_agree_to_the_last_bit(horizon, calibration):
    predictions, outcomes = market(VOLATILITIES["drift"][:1500], horizon, seed=5)
    predictions, outcomes = holed(predictions, 1), holed(outcomes, 2)
    made = rule(horizon=horizon, window_candles=300)
    batch = conformal_intervals(predictions, outcomes, made, calibration)
    tracker = ConformalTracker(made, calibration)
    rows = [
        tracker.step(prediction, outcomes[row - horizon] if row >= horizon else np.nan)
        for row, prediction in enumerate(predictions)
    ]
    for column, streamed in zip(batch, zip(*rows, strict=True), strict=True):
        assert np.asarray(streamed).tobytes() == column.tobytes()


@given(row=st.integers(0, 999), horizon=st.integers(1, 30), seed=st.integers(0, 9))
def test_that_outcomes_which_are_not_yet_known_change_nothing(row, horizon, seed):
    predictions, outcomes = market(VOLATILITIES["steady"][:1000], horizon, seed)
    made = rule(horizon=horizon, window_candles=100)
    before = conformal_intervals(predictions, outcomes, made, np.ones(40))
    moved, other = outcomes.copy(), predictions.copy()
    moved[max(row - horizon + 1, 0) :] = 1e6
    other[row + 1 :] = -1e6
    after = conformal_intervals(other, moved, made, np.ones(40))
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left[: row + 1], right[: row + 1])


def test_that_the_newest_known_outcome_does_change_the_interval():
    predictions, outcomes = market(VOLATILITIES["steady"][:1000], 12, seed=6)
    outcomes[500 - 12] = predictions[500 - 12]
    before = conformal_intervals(predictions, outcomes, rule())
    outcomes[500 - 12] = 1e6
    after = conformal_intervals(predictions, outcomes, rule())
    changed = np.flatnonzero(before.hi != after.hi)
    changed = changed[np.isfinite(before.hi[changed])]
    assert changed[0] == 500


def test_that_the_window_is_a_plain_quantile_of_its_newest_errors():
    predictions, outcomes = market(VOLATILITIES["drift"][:3000], 1, seed=7)
    made = rule(horizon=1, adaptation_rate=1e-15, window_candles=99)
    intervals = conformal_intervals(predictions, outcomes, made)
    errors = pd.Series(np.abs(outcomes - predictions)).shift(1)
    expected = errors.rolling(99).apply(lambda window: np.sort(window)[89], raw=True)
    np.testing.assert_allclose((intervals.hi - predictions)[99:], expected[99:])


def test_that_without_calibration_the_first_interval_waits_for_enough_outcomes():
    predictions, outcomes = market(VOLATILITIES["steady"][:200], 12, seed=8)
    cold = conformal_intervals(predictions, outcomes, rule())
    first = int(np.flatnonzero(np.isfinite(cold.lo))[0])
    assert first == 30 - 1 + 12
    assert cold.abstain[:first].all() and np.isnan(cold.hi[:first]).all()
    errors = np.concatenate([np.linspace(-2, 2, 101), [np.nan]])
    warm = conformal_intervals(predictions, outcomes, rule(), errors)
    expected = np.sort(np.abs(errors[:-1]))[91]  # the 92nd of 101: ceil(102 * 0.9)
    assert warm.hi[0] - predictions[0] == pytest.approx(expected)


def test_that_rows_abstain_where_the_narrow_interval_encloses_zero():
    made = rule(horizon=1, abstain_coverage=0.5, adaptation_rate=1e-9)
    errors = np.linspace(0, 1, 101)  # the half width at 0.5 is 0.5
    predictions = np.array([0.0, 0.4, -0.4, 0.6, -0.6, np.nan])
    intervals = conformal_intervals(predictions, np.full(6, np.nan), made, errors)
    assert intervals.abstain.tolist() == [True, True, True, False, False, True]
    assert np.isnan(intervals.lo).tolist() == [False] * 5 + [True]
    assert (intervals.lo[:5] < predictions[:5]).all()


def test_that_gaps_teach_nothing_and_cost_no_coverage():
    predictions, outcomes = market(VOLATILITIES["jump"], 12, seed=9)
    intervals = conformal_intervals(holed(predictions, 1), holed(outcomes, 2), rule())
    assert inside(intervals, outcomes) == pytest.approx(0.9, abs=0.015)
    gaps = np.full(500, np.nan)
    assert conformal_intervals(gaps, gaps, rule()).abstain.all()


def test_that_fewer_rows_than_the_horizon_are_no_error():
    made = conformal_intervals(np.ones(5), np.ones(5), rule(horizon=12), np.linspace(0, 2, 100))
    assert np.isfinite(made.lo).all()


def test_that_the_report_counts_what_happened_and_is_json():
    lo, hi = np.array([-1.0, -1, -1, np.nan, -2, -2]), np.array([1.0, 1, 1, np.nan, 2, 2])
    abstain = np.array([False, True, False, True, False, False])
    outcomes = np.array([0.0, 2, 1, 0, np.nan, np.nan])
    report = coverage_report(Intervals(lo, hi, abstain), outcomes, nominal=0.9, chunk_candles=4)
    assert report.total.coverage == pytest.approx(2 / 3)
    assert report.total.mean_width == pytest.approx((3 * 2 + 2 * 4) / 5)
    assert report.total.abstained == pytest.approx(1 / 3)
    first, last = report.chunks
    assert (first.first_row, first.last_row, first.n_scored) == (0, 3, 3)
    assert (last.first_row, last.last_row, last.n_scored) == (4, 5, 0)
    assert last.coverage is None and last.mean_width == 4
    assert json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False))["nominal"] == 0.9


def test_that_report_and_tracker_agree_on_real_sizes():
    predictions, outcomes = market(VOLATILITIES["drift"], 12, seed=10)
    intervals = conformal_intervals(predictions, outcomes, rule())
    report = coverage_report(intervals, outcomes, nominal=0.9, chunk_candles=5000)
    assert report.total.coverage == inside(intervals, outcomes)
    widths = [chunk.mean_width for chunk in report.chunks]
    assert widths == sorted(widths)  # volatility only grows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon is 0. Take at least 1"),
        ({"coverage": 1.0}, "coverage is 1.0. Take a share"),
        ({"abstain_coverage": 0.0}, "abstain_coverage is 0.0"),
        ({"adaptation_rate": float("nan")}, "adaptation_rate is nan"),
        ({"window_candles": 20}, "window_candles is 20.*needs 30 errors"),
        ({"coverage": 0.999}, None),
        ({"coverage": 0.999, "window_candles": 998}, "needs 999 errors"),
    ],
)
def test_that_a_rule_out_of_its_bounds_is_refused(changes, message):
    if message is None:
        assert rule(**changes).min_errors == 999
        return
    with pytest.raises(ConfigError, match=message):
        rule(**changes)


def test_that_rows_without_a_partner_are_refused():
    with pytest.raises(DataError, match=r"predictions have shape \(3,\), outcomes \(4,\)"):
        conformal_intervals(np.ones(3), np.ones(4), rule())
    intervals = conformal_intervals(np.ones(3), np.ones(3), rule())
    with pytest.raises(DataError, match="Pass one outcome a row"):
        coverage_report(intervals, np.ones(4), nominal=0.9, chunk_candles=2)
