"""A folder of numbered generations: the newest complete one is what counts."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_market.errors import ModelUnavailable, StateCorrupt
from agent_market.store.atomic import fsync, read_json, write_json
from agent_market.store.hashing import hash_file, hash_json

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_NAME = re.compile(r"generation-(\d{8,})")
_TEMPORARY = ".generation-*.tmp"


class Generation(NamedTuple):
    """One complete generation: its files lie in `folder`; `meta` is what the writer noted."""

    number: int
    folder: Path
    meta: dict[str, Any]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int


class _Manifest(BaseModel):
    """What a complete generation consists of; `checksum` guards the manifest itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    number: int
    files: dict[str, _File]
    meta: dict[str, Any]
    checksum: str = ""

    def content(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude={"checksum"})


class Generations:
    """Numbered generations of a set of files, each committed whole or not at all.

    A writer killed at any byte leaves the generation before it in force. One process writes to a
    folder at a time; any number may read.

    Parameters
    ----------
    folder : Path
        Where the generations lie; made at the first commit.
    keep : int, optional
        Complete generations that stay; None keeps all of them.
    """

    def __init__(self, folder: Path, keep: int | None = 2) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep is {keep}. Keep at least one generation, or None for all.")
        self.folder = folder
        self.keep = keep

    def commit(
        self, write: Callable[[Path], object], meta: dict[str, Any] | None = None
    ) -> Generation:
        """Store what `write` puts into the folder it is given as the newest generation.

        Every file is flushed to the disk, the manifest is written last, and the folder takes its
        name by one rename. Older generations and the litter of killed writers are removed after
        that.

        Parameters
        ----------
        write : callable
            Receives an empty folder; sub-folders are allowed.
        meta : dict, optional
            JSON without NaN or infinity, kept in the manifest.

        Returns
        -------
        Generation
            Its number is above that of every generation there was, complete or not.
        """
        self._remove_temporaries()
        number = max(self._numbers(), default=0) + 1
        temporary = self.folder / f".generation-{number:08d}.{os.getpid()}.tmp"
        temporary.mkdir(parents=True)
        try:
            write(temporary)
            manifest = _Manifest(number=number, files=_flushed(temporary), meta=meta or {})
            content = manifest.content()
            write_json(temporary / MANIFEST, {**content, "checksum": hash_json(content)})
            temporary.rename(self._path(number))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync(self.folder)
        self._remove_old(number)
        return Generation(number, self._path(number), manifest.meta)

    def complete(self) -> Iterator[Generation]:
        """Yield the complete generations, newest first, and log what is wrong with the others."""
        for number in sorted(self._numbers(), reverse=True):
            try:
                yield self._read(number)
            except StateCorrupt as error:
                logger.warning("%s Trying the generation before it.", error)

    def newest(self) -> Generation:
        """Return the newest generation whose files all match their checksums.

        Raises
        ------
        ModelUnavailable
            No generation is complete.
        """
        generation = next(self.complete(), None)
        if generation is None:
            raise ModelUnavailable(
                f"{self.folder}: none of {len(self._numbers())} generations is complete. Train and "
                "save again."
            )
        return generation

    def _read(self, number: int) -> Generation:
        folder = self._path(number)
        try:
            manifest = _Manifest.model_validate(read_json(folder / MANIFEST))
            fault = _fault(folder, number, manifest)
        except (OSError, StateCorrupt, ValidationError) as error:
            fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if fault:
            raise StateCorrupt(f"{folder} is not complete ({fault}).")
        return Generation(number, folder, manifest.meta)

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return [int(match[1]) for match in matches if match]

    def _path(self, number: int) -> Path:
        return self.folder / f"generation-{number:08d}"

    def _remove_old(self, committed: int) -> None:
        """Remove what lies below the last generation to keep; only complete ones are counted."""
        if self.keep is None:
            return
        older = sorted((n for n in self._numbers() if n < committed), reverse=True)
        kept = 1
        for number in older:
            if kept >= self.keep:
                self._remove(number)
            else:
                kept += self._is_complete(number)

    def _is_complete(self, number: int) -> bool:
        try:
            self._read(number)
        except StateCorrupt as error:
            logger.warning("%s It does not count among the generations kept.", error)
            return False
        return True

    def _remove(self, number: int) -> None:
        # renamed first: a kill amid the removal must not leave half a generation
        doomed = self.folder / f".generation-{number:08d}.removed.tmp"
        self._path(number).rename(doomed)
        shutil.rmtree(doomed)

    def _remove_temporaries(self) -> None:
        for path in self.folder.glob(_TEMPORARY):
            shutil.rmtree(path)


def _flushed(folder: Path) -> dict[str, _File]:
    """Flush every file and sub-folder to the disk; return what the files are."""
    files = {}
    for path in sorted(folder.rglob("*")):
        fsync(path)
        if path.is_file():
            size = path.stat().st_size
            files[path.relative_to(folder).as_posix()] = _File(
                sha256=hash_file(path), size_bytes=size
            )
    return files


def _fault(folder: Path, number: int, manifest: _Manifest) -> str | None:
    """Return what does not match the manifest."""
    if manifest.checksum != hash_json(manifest.content()):
        return f"{MANIFEST} does not match its own checksum"
    if manifest.number != number:
        return f"{MANIFEST} is that of generation {manifest.number}"
    for name, expected in manifest.files.items():
        size = (folder / name).stat().st_size
        if size != expected.size_bytes:
            return f"{name} has {size:,} bytes instead of {expected.size_bytes:,}"
        if hash_file(folder / name) != expected.sha256:
            return f"{name} does not match its checksum"
    return None
