"""The small nets that offline policies keep, without d3rlpy. Imports torch."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_market.learning.adapters.torch_scaling import Scaling
from agent_market.learning.adapters.torch_training import torch_threads
from agent_market.rl.offline.buffer import Float32
from agent_market.rl.policies import training

Layers = list[tuple[Tensor, Tensor]]


class HeldNet(training.Scorer):
    """What a policy likes to hold next, for every position that may be held now.

    Parameters
    ----------
    layers : dict of str to list of (weight, bias)
        `value` (Q), `imitation` (logits) or both, each a perceptron with ReLU between its layers.
    n_positions : int
    least_likeliness : float
        With both nets: an action less likely than the likeliest times this is not taken.
    """

    def __init__(
        self, layers: dict[str, Layers], n_positions: int, least_likeliness: float
    ) -> None:
        nets = nn.ModuleDict({role: _perceptron(each) for role, each in layers.items()})
        super().__init__(nets, torch.zeros(n_positions, n_positions))
        self._nets = nets
        self.n_positions = n_positions
        self._held = torch.eye(n_positions)
        self._least = math.log(least_likeliness)

    def forward(self, windows: Tensor) -> Tensor:
        """Return preferences, (n, held * next), of (n, 1, n_columns)."""
        n_rows = len(windows)
        columns = windows[:, 0].repeat_interleave(self.n_positions, dim=0)
        inputs = torch.cat([columns, self._held.repeat(n_rows, 1)], dim=1)
        found = {role: net(inputs) for role, net in self._nets.items()}
        liked = found["value"] if "value" in found else found["imitation"]
        if len(found) == 2:
            chances = torch.log_softmax(found["imitation"], dim=1)
            rare = chances - chances.max(dim=1, keepdim=True).values <= self._least
            liked = liked.masked_fill(rare, -torch.inf)
        return liked.reshape(n_rows, -1)


def preferences(net: HeldNet, columns: Float32, threads: int) -> Float32:
    """Return what is liked on each row, (n_rows, held, next); a row alone gives the same bytes."""
    shape = (len(columns), net.n_positions, net.n_positions)
    if not len(columns):
        return np.zeros(shape, np.float32)
    with torch_threads(threads):
        liked = training.score(net, columns, 1)
    return liked.reshape(shape)


def state_dict(scaling: Scaling, layers: dict[str, Layers]) -> dict[str, Any]:
    """Return scaling and layers as tensors by name."""
    scales = {name: torch.from_numpy(values) for name, values in asdict(scaling).items()}
    return {"scaling": scales, "layers": {role: list(net) for role, net in layers.items()}}


def from_state_dict(content: dict[str, Any]) -> tuple[Scaling, dict[str, Layers]]:
    """Return what `state_dict` took."""
    scales = {field.name: content["scaling"][field.name].numpy() for field in fields(Scaling)}
    return Scaling(**scales), content["layers"]


def _perceptron(layers: Layers) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])
