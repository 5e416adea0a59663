"""Settings of the policies that learn from a log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent_market.rl.policies.policy import PolicySettings


class OfflineSettings(PolicySettings):
    """What behavior cloning, CQL and BCQ have in common.

    window_candles : 1; put what a policy should remember into the features.
    steps, batch_size : so many gradient steps, each from so many rows.
    hidden_size : of the two hidden layers.
    learning_rate : of Adam.
    discount : of a candle later; 0.9 looks about ten candles ahead.
    target_update_steps : steps between two copies to the target net.
    conservatism : weight of CQL's penalty, alpha in the paper.
    least_likeliness : BCQ takes no action less likely in the log than the likeliest times this.
    logit_penalty : what the square of a logit of imitation costs.
    valid_share : share of each path's rows, the last ones, that `fit` holds out.
    segment_candles : rows left out before them, and length of the blocks of their t value.
    least_valid_t : after `fit` the policy stays flat for good unless the t value of its net profit
        on those rows is above this.
    threads : of torch.
    """

    window_candles: Literal[1] = 1
    steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=256, ge=2)
    hidden_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    discount: float = Field(default=0.9, ge=0, lt=1)
    target_update_steps: int = Field(default=100, ge=1)
    conservatism: float = Field(default=0.2, ge=0)
    least_likeliness: float = Field(default=0.3, gt=0, lt=1)
    logit_penalty: float = Field(default=1e-3, ge=0)
    valid_share: float = Field(default=0.2, gt=0, lt=1)
    segment_candles: int = Field(default=128, ge=2)
    least_valid_t: float = 2.0
    threads: int = Field(default=1, ge=1)
