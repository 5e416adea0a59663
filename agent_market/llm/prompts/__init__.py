"""The prompts, one a file; `$name` is filled in."""

from __future__ import annotations

from importlib.resources import files
from string import Template


def fill_prompt(name: str, **values: object) -> str:
    """Return the prompt of the file `<name>.txt` with every `$name` filled in."""
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values).strip()
