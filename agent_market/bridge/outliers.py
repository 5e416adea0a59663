"""FreqAI's outlier steps, where its own would look ahead in a backtest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from datasieve.pipeline import Pipeline
from datasieve.transforms import DBSCAN
from sklearn.neighbors import NearestNeighbors


class RowwiseDBSCAN(DBSCAN):
    """
    FreqAI's DBSCAN, which judges each row beside the training rows alone, as it does live.

    FreqAI's own clusters all rows it is asked about together: in a backtest, a candle is an outlier
    or not by the candles after it. A row is an inlier here if scikit-learn's DBSCAN of the training
    rows and that one row puts it into a cluster.
    """

    def transform(
        self,
        X: npt.NDArray[Any],  # noqa: N803 - the names of datasieve
        y: Any = None,
        sample_weight: Any = None,
        feature_list: Any = None,
        outlier_check: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, Any, Any, Any]:
        """
        Set y to 1 for inliers and to 0 for outliers; remove no row.
        :param X: rows, shape (n_rows, n_features)
        :param y: flags, all 1, shape (n_rows,)
        :param sample_weight: returned as it is
        :param feature_list: returned as it is
        :param outlier_check: must be true, as FreqAI's predictions have it
        """
        if not outlier_check:
            raise ValueError("transform removes no rows. Pass outlier_check=True.")
        y += self.inliers(np.asarray(X))
        y -= 1
        return X, y, sample_weight, feature_list

    def inliers(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """
        Return which rows lie in.
        :param rows: shape (n_rows, n_features)
        """
        near = NearestNeighbors(radius=self._skl.eps).fit(np.asarray(self.train_features))
        around = near.radius_neighbors(self.train_features, return_distance=False)
        # a training row that needs one more neighbor becomes a core row beside the row asked about
        is_core = np.array([len(found) + 1 >= self._skl.min_samples for found in around])
        neighbors = near.radius_neighbors(rows, return_distance=False)
        return np.array(
            [
                len(found) + 1 >= self._skl.min_samples or is_core[found].any()
                for found in neighbors
            ],
            dtype=bool,
        )


def without_look_ahead(pipeline: Pipeline) -> Pipeline:
    """
    Put `RowwiseDBSCAN` in the place of FreqAI's own, if the pipeline has it.
    :param pipeline: of `define_data_pipeline`, unfitted
    """
    pipeline.steps = [
        (name, RowwiseDBSCAN(n_jobs=step.n_jobs) if type(step) is DBSCAN else step)
        for name, step in pipeline.steps
    ]
    return pipeline
