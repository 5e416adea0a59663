"""Which rows a campaign may see: no label reaches over a border."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.errors import ConfigError
from agent_market.evaluation.expressions.layout import (
    LEAST_BLOCKS,
    CampaignDesign,
    Layout,
    ScoredFold,
    forward_returns,
    known_labels,
    layout_of,
)
from tests.evaluation.expressions.conftest import make_walk


def layouts(n_rows: int, horizon: int, embargo: int, n_folds: int) -> tuple[Layout, CampaignDesign]:
    design = CampaignDesign(horizon_candles=horizon, embargo_candles=embargo, n_folds=n_folds)
    return layout_of(n_rows, "1h", design), design


cases = {
    "n_rows": st.integers(2500, 9000),
    "horizon": st.integers(1, 10),
    "embargo": st.integers(0, 30),
    "n_folds": st.integers(2, 6),
}


@given(**cases)
def test_the_label_of_a_scored_row_ends_within_its_block(
    n_rows: int, horizon: int, embargo: int, n_folds: int
) -> None:
    layout, _ = layouts(n_rows, horizon, embargo, n_folds)
    folds = (*layout.folds, layout.confirmation_fold, layout.vault_fold)
    blocks = [block for fold in folds for block in fold.blocks]
    for block, later in pairwise(blocks):
        assert block.start < block.stop
        assert block.stop - 1 + horizon < later.start
    assert blocks[-1].stop - 1 + horizon < n_rows


@given(**cases)
def test_what_calibrates_a_fold_is_known_an_embargo_before_it(
    n_rows: int, horizon: int, embargo: int, n_folds: int
) -> None:
    layout, _ = layouts(n_rows, horizon, embargo, n_folds)
    for fold in (*layout.folds, layout.confirmation_fold, layout.vault_fold):
        assert fold.known - 1 + horizon + embargo <= fold.blocks[0].start


@given(**cases)
def test_search_confirmation_and_vault_are_parted_by_horizon_and_embargo(
    n_rows: int, horizon: int, embargo: int, n_folds: int
) -> None:
    layout, _ = layouts(n_rows, horizon, embargo, n_folds)
    assert layout.search.stop + horizon + embargo == layout.confirmation.start
    assert layout.confirmation.stop + horizon + embargo == layout.vault.start
    assert layout.vault.stop == n_rows
    for stage, fold in (
        (layout.confirmation, layout.confirmation_fold),
        (layout.vault, layout.vault_fold),
    ):
        assert isinstance(fold, ScoredFold) and len(fold.blocks) >= LEAST_BLOCKS
        assert fold.blocks[0].start == stage.start


def test_too_few_rows_are_refused_with_what_is_needed() -> None:
    with pytest.raises(ConfigError, match="8 blocks of 24 rows"):
        layout_of(700, "1h", CampaignDesign(horizon_candles=1))


def test_labels_that_use_later_rows_are_left_out() -> None:
    panel = make_walk(1, 200)
    labels = forward_returns(panel, 5)
    close = panel.series["close"]
    assert np.array_equal(labels[:, :-5], close[:, 5:] / close[:, :-5] - 1)
    known = known_labels(labels, 100, 5)
    assert known.shape == (3, 100)
    assert np.isnan(known[:, 95:]).all() and np.isfinite(known[:, :95]).all()
    cut = forward_returns(panel.rows(0, 100), 5)
    assert np.array_equal(known, cut, equal_nan=True)
