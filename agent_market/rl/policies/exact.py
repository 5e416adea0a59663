"""The exact policy: gradient ascent on the expected profit itself, with no sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from agent_market.rl.policies.ground import Ground, Rows
from agent_market.rl.policies.net_policy import NetPolicy
from agent_market.rl.policies.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from agent_market.rl.policies.training import Lesson


class ExactSettings(Recipe):
    """Settings of the exact policy.

    entropy : reward a row for each nat of the policy's entropy, in standard deviations of a
        candle's return; it keeps the policy from settling on what noise made good.
    turnover : share by which costs are overstated in training.
    risk_aversion : what a row's squared gain costs, in the same unit: maximizes mean less
        `risk_aversion` / 2 times second moment.
    """

    entropy: float = Field(default=0.02, ge=0)
    turnover: float = Field(default=0.0, ge=0)
    risk_aversion: float = Field(default=0.0, ge=0)


class ExactPolicy(NetPolicy):
    """Maximizes expected net profit, differentiated through the positions' distribution.

    Prices do not react to our trades, so one pass over a known path gives the expected profit of a
    stochastic policy and its gradient exactly (see `recursion`), where reinforcement learning in
    general must sample. Decisions take the likeliest next position.
    """

    name = "exact"
    settings_type: ClassVar[type[ExactSettings]] = ExactSettings
    settings: ExactSettings

    def lesson(self, ground: Ground) -> Lesson:
        """Return expected net profit a row plus entropy bonus, judged by greedy net profit."""
        from agent_market.rl.policies.training import Lesson, expected_loss

        settings = self.settings
        gains = ground.whole.gains / ground.unit
        gains -= settings.risk_aversion / 2 * gains**2
        costs = ground.whole.costs / ground.unit * (1 + settings.turnover)

        def loss(scores: Tensor, switching: Tensor, rows: Rows) -> Tensor:
            return expected_loss(scores, switching, gains[rows], costs, settings.entropy)

        return Lesson(loss, lambda span, choices: float(ground.earned(span, choices).sum()))
