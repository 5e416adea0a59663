"""Training a net on windows that are gathered batch by batch, and asking it.

Imports torch; nothing but the adapters' own methods may import this module.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_market.errors import ConfigError
from agent_market.learning.adapters.contract import Part
from agent_market.learning.adapters.inputs import Features, FloatArray
from agent_market.learning.adapters.parameters import KEY
from agent_market.learning.adapters.torch_nets import build, initialize
from agent_market.learning.adapters.torch_scaling import Scaling

BLOCK = 64  # windows predicted at a time
SAMPLE = 512  # windows that importance is measured on
PROBES = 8


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; see `torch_models` for the fields."""

    learning_rate: float
    weight_decay: float
    gradient_clip: float
    batch_size: int
    max_epochs: int
    early_stopping_rounds: int
    threads: int
    device: str
    seed: int
    classifies: bool
    adapter: str


@dataclass(frozen=True)
class TrainedNet:
    """A net in evaluation mode and what it learned about its inputs.

    architecture : the arguments of `build`. importance : of each feature, (n_features,).
    """

    architecture: dict[str, Any]
    scaling: Scaling
    importance: FloatArray
    net: nn.Module

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the file does: values and plain settings, no module, on the CPU."""
        return parse, (dump(self), "cpu")

    @cached_property
    def block(self) -> int:
        """How many windows are predicted at a time: 64, or 1 where 64 would not be exact.

        A row must give the same bytes wherever it stands in a block. Libraries of matrix products
        do not promise that (they may end a block by other instructions), so it is tried with random
        windows in all places; a block of one window has but one place.
        """
        shape = (PROBES, self.architecture["window"], self.architecture["n_columns"])
        probes = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for window in probes.to(device_of(self.net)):
            outputs = self.net(window.expand(BLOCK, -1, -1).contiguous())
            if not torch.equal(outputs, outputs[:1].expand_as(outputs)):
                return 1
        return BLOCK


def train(
    part: Part,
    valid: Part | None,
    architecture: dict[str, Any],
    scaling: Scaling,
    recipe: Recipe,
    start: nn.Module | None,
) -> TrainedNet:
    """Return the net of the epoch with the best validation loss, or of the last without `valid`.

    Parameters
    ----------
    start : Module, optional
        Values to go on from, which are left as they are. They then count as an epoch of their own:
        where no later epoch is better in validation, they are what is returned.

    Notes
    -----
    Randomness comes from a generator of the fit alone. On the CPU nothing else is needed for one
    seed to give one model; on a GPU, torch is asked for deterministic algorithms during the fit.

    Raises
    ------
    ConfigError
        The loss is no longer finite.
    """
    generator = torch.Generator(device=recipe.device).manual_seed(recipe.seed)
    with _torch_settings(recipe.threads, recipe.device):
        net = build(architecture, generator)
        if start is None:
            initialize(net, generator)
        else:
            net.load_state_dict(start.state_dict())
        window = architecture["window"]
        data = _Windows.of(part, scaling, window, recipe)
        held_out = None if valid is None else _Windows.of(valid, scaling, window, recipe)
        _Training(net, data, held_out, recipe, generator).run(resumed=start is not None)
        net.eval()
        return TrainedNet(architecture, scaling, _importance(net, data, scaling), net)


def outputs(trained: TrainedNet, X: Features, threads: int) -> Features:
    """Return what the net says of rows window - 1 and later, (n_rows - window + 1, n_outputs).

    Windows are predicted in blocks of one size, the last filled up, so that every row is computed
    by the same instructions whether it comes alone or in a batch.
    """
    window, device = trained.architecture["window"], device_of(trained.net)
    with torch.inference_mode(), torch_threads(threads):
        columns = torch.from_numpy(trained.scaling.columns(X)).to(device)
        ends = torch.arange(window - 1, len(X), device=device)
        found = []
        for chunk in ends.split(trained.block):
            filled = torch.cat([chunk, chunk[-1:].expand(trained.block - len(chunk))])
            found.append(trained.net(_gather(columns, filled, window))[: len(chunk)])
        return np.asarray(torch.cat(found).cpu().numpy())


def dump(trained: TrainedNet) -> bytes:
    """Return settings and values in torch's format, which `torch.load(weights_only=True)` reads."""
    target = io.BytesIO()
    content = {
        "architecture": trained.architecture,
        "scaling": {name: torch.from_numpy(v) for name, v in asdict(trained.scaling).items()},
        "importance": torch.from_numpy(trained.importance),
        "values": {name: v.cpu() for name, v in trained.net.state_dict().items()},
    }
    torch.save(content, target)
    return target.getvalue()


def parse(payload: bytes, device: str) -> TrainedNet:
    """Return the net that `dump` wrote."""
    content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    scaling = Scaling(
        **{field.name: content["scaling"][field.name].numpy() for field in fields(Scaling)}
    )
    net = build(content["architecture"])
    net.load_state_dict(content["values"])
    net.to(device).eval()
    return TrainedNet(content["architecture"], scaling, content["importance"].numpy(), net)


def device_of(net: nn.Module) -> torch.device:
    """Return where the values of a net are."""
    return next(net.parameters()).device


