"""Training nets that score the next position, whatever the objective.

Imports torch; import it where it is used. What a choice depends on, the position held enters only
through what a change costs: prices are exogenous, so the best choice is
argmax_q Q(features, q) - cost(held, q). A net gives Q, one score a position, and a small matrix
`switching`, learned with it, stands for the costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_market.errors import ConfigError
from agent_market.learning.adapters.torch_nets import build, initialize
from agent_market.rl.paths import Floats
from agent_market.rl.policies.ground import Ground, Rows, Span
from agent_market.rl.policies.looks import BOTH, Looks, judge_halves
from agent_market.rl.policies.problem import Choices
from agent_market.rl.policies.recipe import Recipe
from agent_market.rl.policies.recursion import Float32, expected_profit

BLOCK = 64  # windows scored at a time where decisions are made
PROBES = 8


@dataclass(frozen=True)
class Lesson:
    """What is learned and how it is judged.

    loss : of scores (n_segments, length, n_positions), the switching matrix and the rows
        (n_segments, length); lower is better.
    judge : of a validation span and its choices (n_rows, n_positions); higher is better.
    """

    loss: Callable[[Tensor, Tensor, Rows], Tensor]
    judge: Callable[[Span, Choices], float]


class Scorer(nn.Module):
    """A net of scores and the matrix that is added for the position held."""

    def __init__(self, net: nn.Module, switching: Tensor) -> None:
        super().__init__()
        self.net, self.switching = net, nn.Parameter(switching)
        self._block = 0

    def forward(self, windows: Tensor) -> Tensor:
        """Return the scores of (n, window, n_columns), (n, n_positions)."""
        return torch.as_tensor(self.net(windows))

    def exact_block(self, window: int, n_columns: int) -> int:
        """Return how many windows are scored at a time: 64, or 1 where 64 would not be exact.

        A row must be scored to the same byte wherever it stands in a block, or a live bot could
        take another position than its backtest. Libraries of matrix products do not promise that,
        so it is tried, once the training is over.
        """
        if not self._block:
            generator = torch.Generator().manual_seed(0)
            probes = torch.randn((PROBES, window, n_columns), generator=generator)
            self._block = BLOCK if all(map(self._is_exact, probes)) else 1
        return self._block

    def _is_exact(self, probe: Tensor) -> bool:
        with torch.inference_mode():
            scores = self(probe.expand(BLOCK, -1, -1).contiguous())
        return bool(torch.equal(scores, scores[:1].expand_as(scores)))


@dataclass
class Record:
    """What happened in a training: the loss of each epoch, and looks at the validation rows."""

    looks: Looks = field(default_factory=Looks)
    losses: list[float] = field(default_factory=list)


def build_scorer(recipe: Recipe, n_columns: int, positions: Floats, seed: int) -> Scorer:
    """Return a scorer with first values, drawn from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    architecture = recipe.architecture(n_columns, len(positions))
    net = build(architecture, generator)
    initialize(net, generator)
    reluctance = -recipe.first_reluctance * np.abs(positions[:, None] - positions[None, :])
    return Scorer(net, torch.from_numpy(reluctance.astype(np.float32)))


