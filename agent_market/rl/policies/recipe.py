"""How a net of a policy is built and trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agent_market.rl.policies.policy import PolicySettings


class Recipe(PolicySettings):
    """Settings of every policy that is a net.

    net : `mlp`, or for windows of several candles `lstm` or `tcn`; see `learning.adapters`.
    hidden_size, layers, dropout : of the net; the temporal convolution takes its layers from the
        window.
    learning_rate, weight_decay : of AdamW (Loshchilov and Hutter, 2019, 1711.05101).
    gradient_clip : largest norm of a gradient.
    segment_candles, batch_segments : a step learns from so many segments of so many rows.
    max_epochs, patience : at most so many passes, and so many without a better validation profit;
        a patience of 0 turns early stopping off.
    valid_share : share of each path's rows, the last ones, that decide when to stop.
    members : nets of different seeds, whose scores are averaged.
    first_reluctance : logit that a change of position by 1 costs before anything is learned.
    least_valid_t : the policy stays flat for good unless the t value of its net profit on the
        validation rows is above this; each half of them judges the epoch chosen by the other.
    threads : of torch.
    """

    net: Literal["mlp", "lstm", "tcn"] = "mlp"
    hidden_size: int = Field(default=64, ge=1)
    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.1, ge=0, le=0.95)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    segment_candles: int = Field(default=128, ge=2)
    batch_segments: int = Field(default=16, ge=1)
    max_epochs: int = Field(default=60, ge=1)
    patience: int = Field(default=12, ge=0)
    valid_share: float = Field(default=0.2, gt=0, lt=1)
    members: int = Field(default=3, ge=1)
    first_reluctance: float = Field(default=2.0, ge=0)
    least_valid_t: float = 1.65
    threads: int = Field(default=1, ge=1)

    def architecture(self, n_columns: int, n_outputs: int) -> dict[str, Any]:
        """Return the arguments of `torch_nets.build`."""
        sizes: dict[str, Any] = {"hidden_size": self.hidden_size, "layers": self.layers}
        if self.net == "tcn":
            sizes = {"channels": self.hidden_size, "kernel_size": 2}
        return {
            "kind": self.net,
            "n_columns": n_columns,
            "n_outputs": n_outputs,
            "window": self.window_candles,
            "dropout": self.dropout,
            **sizes,
        }
