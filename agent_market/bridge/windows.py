"""The record that every trained window leaves on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent_market.market.candles import pair_file_name
from agent_market.store import write_json

SCHEMA = 1


@dataclass(frozen=True)
class TrainedWindow:
    """What one fit was made from and what it found.

    `trained_from` and `trained_until` are the open times of the first and the last candle used;
    `feature_importance` holds shares that sum to 1; `identity` is the hash that a window's
    predictions are read back by; `missing` says which features cost which rows, and why.
    """

    pair: str
    model: str
    trained_from: datetime
    trained_until: datetime
    n_rows: int
    n_features: int
    seed: int | None
    fit_seconds: float
    feature_importance: Mapping[str, float]
    identity: str | None = None
    missing: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> Path:
        """Write the record atomically below `folder`; return the path."""
        record = asdict(self) | {
            "schema": SCHEMA,
            "trained_from": self.trained_from.isoformat(),
            "trained_until": self.trained_until.isoformat(),
        }
        name = f"{pair_file_name(self.pair)}_{int(self.trained_until.timestamp())}.json"
        path = folder / "windows" / name
        write_json(path, record)
        return path
