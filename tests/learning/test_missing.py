import numpy as np

from agent_market.learning.missing import MissingFeature, choose_columns, usable_rows

NAMES = ["full", "late", "gappy", "never"]


def _table() -> np.ndarray:
    x = np.ones((100, 4), dtype=np.float32)
    x[:10, 1] = np.nan
    x[50:55, 2] = np.nan
    x[:, 3] = np.nan
    return x


def test_that_a_feature_that_is_missing_too_often_costs_itself_and_not_the_rows() -> None:
    columns, report = choose_columns(_table(), np.ones(100, dtype=bool), NAMES, 0.3, 0.0)
    assert columns == (0, 1, 2)
    assert report.n_labeled == 100
    assert report.n_dropped == 15
    assert report.features == {
        "never": MissingFeature(100, "absent", left_out=True),
        "late": MissingFeature(10, "warm-up", left_out=False),
        "gappy": MissingFeature(5, "gaps", left_out=False),
    }
    assert list(report.features) == ["never", "late", "gappy"]


def test_that_only_rows_with_a_label_count() -> None:
    labeled = np.arange(100) >= 10
    _, report = choose_columns(_table(), labeled, NAMES, 0.3, 0.0)
    assert (report.n_labeled, report.n_dropped) == (90, 5)
    assert "late" not in report.features


def test_that_a_share_of_missing_features_is_allowed() -> None:
    x = np.ones((3, 10), dtype=np.float32)
    x[1, :2] = np.nan
    x[2, :3] = np.nan
    assert usable_rows(x, 0.2).tolist() == [True, True, False]
    assert usable_rows(x, 0.0).tolist() == [True, False, False]


def test_that_a_row_without_any_feature_is_not_usable() -> None:
    assert not usable_rows(np.empty((2, 0), dtype=np.float32), 1.0).any()
