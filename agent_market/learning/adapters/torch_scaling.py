"""What a net sees of features and labels: standardized by the training part, without NaN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent_market.learning.adapters.contract import Part
from agent_market.learning.adapters.inputs import Features, FloatArray, Rows

LIMIT = 5.0  # standard deviations: one wild candle must not decide a gradient
MULTIPLE = 16  # of columns: matrix products of other widths often depend on the row's place


@dataclass(frozen=True)
class Scaling:
    """Means and scales of the training part.

    center, scale : of each feature, (n_features,), float32; a feature that does not vary has the
        scale infinity, so that it says nothing.
    masked : features with NaN in training, each with a second column that says where.
    label_center, label_scale : of each label, (n_labels,), float64.
    """

    center: Features
    scale: Features
    masked: Rows
    label_center: FloatArray
    label_scale: FloatArray

    @classmethod
    def of(cls, part: Part, window: int, *, labels: bool) -> Scaling:
        """Return the scaling of the rows that the windows of a part's targets hold.

        Other rows, such as a test block of weight 0 between two training blocks, are not seen.
        Without `labels` (classes), those stay as they are.
        """
        X = part.X if part.targets is None else part.X[_covered(part.targets, window, len(part.X))]
        known = ~np.isnan(X)
        count = np.maximum(known.sum(axis=0), 1)
        center = np.where(known, X, 0).sum(axis=0, dtype=np.float64) / count
        spread = np.sqrt((np.where(known, X - center, 0) ** 2).sum(axis=0) / count)
        flat = spread <= np.finfo(np.float32).eps * np.abs(center)
        columns = part.y.reshape(len(part.y), -1)
        label_center = np.average(columns, axis=0, weights=part.weight)
        label_scale = np.sqrt(
            np.average((columns - label_center) ** 2, axis=0, weights=part.weight)
        )
        return cls(
            center.astype(np.float32),
            np.where(flat, np.inf, spread).astype(np.float32),
            np.flatnonzero(~known.all(axis=0)),
            label_center if labels else np.zeros(1),
            label_scale if labels else np.ones(1),
        )

    @property
    def n_columns(self) -> int:
        """Width of what `columns` returns."""
        used = len(self.center) + len(self.masked)
        return -(-used // MULTIPLE) * MULTIPLE

    def columns(self, X: Features) -> Features:
        """Return (n_rows, n_columns), float32: features, where they are missing, zeros.

        NaN becomes 0, the mean. float32 is enough: X has no more digits than its mean.
        """
        n_features = len(self.center)
        columns = np.zeros((len(X), self.n_columns), dtype=np.float32)
        features = columns[:, :n_features]
        np.subtract(X, self.center, out=features)
        features /= self.scale
        np.clip(features, -LIMIT, LIMIT, out=features)
        missing = np.isnan(X)
        features[missing] = 0
        columns[:, n_features : n_features + len(self.masked)] = missing[:, self.masked]
        return columns

    def standardized(self, y: FloatArray) -> Features:
        """Return labels as the net learns them, (n_rows, n_labels), float32."""
        standardized = (y.reshape(len(y), -1) - self.label_center) / self.label_scale
        return standardized.astype(np.float32)

    def labels(self, outputs: Features) -> FloatArray:
        """Return labels in their own units, (n_rows, n_labels)."""
        return outputs * self.label_scale + self.label_center


def _covered(targets: Rows, window: int, n_rows: int) -> Rows:
    """Return the rows that the windows ending at `targets` hold."""
    edges = np.zeros(n_rows + 1, dtype=np.int64)
    edges[targets - window + 1] += 1
    edges[targets + 1] -= 1
    return np.flatnonzero(np.cumsum(edges[:-1]))