def train(
    ground: Ground, columns: Tensor, lesson: Lesson, recipe: Recipe, seed: int
) -> tuple[Scorer, Record]:
    """Return the scorer of the epoch that the lesson's judge likes best on the validation rows.

    Parameters
    ----------
    ground : Ground
    columns : Tensor, float32, (n_rows, n_columns)
        What the net sees of each row.
    lesson : Lesson
    recipe : Recipe
    seed : int
    """
    scorer = build_scorer(recipe, columns.shape[1], ground.whole.positions, seed)
    rng, record = np.random.default_rng(seed), Record()
    optimizer = torch.optim.AdamW(
        scorer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    looks = record.looks
    for epoch in range(recipe.max_epochs):
        record.losses.append(_epoch(scorer, optimizer, ground, columns, lesson, recipe, rng))
        judgments = _judge(scorer, ground, columns, lesson, recipe.window_candles)
        looks.add(*judgments, scorer.state_dict())
        if recipe.patience and epoch - looks.best >= recipe.patience:
            break
    scorer.load_state_dict(looks.values(BOTH))
    scorer.eval()
    return scorer, record


def _epoch(
    scorer: Scorer,
    optimizer: torch.optim.Optimizer,
    ground: Ground,
    columns: Tensor,
    lesson: Lesson,
    recipe: Recipe,
    rng: np.random.Generator,
) -> float:
    scorer.train()
    segments = ground.segments(recipe.segment_candles, rng)
    losses = []
    for first in range(0, len(segments), recipe.batch_segments):
        rows = segments[first : first + recipe.batch_segments]
        optimizer.zero_grad()
        windows = gather(columns, rows.ravel(), recipe.window_candles)
        scores = scorer(windows).view(*rows.shape, -1)
        loss = lesson.loss(scores, scorer.switching, rows)
        loss.backward()
        nn.utils.clip_grad_norm_(scorer.parameters(), recipe.gradient_clip)
        optimizer.step()
        losses.append(loss.item())
    mean = float(np.mean(losses))
    if not np.isfinite(mean):
        raise ConfigError(
            f"policy: the loss is {mean}: the training ran away. Lower learning_rate (now "
            f"{recipe.learning_rate:g})."
        )
    return mean


def _judge(
    scorer: Scorer, ground: Ground, columns: Tensor, lesson: Lesson, window: int
) -> tuple[float, float]:
    """Return the judgment of each half of the validation rows, summed over paths."""
    scorer.eval()

    def judge(span: Span) -> float:
        with torch.inference_mode():
            scores = scorer(gather(columns, np.arange(span.start, span.stop), window)).numpy()
        return lesson.judge(span, choose(scores, scorer.switching.detach().numpy()))

    return judge_halves(ground, judge)


def choose(scores: Float32, switching: Float32) -> Choices:
    """Return the highest scored position of each row and position held, (n_rows, n_positions).

    What is held is kept if nothing scores higher.
    """
    logits = scores[:, None, :] + switching
    chosen = logits.argmax(axis=2)
    held = np.arange(logits.shape[1])
    kept = logits[:, held, held] >= logits.max(axis=2)
    return np.where(kept, held, chosen)


def gather(columns: Tensor, ends: Rows, window: int) -> Tensor:
    """Return the windows that end at some rows, (n, window, n_columns)."""
    rows = torch.from_numpy(ends)[:, None] + torch.arange(1 - window, 1)
    return columns.index_select(0, rows.flatten()).view(len(ends), window, -1)


def score(scorer: Scorer, columns: Float32, window: int) -> Float32:
    """Return the scores of rows window - 1 and later, (n_rows - window + 1, n_positions).

    Windows are scored in blocks of one size, the last filled up, so that every row is computed by
    the same instructions whether it comes alone or in a batch.
    """
    block = scorer.exact_block(window, columns.shape[1])
    known = torch.from_numpy(columns)
    ends = np.arange(window - 1, len(columns))
    found = []
    with torch.inference_mode():
        for first in range(0, len(ends), block):
            chunk = ends[first : first + block]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], block - len(chunk))])
            found.append(scorer(gather(known, filled, window))[: len(chunk)])
    return np.asarray(torch.cat(found).numpy())


def rebuild(recipe: Recipe, n_columns: int, positions: Floats, values: dict[str, Any]) -> Scorer:
    """Return the scorer of saved values."""
    scorer = build_scorer(recipe, n_columns, positions, seed=0)
    scorer.load_state_dict(values)
    scorer.eval()
    return scorer


class _Expected(torch.autograd.Function):
    """Hands the gradient of the recursion to torch, which does the net alone."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, switching: Tensor, gains: Floats, costs: Floats, entropy: float
    ) -> Tensor:
        matrix = switching.detach().numpy().astype(np.float64)
        profit, bonus, by_scores, by_switching = expected_profit(
            scores.detach().numpy(), matrix, gains, costs, entropy
        )
        ctx.save_for_backward(
            torch.from_numpy(by_scores), torch.from_numpy(by_switching.astype(np.float32))
        )
        return scores.new_tensor(profit + bonus)

    @staticmethod
    def backward(ctx: Any, *by_result: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        by_scores, by_switching = ctx.saved_tensors
        return by_result[0] * by_scores, by_result[0] * by_switching, None, None, None


def expected_loss(
    scores: Tensor, switching: Tensor, gains: Floats, costs: Floats, entropy: float
) -> Tensor:
    """Return the negative of expected profit a row plus entropy bonus; see `recursion`."""
    return -torch.as_tensor(_Expected.apply(scores, switching, gains, costs, entropy))


def imitation_loss(scores: Tensor, switching: Tensor, targets: Choices, weights: Float32) -> Tensor:
    """Return the weighted cross entropy to a teacher.

    Parameters
    ----------
    scores : Tensor, (n_segments, length, n_positions)
    switching : Tensor, (n_positions, n_positions)
    targets, weights : array, (n_segments, length, n_positions)
        What the teacher takes when a position is held, and how much that counts.
    """
    logits = (scores[:, :, None, :] + switching).flatten(0, 2)
    losses = nn.functional.cross_entropy(
        logits, torch.from_numpy(targets).flatten(), reduction="none"
    )
    counts = torch.from_numpy(weights).flatten()
    return (losses * counts).sum() / counts.sum()
