"""Features of one pair as float32 blocks on disk, each at its own timeframe, read in slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from agent_market.learning.adapters.inputs import Features


@dataclass(frozen=True)
class FeatureBlock:
    """Columns of one timeframe, seen from the rows of the base timeframe.

    values : file of a float32 array (n_block_rows, n_columns); NaN where a value is missing.
    names : of the columns as the model sees them, shape (n_columns,).
    rows : file of an int32 array (n_rows,): the block's row that is known at each base row, -1
        where none is; None where the block has the base rows themselves.
    shift : rows of the block's own timeframe by which the columns lag.
    """

    values: Path
    names: tuple[str, ...]
    rows: Path | None = None
    shift: int = 0

    def read(self, start: int, stop: int) -> Features:
        """Return base rows `start` to `stop` (exclusive), shape (stop - start, n_columns)."""
        values = self._values
        if self.rows is None and not self.shift:
            return values[start:stop]
        rows = (
            np.arange(start, stop, dtype=np.int64)
            if self.rows is None
            else np.asarray(self._rows[start:stop], dtype=np.int64)
        )
        known = rows >= self.shift
        taken = values[np.where(known, rows - self.shift, 0)]
        taken[~known] = np.nan
        return taken

    @cached_property
    def _values(self) -> Features:
        return cast(Features, _open(self.values))

    @cached_property
    def _rows(self) -> npt.NDArray[np.int32]:
        return cast(npt.NDArray[np.int32], _open(cast(Path, self.rows)))

    def __getstate__(self) -> dict[str, object]:
        fields = ("values", "names", "rows", "shift")
        return {name: self.__dict__[name] for name in fields}  # open files stay behind


@dataclass(frozen=True)
class FeatureTable:
    """The features of one pair.

    blocks : side by side they are the columns, in the order of training.
    candles : file of an int64 array (n_rows,): open time over the timeframe, so that consecutive
        candles differ by 1.
    key : hash of everything the values follow from.
    """

    blocks: tuple[FeatureBlock, ...]
    candles: Path
    key: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(name for block in self.blocks for name in block.names)

    @cached_property
    def index(self) -> npt.NDArray[np.int64]:
        """Number of each candle, shape (n_rows,)."""
        return cast(npt.NDArray[np.int64], _open(self.candles))

    def __len__(self) -> int:
        return len(self.index)

    def read(self, start: int, stop: int) -> Features:
        """Return rows `start` to `stop` (exclusive), float32, C-contiguous, (n, n_features).

        Notes
        -----
        Information time: row t as the blocks were computed, from candles closed at t or before.
        """
        table = np.empty((stop - start, len(self.names)), dtype=np.float32)
        column = 0
        for block in self.blocks:
            table[:, column : column + len(block.names)] = block.read(start, stop)
            column += len(block.names)
        return table

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in ("blocks", "candles", "key")}


def _open(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)
