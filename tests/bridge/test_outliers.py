import numpy as np
import pytest
from datasieve.pipeline import Pipeline
from datasieve.transforms import DBSCAN
from sklearn import cluster

from agent_market.bridge.outliers import RowwiseDBSCAN, without_look_ahead


def _fitted(train: np.ndarray) -> RowwiseDBSCAN:
    step = RowwiseDBSCAN(n_jobs=1)
    step.fit_transform(train, np.ones(len(train)), np.ones(len(train)))
    return step


@pytest.mark.parametrize("seed", range(5))
def test_that_a_row_is_judged_as_by_dbscan_beside_the_training_rows_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(120, 3))
    rows = rng.normal(scale=1.5, size=(80, 3))
    step = _fitted(train)
    expected = [
        cluster.DBSCAN(eps=step._skl.eps, min_samples=step._skl.min_samples)
        .fit(np.vstack([train, row]))
        .labels_[-1]
        != -1
        for row in rows
    ]
    found = step.inliers(rows)
    assert found.tolist() == expected
    assert 0 < found.sum() < len(rows)


def test_that_later_rows_do_not_change_a_flag() -> None:
    rng = np.random.default_rng(1)
    step, own = _fitted(rng.normal(size=(120, 2))), DBSCAN(n_jobs=1)
    own._skl, own.train_features = cluster.DBSCAN(**step._skl.get_params()), step.train_features
    far = np.full((1, 2), 9.0)
    crowd = np.vstack([far, far + rng.normal(scale=0.01, size=(60, 2))])
    flags = {
        kind: [
            transform.transform(rows, np.ones(len(rows)), outlier_check=True)[1][0]
            for rows in (far, crowd)
        ]
        for kind, transform in {"ours": step, "freqai": own}.items()
    }
    assert flags == {"ours": [0, 0], "freqai": [0, 1]}  # FreqAI's own sees the crowd that comes


def test_that_only_dbscan_is_replaced() -> None:
    pipeline = without_look_ahead(Pipeline([("dbscan", DBSCAN(n_jobs=3))]))
    assert type(pipeline["dbscan"]) is RowwiseDBSCAN
    assert pipeline["dbscan"].n_jobs == 3
