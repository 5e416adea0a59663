"""Feature blocks on disk, found again by the hash of what they follow from."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.errors import DataError, StateCorrupt
from agent_market.store import read_json, write_json, write_with

SCHEMA = 1
_KEPT_SECONDS = 14 * 86_400  # long enough that no running process still reads what is removed
_CHUNK_ROWS = 4096  # converted at once, as 64-bit numbers
# as pandas names them: a shifted column of flags has flags and NaN, as objects
_NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "integer-na", "empty")


@dataclass(frozen=True)
class StoredBlock:
    """A block of features as it lies on disk.

    values : file of float32 (n_rows, n_columns). names : of the columns.
    extras : feather file of the columns that are returned to the strategy but not trained on, or
        None.
    """

    values: Path
    names: tuple[str, ...]
    extras: Path | None

    def read_extras(self) -> pd.DataFrame:
        """Return the columns that are not features, shape (n_rows, ...)."""
        return pd.DataFrame() if self.extras is None else pd.read_feather(self.extras)


class FeatureStore:
    """A folder of feature blocks; what stands in it is complete or absent.

    What nobody asked for in 14 days is removed when the store is opened.

    Parameters
    ----------
    root : Path or None
        None keeps blocks in a temporary folder that goes away with the object.
    """

    def __init__(self, root: Path | None) -> None:
        self._temporary = None if root else tempfile.TemporaryDirectory(prefix="features-")
        self.root = root or Path(self._temporary.name)  # type: ignore[union-attr]
        self._remove_old()

    def find(self, key: str) -> StoredBlock | None:
        """Return the block stored under `key`, or None; a damaged one is removed."""
        folder = self._folder(key)
        if not (folder / "block.json").is_file():
            return None
        try:
            described = read_json(folder / "block.json")
            complete = described["schema"] == SCHEMA and all(
                (folder / name).stat().st_size == size for name, size in described["sizes"].items()
            )
        except (StateCorrupt, OSError, KeyError, TypeError, AttributeError):
            complete = False
        if not complete:
            shutil.rmtree(folder)
            return None
        _mark_used(folder / "block.json")
        extras = folder / "extras.feather"
        return StoredBlock(
            folder / "values.npy",
            tuple(described["names"]),
            extras if "extras.feather" in described["sizes"] else None,
        )

    def put(self, key: str, features: pd.DataFrame, extras: pd.DataFrame) -> StoredBlock:
        """Store a block: features as float32 (infinite as NaN), and what is not a feature.

        Raises
        ------
        DataError
            A feature is not a number.
        """
        folder = self._folder(key)
        values = as_float32(features)
        write_with(folder / "values.npy", lambda path: _save(path, values))
        files = ["values.npy"]
        if extras.shape[1]:
            plain = extras.reset_index(drop=True)
            write_with(folder / "extras.feather", plain.to_feather)
            files.append("extras.feather")
        names = [str(name) for name in features.columns]
        sizes = {name: (folder / name).stat().st_size for name in files}
        write_json(folder / "block.json", {"schema": SCHEMA, "names": names, "sizes": sizes})
        extras_path = folder / "extras.feather" if extras.shape[1] else None
        return StoredBlock(folder / "values.npy", tuple(names), extras_path)

    def array(self, key: str, values: npt.NDArray[Any]) -> Path:
        """Store one array under `key`; return its file."""
        path = self.root / key[:2] / f"{key}.npy"
        if not path.is_file() or len(np.load(path, mmap_mode="r")) != len(values):
            write_with(path, lambda temporary: _save(temporary, values))
        _mark_used(path)
        return path

    def _remove_old(self) -> None:
        oldest = time.time() - _KEPT_SECONDS
        for file in [*self.root.glob("??/*/block.json"), *self.root.glob("??/*.npy")]:
            with suppress(FileNotFoundError):  # another process may do the same
                if file.stat().st_mtime >= oldest:
                    continue
                if file.name == "block.json":
                    shutil.rmtree(file.parent)
                else:
                    file.unlink()

    def _folder(self, key: str) -> Path:
        return self.root / key[:2] / key


def _mark_used(path: Path) -> None:
    os.utime(path)


def as_float32(features: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the columns as one float32 array, (n_rows, n_columns), infinite values as NaN.

    Raises
    ------
    DataError
        A column is not a number.
    """
    for name, dtype in features.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            _require_numbers(str(name), features[name])
    values = np.empty(features.shape, dtype=np.float32)
    with np.errstate(over="ignore"):
        for first in range(0, len(features), _CHUNK_ROWS):
            rows = features.iloc[first : first + _CHUNK_ROWS]
            values[first : first + _CHUNK_ROWS] = rows.to_numpy(np.float64, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    return values


def _require_numbers(name: str, column: pd.Series) -> None:
    if pd.api.types.infer_dtype(column, skipna=True) not in _NUMBERS:
        raise DataError(
            f"feature {name} has dtype {column.dtype}. Features must be numbers: encode it in "
            "feature_engineering_*."
        )


def _save(path: Path, values: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:  # numpy would add a suffix to a bare path
        np.save(file, values, allow_pickle=False)
