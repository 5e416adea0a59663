"""A release on its way through the stages: where it is, what it needs, onwards and back.

The newest complete record of the ledger is the state. A record is complete or does not count, so a
process killed at any byte leaves the release in the old stage or in the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agent_market.errors import ConfigError, GateRejected
from agent_market.evaluation.gates.figures import Evidence, Figures, measure
from agent_market.evaluation.gates.stages import (
    Stage,
    Verdict,
    judge,
    limits_of,
    loosened,
    next_stage,
    stage_before,
)
from agent_market.evaluation.summary import plain_values
from agent_market.settings import ReleaseSettings, StageLimits

Step = Literal["start", "promote", "roll back"]


class StageState(BaseModel):
    """The stage that a release is in.

    since : its trades count from then on.
    limits : as the configuration had them when it began.
    seed : of the bootstrap, kept too: with another one an interval may just pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    since: AwareDatetime
    limits: StageLimits
    seed: int


class Ledger(Protocol):
    """Where states are recorded; `agent_market.flow.release` keeps them in the audit trail."""

    def newest(self) -> StageState | None:
        """Return the state of the newest complete record."""

    def attempts(self, stage: Stage) -> int:
        """Return how often a stage was begun."""

    def record(
        self,
        step: Step,
        before: StageState | None,
        after: StageState,
        *,
        who: str,
        why: str,
        figures: dict[str, Any] | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Make a record, and complete it once `first` has been done.

        Raises
        ------
        GateRejected
            The newest state is no longer `before`.
        """


@dataclass(frozen=True)
class Assessment:
    """How a stage stands.

    loosened : limits that the configuration has made easier since the stage began.
    """

    state: StageState
    figures: Figures
    verdict: Verdict
    loosened: tuple[str, ...]


def current(ledger: Ledger) -> StageState:
    """Return the state of a release that has begun."""
    state = ledger.newest()
    if state is None:
        raise ConfigError("no release has begun. Write down agent_market.release, then `start`.")
    return state


def start(
    ledger: Ledger, settings: ReleaseSettings, now: datetime, *, who: str, why: str
) -> StageState:
    """Begin the first stage with the limits of the configuration, also anew."""
    before = ledger.newest()
    after = _begun("paper", settings, now)
    ledger.record("start", before, after, who=who, why=why)
    return after


def assess(
    state: StageState, settings: ReleaseSettings, evidence: Evidence, now: datetime
) -> Assessment:
    """Return how the stage stands, by the limits it began with.

    A limit that the configuration has tightened since holds as it is there.

    Raises
    ------
    ConfigError
        The evidence is a backtest, and the stage is not the first or began after it was run.
    """
    configured = limits_of(settings, state.stage)
    start_at, end_at = _time_of(state, evidence, now)
    figures = measure(evidence, start_at, end_at, state.seed)
    verdict = judge(figures, _strictest(state.limits, configured))
    return Assessment(state, figures, verdict, loosened(state.limits, configured))


def promote(
    ledger: Ledger,
    settings: ReleaseSettings,
    found: Assessment,
    now: datetime,
    *,
    who: str,
    why: str,
) -> StageState:
    """Begin the next stage.

    Raises
    ------
    GateRejected
        A figure is missing, a limit is broken or was loosened, this is the last stage, or another
        process has changed the stage meanwhile.
    """
    after = require_promotable(found)
    state = _begun(after, settings, now)
    ledger.record("promote", found.state, state, who=who, why=why, figures=_plain(found.figures))
    return state


def require_promotable(found: Assessment) -> Stage:
    """Return the stage that would be next; GateRejected where none may."""
    following = next_stage(found.state.stage)
    if following is None:
        raise GateRejected(
            f"{found.state.stage} is the last stage: there is nothing to promote to."
        )
    if found.loosened:
        raise GateRejected(
            f"agent_market.release.{found.state.stage} was loosened since the stage began: "
            f"{'; '.join(found.loosened)}. Put it back, or `start` anew with it."
        )
    if not found.verdict.is_passed:
        reasons = dict.fromkeys([*found.verdict.broken, *found.verdict.missing])
        raise GateRejected(f"{found.state.stage} is not passed: {'; '.join(reasons)}.")
    return following


def roll_back(
    ledger: Ledger,
    settings: ReleaseSettings,
    found: Assessment,
    now: datetime,
    *,
    who: str,
    halt: Callable[[str], None],
) -> StageState | None:
    """Go back one stage if a limit is broken; None where none is.

    Parameters
    ----------
    halt : callable
        Stops the bot's entries, with the reason; called before the record is complete, so that a
        process killed between the two has stopped the bot and rolls back when it runs again.
    """
    if not found.verdict.broken:
        return None
    why = "; ".join(found.verdict.broken)
    after = _begun(stage_before(found.state.stage), settings, now)
    ledger.record(
        "roll back",
        found.state,
        after,
        who=who,
        why=why,
        figures=_plain(found.figures),
        first=lambda: halt(f"{found.state.stage}: {why}"),
    )
    return after


def _begun(stage: Stage, settings: ReleaseSettings, now: datetime) -> StageState:
    limits = limits_of(settings, stage)
    return StageState(stage=stage, since=now, limits=limits, seed=settings.seed)


def _time_of(state: StageState, evidence: Evidence, now: datetime) -> tuple[datetime, datetime]:
    if evidence.ran_at is None:
        return state.since, now
    if state.stage != "paper":
        raise ConfigError(
            f"{evidence.source} is a backtest; {state.stage} is judged on a bot's trades. Give the "
            "database of the bot."
        )
    if evidence.ran_at < state.since:
        raise ConfigError(
            f"{evidence.source} was run at {evidence.ran_at.isoformat()}, before the limits were "
            f"written down at {state.since.isoformat()}. Run it again."
        )
    return evidence.start, evidence.end


def _strictest(kept: StageLimits, configured: StageLimits) -> StageLimits:
    return StageLimits(
        **{
            key: (min if key.startswith("max_") else max)(
                getattr(kept, key), getattr(configured, key)
            )
            for key in StageLimits.model_fields
        }
    )


def _plain(figures: Figures) -> dict[str, Any]:
    plain: dict[str, Any] = plain_values(asdict(figures))
    return plain
