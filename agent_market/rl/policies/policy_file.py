"""One file a policy: a zip archive with its settings as JSON and its values as tensors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_market.errors import ModelUnavailable
from agent_market.learning.adapters.model_file import DAMAGE, add_member, corrupt
from agent_market.store import write_with

HEADER, VALUES = "header.json", "values.pt"


class PolicyHeader(BaseModel):
    """What a policy file says about its policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    policy: str
    settings: dict[str, Any]
    n_features: int
    stays_flat: bool


def write_policy(path: Path, header: PolicyHeader, payload: bytes) -> None:
    """Write header and values atomically; equal content gives equal bytes."""

    def write(temporary: Path) -> None:
        text = header.model_dump_json(by_alias=True, indent=2)
        with zipfile.ZipFile(temporary, "w") as archive:
            add_member(archive, HEADER, text.encode())
            add_member(archive, VALUES, payload)

    write_with(path, write)


def read_policy(path: Path) -> tuple[PolicyHeader, bytes]:
    """Return the header and the values.

    Raises
    ------
    ModelUnavailable
        There is no such file.
    StateCorrupt
        The file was cut, damaged, or is not a policy file.
    """
    if not path.is_file():
        raise ModelUnavailable(f"{path}: there is no policy file. Train the policy, then load it.")
    try:
        with zipfile.ZipFile(path) as archive:
            header = PolicyHeader.model_validate_json(archive.read(HEADER))
            return header, archive.read(VALUES)
    except (*DAMAGE, ValidationError) as error:
        raise corrupt(path, error) from error
