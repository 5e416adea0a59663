"""Outputs of steps, addressed by the key of their inputs and committed by a manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent_market.errors import StateCorrupt
from agent_market.flow.inputs import Inputs, file_hash
from agent_market.store import read_json, write_json, write_text

logger = logging.getLogger(__name__)

SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """One complete output: the run that made it, what it was made from, its files and facts.

    `files` maps paths to SHA-256; `facts` is what later steps and the user need to know of it.
    """

    step: str
    key: str
    run_id: str
    finished: str
    inputs: Mapping[str, Any]
    files: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def damage(self) -> str | None:
        """Return what is wrong with the files, None if each is there and unchanged."""
        for name, digest in self.files.items():
            path = Path(name)
            if not path.is_file():
                return f"{path} is missing"
            if file_hash(path) != digest:
                return f"{path} was altered"
        return None


class OutputStore:
    """Manifests of every complete output below `<state_dir>/outputs`."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "outputs"

    def commit(
        self,
        step: str,
        inputs: Inputs,
        run_id: str,
        finished: str,
        files: Iterable[Path],
        facts: Mapping[str, Any],
    ) -> Manifest:
        """Write the manifest of an output whose files are complete; return it."""
        hashes = {str(path): file_hash(path) for path in files}
        key = inputs.key(step)
        manifest = Manifest(step, key, run_id, finished, inputs.to_json(), hashes, facts)
        write_json(self._path(step, key), asdict(manifest))
        return manifest

    def find(self, step: str, key: str) -> Manifest | None:
        """Return the manifest of this step and key, None if it was never made complete."""
        path = self._path(step, key)
        return _read(path) if path.is_file() else None

    def newest(self, step: str) -> Manifest | None:
        """Return the manifest of this step that was committed last."""
        manifests = [_read(path) for path in self.folder.glob(f"{step}-*.json")]
        return max(filter(None, manifests), key=lambda manifest: manifest.finished, default=None)

    def files_of(self, keys: Iterable[str]) -> list[Path]:
        """Return the manifests' files of these keys, whatever their step."""
        return [path for key in keys for path in self.folder.glob(f"*-{key[:16]}.json")]

    def _path(self, step: str, key: str) -> Path:
        return self.folder / f"{step}-{key[:16]}.json"


def publish(source: Path, target: Path) -> None:
    """Write the content of `source` to `target`, atomically, unless it stands there."""
    content = source.read_text(encoding="utf-8")
    if not target.is_file() or target.read_text(encoding="utf-8") != content:
        write_text(target, content)


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest(**read_json(path))
    except (StateCorrupt, TypeError) as error:
        logger.warning("Manifest %s is unreadable, its step is redone: %s", path, error)
        return None
