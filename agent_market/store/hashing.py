"""Content hashes: what a step's inputs and outputs are recognised by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def hash_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hash_json(content: Any) -> str:
    """Return the SHA-256 of the canonical JSON form: sorted keys, no white space, no NaN."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hash_bytes(canonical.encode())


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """Return one SHA-256 over the names (relative to `root`) and contents of `paths`.

    The order of `paths` does not matter.
    """
    entries = {path.relative_to(root).as_posix(): hash_file(path) for path in paths}
    return hash_json(entries)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content; the file is never held in memory whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
