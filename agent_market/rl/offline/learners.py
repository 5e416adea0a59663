"""Learning by d3rlpy's discrete algorithms, batch by batch, and taking the nets out.

Imports torch and d3rlpy (10 seconds); import it where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import d3rlpy
import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.dataset import TransitionMiniBatch

from agent_market.errors import ConfigError
from agent_market.learning.adapters.torch_training import torch_threads
from agent_market.rl.offline.buffer import Float32, Integers
from agent_market.rl.offline.nets import Layers
from agent_market.rl.offline.settings import OfflineSettings


@dataclass(frozen=True)
class LoggedInputs:
    """A buffer as the nets see it.

    inputs : (n_rows, n_inputs). action : (n_rows,). reward : (n_rows,), in standard deviations.
    next_row : row that follows, -1 where nothing can. rows : those that may be drawn.
    """

    inputs: Float32
    action: Integers
    reward: Float32
    next_row: Integers
    rows: Integers


def train(
    algorithm: str, settings: OfflineSettings, logged: LoggedInputs, n_actions: int, seed: int
) -> dict[str, Layers]:
    """Return the layers (weight, bias) of the nets that an algorithm learned, by role.

    Parameters
    ----------
    algorithm : str
        `bc`, `cql` or `bcq`.
    settings : OfflineSettings
    logged : LoggedInputs
    n_actions : int
    seed : int
        Of first values and batches; one seed gives one net on one thread. torch's own generator is
        left as it was.

    Returns
    -------
    dict of str to list
        `value` (Q) for CQL, `imitation` (logits) for BC, both for BCQ.

    Raises
    ------
    ConfigError
        The loss is no longer finite.
    """
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), torch_threads(settings.threads):
        torch.manual_seed(seed)
        algo = _config(algorithm, settings).create(device=False)
        algo.create_impl((logged.inputs.shape[1],), n_actions)
        for step in range(settings.steps):
            losses = algo.update(_batch(logged, rng.choice(logged.rows, settings.batch_size)))
            if not np.isfinite(losses["loss"]):
                raise ConfigError(
                    f"policy {algorithm}: the loss is {losses['loss']} in step {step + 1}: the "
                    f"training ran away. Lower learning_rate (now {settings.learning_rate:g})."
                )
    return _nets(algo)


def _config(algorithm: str, settings: OfflineSettings) -> Any:
    common = {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "encoder_factory": d3rlpy.models.VectorEncoderFactory([settings.hidden_size] * 2),
    }
    if algorithm == "bc":
        return d3rlpy.algos.DiscreteBCConfig(**common, beta=settings.logit_penalty)
    common |= {
        "gamma": settings.discount,
        "target_update_interval": settings.target_update_steps,
    }
    if algorithm == "cql":
        return d3rlpy.algos.DiscreteCQLConfig(**common, alpha=settings.conservatism)
    return d3rlpy.algos.DiscreteBCQConfig(
        **common, beta=settings.logit_penalty, action_flexibility=settings.least_likeliness
    )


def _batch(logged: LoggedInputs, rows: Integers) -> TransitionMiniBatch:
    following = logged.next_row[rows]

    def column(values: npt.NDArray[Any]) -> Float32:
        return values.astype(np.float32)[:, None]

    return TransitionMiniBatch(
        observations=logged.inputs[rows],
        actions=column(logged.action[rows]),
        rewards=column(logged.reward[rows]),
        # what follows the end is multiplied by 0
        next_observations=logged.inputs[following],
        next_actions=column(logged.action[following]),
        terminals=column(following < 0),
        intervals=np.ones((len(rows), 1), np.float32),
        transitions=[],
    )


def _nets(algo: Any) -> dict[str, Layers]:
    modules = algo.impl.modules
    found = {}
    if hasattr(modules, "q_funcs"):
        found["value"] = _layers(modules.q_funcs[0])
    if hasattr(modules, "imitator"):
        found["imitation"] = _layers(modules.imitator)
    return found


def _layers(net: torch.nn.Module) -> Layers:
    """Return weights and biases in the order of computation: the encoder's, then the head's."""
    return [
        (module.weight.detach().clone(), module.bias.detach().clone())
        for module in net.modules()
        if isinstance(module, torch.nn.Linear)
    ]
