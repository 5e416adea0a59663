"""What every step of the flow has: inputs, work, and what it does once its output stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_market.flow.inputs import Inputs
from agent_market.flow.outputs import Manifest
from agent_market.flow.setup import Setup

Upstream = Mapping[str, Manifest]


@dataclass(frozen=True)
class StepOutput:
    """What a step leaves: its files, and the facts that later steps and the user need."""

    files: Sequence[Path]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workplace:
    """Where a step works: the run's folder, and the key its output is made for."""

    folder: Path
    key: str


def _nothing(setup: Setup, manifest: Manifest) -> None:
    """Do nothing once the output stands."""


@dataclass(frozen=True)
class Step:
    """One step of the flow.

    Attributes
    ----------
    needs : names of the steps whose outputs it reads.
    inputs : returns what the output depends on; raises what is wrong with it.
    execute : does the work; a second call after a killed one starts afresh.
    publish : called when the output stands, made now or by an earlier run.
    kind : name under which outputs are kept, for steps of several rounds; empty: the step's own.
    place : folder of its files, below that of the run.
    """

    name: str
    needs: tuple[str, ...]
    inputs: Callable[[Setup, Upstream], Inputs]
    execute: Callable[[Setup, Upstream, Workplace], StepOutput]
    publish: Callable[[Setup, Manifest], None] = _nothing
    kind: str = ""
    place: str = ""

    @property
    def kept_as(self) -> str:
        """Name under which its outputs are kept: equal inputs of one kind need one execution."""
        return self.kind or self.name
