"""Scores of expressions: causal, of the right size, blind to copies and overlap."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    Layout,
    forward_returns,
    known_labels,
    layout_of,
)
from agent_market.evaluation.expressions.scoring import Double, Score, Scorer, t_threshold, t_value
from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.expressions.panel import Panel
from tests.evaluation.expressions.conftest import DESIGN, make_walk

HORIZON = DESIGN.horizon_candles


def scored(panel: Panel, design: CampaignDesign = DESIGN) -> tuple[Layout, Double, Scorer]:
    layout = layout_of(panel.shape[1], panel.timeframe, design)
    labels = forward_returns(panel, design.horizon_candles)
    labels = known_labels(labels, layout.search.stop, design.horizon_candles)
    return layout, labels, Scorer(labels, layout.folds)


def test_the_label_itself_has_a_coefficient_of_nearly_one() -> None:
    _, labels, scorer = scored(make_walk(1))
    score = scorer.score(labels)
    assert score.ic > 0.9  # positions are clipped at three deviations
    assert score.t > 10
    assert score.coverage == 1
    assert len(score.fold_ics) == DESIGN.n_folds


def test_the_opposite_has_the_opposite_score() -> None:
    panel = make_walk(2)
    layout, _, scorer = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    score, opposite = scorer.score(values), scorer.score(-values)
    assert opposite.t == pytest.approx(-score.t, rel=1e-9)
    assert opposite.fold_ics == pytest.approx([-ic for ic in score.fold_ics], rel=1e-9)


def test_a_scale_changes_no_score() -> None:
    panel = make_walk(3)
    layout, _, scorer = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    plain, scaled = scorer.score(values), scorer.score(1e9 * values + 1e10)
    assert scaled.t == pytest.approx(plain.t, rel=1e-6)
    assert scaled.ic == pytest.approx(plain.ic, rel=1e-6)


def test_a_fold_coefficient_is_the_correlation_of_its_purged_rows() -> None:
    panel = make_walk(4)
    layout, labels, scorer = scored(panel)
    values = np.tanh(np.log(panel.series["volume"]) - 5)[:, : layout.search.stop]  # never clipped
    rows = np.concatenate([np.arange(b.start, b.stop) for b in layout.folds[2].blocks])
    each = [information_coefficient(values[p, rows], labels[p, rows]) for p in range(3)]
    assert scorer.score(values).fold_ics[2] == pytest.approx(np.mean(each), rel=1e-9)


def test_a_position_is_known_at_its_row() -> None:
    panel = make_walk(5)
    layout, _, scorer = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    row = layout.folds[1].blocks[3].start + 5
    changed = values.copy()
    changed[:, row:] = 1e6 * np.sin(np.arange(changed.shape[1] - row))
    before, after = scorer.positions(values), scorer.positions(changed)
    assert np.array_equal(before[:, :row], after[:, :row], equal_nan=True)
    assert not np.array_equal(before[:, row:], after[:, row:], equal_nan=True)


def test_values_that_cover_too_little_have_no_score() -> None:
    panel = make_walk(6)
    layout, _, scorer = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    values[:, ::5] = np.nan
    score = scorer.score(values)
    assert not score.is_valid and math.isnan(score.ic)
    assert score.coverage == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300])
def test_values_that_never_differ_have_no_score(value: float) -> None:
    layout, _, scorer = scored(make_walk(7))
    assert not scorer.score(np.full((3, layout.search.stop), value)).is_valid


def test_a_pair_that_is_there_twice_is_no_more_evidence() -> None:
    panel = make_walk(8, n_pairs=1)
    layout, labels, scorer = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    twice = Scorer(np.repeat(labels, 4, axis=0), layout.folds)
    assert twice.score(np.repeat(values, 4, axis=0)).t == pytest.approx(scorer.score(values).t)


@pytest.mark.parametrize("window", [6, 48, 240])
def test_slow_expressions_of_random_walks_seem_good_as_often_as_the_level_says(window: int) -> None:
    """Labels overlap, pairs move together, tails are heavy, and the expression is the price."""
    found = [_t_of_walk(seed, window) for seed in range(300)]
    n_blocks = found[0][1]
    t = np.array([value for value, _ in found])
    for level in (0.05, 0.2):
        share = float(np.mean(np.abs(t) > t_threshold(level, 1, n_blocks)))
        margin = 3.5 * math.sqrt(level * (1 - level) / len(t))
        assert level / 3 < share < level + margin, f"{share:.3f} at {level}"


def test_centering_inside_the_fold_would_seem_to_predict() -> None:
    """Why positions are calibrated before the fold: this is the leak that it avoids."""
    biased, causal = [], []
    for seed in range(150):
        panel = make_walk(seed, 1500)
        close = np.log(panel.series["close"])
        layout, labels, scorer = scored(panel)
        values = close[:, : layout.search.stop]
        causal.append(scorer.score(values).t)
        rows = np.concatenate([np.arange(b.start, b.stop) for f in layout.folds for b in f.blocks])
        inside = values - values[:, rows].mean(axis=1, keepdims=True)
        products = (inside * labels).sum(axis=0)
        biased.append(
            t_value(
                np.array([products[b.start : b.stop].sum() for f in layout.folds for b in f.blocks])
            )
        )
    assert np.mean(biased) < -0.8
    assert abs(np.nanmean(causal)) < 0.4


def _t_of_walk(seed: int, window: int) -> tuple[float, int]:
    panel = make_walk(seed, 3000)
    close = np.log(panel.series["close"])
    mean = pd.DataFrame(close.T).rolling(window).mean().to_numpy().T
    layout, _, scorer = scored(panel)
    return scorer.score((close - mean)[:, : layout.search.stop]).t, scorer.n_blocks


def test_the_threshold_is_bonferronis_for_students_t() -> None:
    assert t_threshold(0.05, 1, 61) == pytest.approx(stats.t.ppf(0.975, 60))
    assert t_threshold(0.05, 1000, 61) == pytest.approx(stats.t.ppf(1 - 0.025 / 1000, 60))
    assert t_threshold(0.05, 0, 61) == t_threshold(0.05, 1, 61)


def score_of(ic: float, t: float) -> Score:
    return Score(ic, math.nan, ic, math.nan, t, 1.0, (ic,))


def test_what_is_measured_surely_keeps_its_coefficient_and_what_is_not_keeps_nothing() -> None:
    assert score_of(0.05, 30.0).shrunk_ic == pytest.approx(0.05, rel=0.02)
    assert score_of(0.05, 3.0).shrunk_ic == 0
    assert score_of(0.05, 1.0).shrunk_ic < score_of(0.05, 2.0).shrunk_ic < 0
    assert score_of(-0.05, -6.0).shrunk_ic == score_of(0.05, 6.0).shrunk_ic
    assert score_of(0.0, 0.0).shrunk_ic == -math.inf
    assert score_of(0.01, -0.1).shrunk_ic == -math.inf


def test_a_hedged_half_is_not_preferred_to_the_whole() -> None:
    """Figures of a planted formula and of its `demean`, on a market where the whole was unlucky."""
    whole = Score(0.050, 0.0136, 0.051, math.nan, 8.6, 1.0, (0.050,))
    half = Score(0.032, 0.0032, 0.048, math.nan, 10.1, 1.0, (0.032,))
    assert whole.shrunk_ic > half.shrunk_ic


def test_the_t_value_of_one_pair_is_that_of_its_plain_sums() -> None:
    layout, _, scorer = scored(make_walk(9, n_pairs=1))
    values = np.sin(np.arange(layout.search.stop) / 7)[None, :]
    positions = scorer.positions(values)
    products = np.nan_to_num(positions * scorer.outcomes)[0]
    blocks = [block for fold in layout.folds for block in fold.blocks]
    plain = t_value(np.array([products[block.start : block.stop].sum() for block in blocks]))
    score = scorer.score(values)
    assert score.t == pytest.approx(plain, rel=1e-9)
    assert score.ic_error == pytest.approx(abs(score.ic / plain), rel=1e-9)


def test_what_pairs_have_of_their_own_is_not_drowned_by_the_market() -> None:
    """Labels of nine parts the market: the effect is as large on both, and sure on one alone."""
    rng = np.random.default_rng(3)
    shape = (5, 3000)
    layout = layout_of(shape[1], "1h", DESIGN)
    market, own = rng.normal(0, 3, shape[1]), rng.normal(size=shape)
    values = rng.normal(size=shape) + rng.normal(size=shape[1])
    scorer = Scorer(0.15 * values + market + own, layout.folds)
    score = scorer.score(values)
    assert abs(score.ic / score.ic_error) < 5 < score.t
    assert score.gls_ic > score.ic


def test_the_part_that_pairs_share_is_measured_before_the_fold() -> None:
    panel = make_walk(10)
    layout, labels, _ = scored(panel)
    values = np.log(panel.series["volume"][:, : layout.search.stop])
    fold = layout.folds[1]
    changed = labels.copy()
    changed[:, fold.blocks[-1].stop :] = changed[:1, fold.blocks[-1].stop :]  # all pairs as one
    before, after = (Scorer(each, [fold]).score(values) for each in (labels, changed))
    assert before == after
