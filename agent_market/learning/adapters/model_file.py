"""One file a model: a zip archive with a header and the library's own format.

`unzip -p FILE model.txt` takes the native model out. The archive's directory stands at its end, so
a file that was cut anywhere is no archive, and every member carries a checksum.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_market.errors import ModelUnavailable, StateCorrupt
from agent_market.store import write_with

HEADER = "header.json"
# what a damaged archive may raise while it is read
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    OSError,
    NotImplementedError,
    RuntimeError,
)


class ModelHeader(BaseModel):
    """What a model file says about its model."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    adapter: str
    params: dict[str, Any]
    n_features: int
    feature_names: tuple[str, ...]
    label_shape: tuple[int, ...]
    classes: list[bool | int | float | str] | None

    @model_validator(mode="after")
    def _count_features(self) -> ModelHeader:
        if self.n_features != len(self.feature_names):
            raise ValueError(f"{self.n_features} features, {len(self.feature_names)} names")
        return self


def write_model(path: Path, header: ModelHeader, payload: bytes, suffix: str) -> None:
    """Write header and native model atomically; equal content gives equal bytes."""

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            add_member(archive, HEADER, header.model_dump_json(by_alias=True, indent=2).encode())
            add_member(archive, f"model.{suffix}", payload)

    write_with(path, write)


def read_model(path: Path) -> tuple[ModelHeader, bytes]:
    """Return the header and the native model.

    Raises
    ------
    ModelUnavailable
        There is no such file.
    StateCorrupt
        The file was cut, damaged, or is not a model file.
    """
    if not path.is_file():
        raise ModelUnavailable(f"{path}: there is no model file. Train the model, then load it.")
    try:
        with zipfile.ZipFile(path) as archive:
            header = ModelHeader.model_validate_json(archive.read(HEADER))
            native = [name for name in archive.namelist() if name != HEADER]
            payload = archive.read(native[0])
    except (*DAMAGE, ValidationError) as error:
        raise corrupt(path, error) from error
    return header, payload


def corrupt(path: Path, error: Exception) -> StateCorrupt:
    """Return the error for a model file that does not read back."""
    return StateCorrupt(
        f"{path} is not a complete model file ({type(error).__name__}: {error}; "
        f"{path.stat().st_size:,} bytes). Load the previous generation, or train again."
    )


def add_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Write a member; equal content gives equal bytes."""
    member = zipfile.ZipInfo(name)  # its date is 1980-01-01: no time stamp in the bytes
    archive.writestr(member, content, zipfile.ZIP_DEFLATED)