def best_device() -> str:
    """Return a GPU of this machine, or the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@dataclass(frozen=True)
class _Windows:
    """A part on its device: `columns` of all rows once, windows by the rows that end them.

    columns : (n_rows, n_columns). ends, weight : (n_targets,). labels : (n_targets, n_labels).
    Weights have the mean 1.
    """

    columns: Tensor
    ends: Tensor
    labels: Tensor
    weight: Tensor
    window: int
    classifies: bool

    @classmethod
    def of(cls, part: Part, scaling: Scaling, window: int, recipe: Recipe) -> _Windows:
        weight = np.ones(len(part.y)) if part.weight is None else part.weight
        ends = np.arange(len(part.X)) if part.targets is None else part.targets
        columns, labels = scaling.columns(part.X), scaling.standardized(part.y)
        relative = (weight / weight.mean()).astype(np.float32)
        arrays = (columns, ends, labels, relative)
        columns_, ends_, labels_, weight_ = (
            torch.from_numpy(array).to(recipe.device) for array in arrays
        )
        return cls(columns_, ends_, labels_, weight_, window, recipe.classifies)

    def loss(self, net: nn.Module, chosen: Tensor) -> Tensor:
        """Return the sum of the weighted losses of some targets: squared error or cross entropy."""
        output = net(_gather(self.columns, self.ends[chosen], self.window)).float()
        labels, weight = self.labels[chosen], self.weight[chosen]
        if self.classifies:
            losses = nn.functional.cross_entropy(output, labels[:, 0].long(), reduction="none")
        else:
            losses = ((output - labels) ** 2).mean(dim=1)
        return (losses * weight).sum()


@dataclass
class _Training:
    net: nn.Module
    data: _Windows
    valid: _Windows | None
    recipe: Recipe
    generator: torch.Generator

    def __post_init__(self) -> None:
        recipe = self.recipe
        self._optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        # float16 has too little range for small gradients, bfloat16 has not
        self._mixed = recipe.device.startswith("cuda")
        self._half = torch.bfloat16
        if self._mixed and not torch.cuda.is_bf16_supported():
            self._half = torch.float16
        self._scaler = torch.amp.GradScaler("cuda", enabled=self._half is torch.float16)

    def run(self, *, resumed: bool) -> None:
        """Train `net` in place, up to the epoch from which on patience was in vain."""
        patience = self.recipe.early_stopping_rounds
        valid = self.valid if patience else None
        best, values, waited = np.inf, None, 0
        if valid is not None and resumed:
            best, values = self._score(valid), copy.deepcopy(self.net.state_dict())
        for epoch in range(self.recipe.max_epochs):
            self._epoch(epoch)
            if valid is None:
                continue
            score = self._score(valid)
            waited += 1
            if score < best:
                best, values, waited = score, copy.deepcopy(self.net.state_dict()), 0
            if waited >= patience:
                break
        if values is not None:
            self.net.load_state_dict(values)

    def _epoch(self, epoch: int) -> None:
        self.net.train()
        device = self.data.ends.device
        order = torch.randperm(len(self.data.ends), generator=self.generator, device=device)
        total = torch.zeros((), device=device)
        for chosen in order.split(self.recipe.batch_size):
            self._optimizer.zero_grad()
            with torch.autocast(device.type, dtype=self._half, enabled=self._mixed):
                loss = self.data.loss(self.net, chosen) / len(chosen)
            self._scaler.scale(loss).backward()
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.gradient_clip)
            self._scaler.step(self._optimizer)
            self._scaler.update()
            total += loss.detach()
        if not torch.isfinite(total):
            raise ConfigError(
                f"{self.recipe.adapter}: the loss is {total.item():g} in epoch {epoch + 1}: the "
                f"training ran away. Lower {KEY}.learning_rate (now {self.recipe.learning_rate:g})."
            )

    def _score(self, valid: _Windows) -> float:
        """Return the mean loss of the validation part."""
        self.net.eval()
        rows = torch.arange(len(valid.ends), device=valid.ends.device)
        with torch.inference_mode():
            losses = [valid.loss(self.net, chosen) for chosen in rows.split(self.recipe.batch_size)]
        return float(torch.stack(losses).sum()) / len(rows)


def _importance(net: nn.Module, data: _Windows, scaling: Scaling) -> FloatArray:
    """Return the mean size of gradient times input of each feature, (n_features,).

    Of at most 512 training windows, evenly spaced; the column that says where a feature is missing
    counts with it. Source: Shrikumar et al. (2016), 1605.01713.
    """
    places = np.linspace(0, len(data.ends) - 1, min(SAMPLE, len(data.ends))).astype(np.int64)
    ends = data.ends[torch.from_numpy(places).to(data.ends.device)]
    windows = _gather(data.columns, ends, data.window).requires_grad_()
    with torch.backends.cudnn.flags(enabled=False):  # its recurrent nets have no gradient in eval
        output = net(windows)
        sizes = torch.zeros(windows.shape[2], dtype=torch.float64)
        for label in range(output.shape[1]):
            (slope,) = torch.autograd.grad(output[:, label].sum(), windows, retain_graph=True)
            sizes += (slope * windows).detach().abs().mean(dim=(0, 1)).cpu()
    n_features, masks = len(scaling.center), len(scaling.masked)
    weights = sizes[:n_features].numpy()
    weights[scaling.masked] += sizes[n_features : n_features + masks].numpy()
    return np.asarray(weights)


def _gather(columns: Tensor, ends: Tensor, window: int) -> Tensor:
    """Return the windows that end at some rows, (n, window, n_columns)."""
    rows = ends[:, None] + torch.arange(1 - window, 1, device=ends.device)
    return columns.index_select(0, rows.flatten()).view(len(ends), window, -1)


@contextmanager
def _torch_settings(threads: int, device: str) -> Iterator[None]:
    """Hold torch's settings for a fit: threads, and on a GPU deterministic algorithms.

    The CPU has no other algorithms for these nets, and the switch belongs to the whole process.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch_threads(threads):
        if device == "cpu":
            yield
            return
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warns)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute on so many threads: sums of another split may differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
