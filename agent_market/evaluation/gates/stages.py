"""The stages of a release, and what their limits say about figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from agent_market.evaluation.gates.figures import Figures
from agent_market.settings import ReleaseSettings, StageLimits

Stage = Literal["paper", "small_paper", "live_hints", "small_live"]

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Check:
    """One figure against one limit.

    is_met : False also where the figure is NaN.
    """

    name: str
    found: float
    limit: float
    is_met: bool

    def __str__(self) -> str:
        least = "at most" if self.name in _AT_MOST else "at least"
        return f"{self.name}: {self.found:.4g}, wanted {least} {self.limit:.4g}"


@dataclass(frozen=True)
class Verdict:
    """What the limits say.

    checks : every one of them.
    broken : why the stage must be left, empty where it need not.
    """

    checks: tuple[Check, ...]
    broken: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """What the next stage still wants."""
        return tuple(str(check) for check in self.checks if not check.is_met)

    @property
    def is_passed(self) -> bool:
        """Whether the next stage may begin."""
        return not self.missing and not self.broken


_AT_MOST = ("max drawdown", "cost share")
_JUDGED_LATER = ("hit rate", "cost share")


def limits_of(settings: ReleaseSettings, stage: Stage) -> StageLimits:
    """Return the limits that the configuration gives a stage."""
    limits: StageLimits = getattr(settings, stage)
    return limits


def next_stage(stage: Stage) -> Stage | None:
    """Return the stage after one; None after the last."""
    number = STAGES.index(stage) + 1
    return STAGES[number] if number < len(STAGES) else None


def stage_before(stage: Stage) -> Stage:
    """Return the stage before one; the first one's is itself: it begins anew."""
    return STAGES[max(0, STAGES.index(stage) - 1)]


def judge(figures: Figures, limits: StageLimits) -> Verdict:
    """Return what is missing, and what is broken.

    The drawdown breaks at any time, also where it is NaN. Hit rate and cost share break, and a
    Sharpe ratio whose whole interval is below `min_sharpe`, once the stage has had its trades and
    its days: before, chance alone would.
    """
    checks = (
        _at_least("trades", figures.trades, limits.min_trades),
        _at_least("days", figures.days, limits.min_days),
        _at_most("max drawdown", figures.max_drawdown, limits.max_drawdown),
        _at_least("Sharpe ratio", figures.sharpe, limits.min_sharpe),
        _at_least("Sharpe ratio's lower end", figures.sharpe_interval.low, limits.min_sharpe_low),
        _at_least("hit rate", figures.hit_rate, limits.min_hit_rate),
        _at_most("cost share", figures.cost_share, limits.max_cost_share),
    )
    return Verdict(checks, tuple(_broken(checks, figures, limits)))


def loosened(before: StageLimits, now: StageLimits) -> tuple[str, ...]:
    """Return the limits that are easier to meet than they were."""
    found = []
    for key in StageLimits.model_fields:
        old, new = getattr(before, key), getattr(now, key)
        if new > old if key.startswith("max_") else new < old:
            found.append(f"{key} from {old:g} to {new:g}")
    return tuple(found)


def _broken(checks: tuple[Check, ...], figures: Figures, limits: StageLimits) -> Iterator[str]:
    trades, days, *others = checks
    has_evidence = trades.is_met and days.is_met
    for check in others:
        is_judged = check.name == "max drawdown" or (has_evidence and check.name in _JUDGED_LATER)
        if is_judged and not check.is_met:
            yield str(check)
    high = figures.sharpe_interval.high
    if has_evidence and high < limits.min_sharpe:
        yield f"Sharpe ratio's upper end: {high:.4g}, wanted at least {limits.min_sharpe:.4g}"


def _at_least(name: str, found: float, limit: float) -> Check:
    return Check(name, found, limit, math.isfinite(found) and found >= limit)


def _at_most(name: str, found: float, limit: float) -> Check:
    return Check(name, found, limit, math.isfinite(found) and found <= limit)
