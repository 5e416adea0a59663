"""A policy that is an ensemble of nets: training, choices, files. torch is imported when used."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agent_market.learning.adapters.contract import Part
from agent_market.learning.adapters.parameters import library
from agent_market.learning.adapters.torch_scaling import Scaling
from agent_market.rl.paths import Floats, PricePath
from agent_market.rl.policies.ground import Ground, rows_of, t_value
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.policies.looks import earned_unchosen
from agent_market.rl.policies.policy import Features, Policy
from agent_market.rl.policies.problem import Choices, TradingProblem, nearest_index
from agent_market.rl.policies.recipe import Recipe

if TYPE_CHECKING:
    from agent_market.rl.policies.training import Lesson, Record, Scorer


class NetPolicy(Policy):
    """What policies of nets share: only their objective differs.

    After `fit`, `records` holds a `training.Record` a member, and `valid_t` the t value of the
    ensemble's net profit on each half of the validation rows, of the epochs chosen by the other.
    """

    settings_type: ClassVar[type[Recipe]] = Recipe
    settings: Recipe

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        library("torch", f"policy {self.name}")
        self.records: list[Record] = []
        self.valid_t = 0.0
        self._scaling: Scaling
        self._scorers: list[Scorer] = []

    @abstractmethod
    def lesson(self, ground: Ground) -> Lesson:
        """Return what a member minimizes and how it is judged."""

    def fit(self, paths: Sequence[PricePath], *, cost: float, seed: int = 0) -> None:
        """See `Policy.fit`."""
        problems = [TradingProblem.of(path, self.positions, cost) for path in paths]
        self.fit_problems(problems, seed=seed)

    def fit_problems(self, problems: Sequence[TradingProblem], *, seed: int = 0) -> None:
        """Learn from problems that are ready made; see `fit`."""
        ground = self._ground(problems)
        self._train(ground, self.lesson(ground), seed)
        self.valid_t = self._measure(ground)
        self.stays_flat = not self.valid_t > self.settings.least_valid_t

    def _ground(self, problems: Sequence[TradingProblem]) -> Ground:
        recipe = self.settings
        return Ground.of(
            problems,
            window=recipe.window_candles,
            purge=recipe.segment_candles + recipe.window_candles,
            valid_share=recipe.valid_share,
        )

    def _train(self, ground: Ground, lesson: Lesson, seed: int) -> None:
        import torch

        from agent_market.learning.adapters.torch_training import torch_threads
        from agent_market.rl.policies import training

        recipe, rows = self.settings, rows_of(ground.train)
        features = np.ascontiguousarray(ground.whole.features, dtype=np.float32)
        part = Part(features, np.zeros(len(rows)), None, rows)
        self._scaling = Scaling.of(part, recipe.window_candles, labels=False)
        columns = torch.from_numpy(self._scaling.columns(features))
        with torch_threads(recipe.threads):
            trained = [
                training.train(ground, columns, lesson, recipe, int(member))
                for member in np.random.SeedSequence(seed).generate_state(recipe.members)
            ]
        self._scorers = [scorer for scorer, _ in trained]
        self.records = [record for _, record in trained]
        self.n_features, self.stays_flat = features.shape[1], False

    def choices(self, features: Features) -> Choices:
        """See `Policy.choices`."""
        from agent_market.rl.policies import training

        window = self.settings.window_candles
        choices = np.tile(np.arange(len(self.positions)), (len(features), 1))
        if len(features) >= window:
            choices[window - 1 :] = training.choose(self._scores(features), self._switching())
        return choices

    def chances(self, features: Features) -> Floats:
        """Return the chance of each next position, float64, (n_rows, held, next).

        Rows before the first whole window keep what is held.
        """
        window = self.settings.window_candles
        chances = np.tile(np.eye(len(self.positions)), (len(features), 1, 1))
        if len(features) >= window:
            logits = self._scores(features)[:, None, :].astype(np.float64) + self._switching()
            weights = np.exp(logits - logits.max(axis=2, keepdims=True))
            chances[window - 1 :] = weights / weights.sum(axis=2, keepdims=True)
        return chances

    def sampled_positions_of(
        self, features: Features, start_position: float = 0.0, *, seed: int
    ) -> Floats:
        """Return positions drawn by their chances, (n_rows,), instead of the likeliest ones."""
        self._check(features)
        if self.stays_flat:
            return np.zeros(len(features))
        drawn = np.random.default_rng(seed).random(len(features))
        below = np.cumsum(self.chances(features), axis=2)[:, :, :-1] < drawn[:, None, None]
        start = nearest_index(self.positions, start_position)
        return np.asarray(self.positions[follow(below.sum(axis=2), start)])

    def dump(self) -> bytes:
        """See `Policy.dump`."""
        import torch

        scaling = {name: torch.from_numpy(v) for name, v in asdict(self._scaling).items()}
        members = [dict(scorer.state_dict()) for scorer in self._scorers]
        target = io.BytesIO()
        torch.save({"scaling": scaling, "members": members}, target)
        return target.getvalue()

    def parse(self, payload: bytes) -> None:
        """See `Policy.parse`."""
        import torch

        from agent_market.rl.policies import training

        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        saved = content["scaling"]
        self._scaling = Scaling(
            **{field.name: saved[field.name].numpy() for field in fields(Scaling)}
        )
        self._scorers = [
            training.rebuild(self.settings, self._scaling.n_columns, self.positions, values)
            for values in content["members"]
        ]

    def _scores(self, features: Features) -> Features:
        from agent_market.learning.adapters.torch_training import torch_threads
        from agent_market.rl.policies import training

        with torch_threads(self.settings.threads):
            columns = self._scaling.columns(np.ascontiguousarray(features, dtype=np.float32))
            window = self.settings.window_candles
            scores = [training.score(each, columns, window) for each in self._scorers]
        return np.asarray(np.mean(scores, axis=0))

    def _switching(self) -> Features:
        return np.asarray(
            np.mean([each.switching.detach().numpy() for each in self._scorers], axis=0)
        )

    def _measure(self, ground: Ground) -> float:
        """Return the t value of the ensemble's profit on rows that did not choose its epochs."""
        earned = earned_unchosen(ground, self._take, self.choices)
        return t_value(earned, self.settings.segment_candles)

    def _take(self, chosen_by: str) -> None:
        for scorer, record in zip(self._scorers, self.records, strict=True):
            scorer.load_state_dict(record.looks.values(chosen_by))
