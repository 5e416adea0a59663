"""Search without a language model: small expressions, genetic programming, local search.

It begins with all small expressions and some drawn from the grammar. Every generation, parents are
drawn by their rank and varied within units and bounds, and neighbors are tried one after the other:
first other numbers in the best of each niche, then any step from it. What the campaign has not
scored before is scored in one batch, and the best of old and new go on, few of each niche: what
earns on the same days is one idea. Several islands search apart; now and then the best of each
visits the next. The last evaluations climb: they are neighbors alone.

The state is written after each generation, and everything is drawn from one generator, so a search
that was killed and begun again ends with the very bytes of one that was not.

Source: J. Koza, Genetic Programming (1992); D. Montana, "Strongly typed genetic programming"
(1995).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.evaluation.expressions.campaign import (
    ALIKE,
    COMPLEXITY,
    Campaign,
    fitness,
    form_of,
)
from agent_market.evaluation.expressions.neighborhood import Neighborhood
from agent_market.evaluation.expressions.records import Trial
from agent_market.expressions.canonical import expression_hash
from agent_market.expressions.nodes import Node
from agent_market.expressions.variation import Variation
from agent_market.settings import Section
from agent_market.store import read_json, write_json

STATE = "search.json"
_TRIES = 20
_ALIKE_IC = 0.002
"""Coefficients nearer than that, fold by fold, count as those of one behavior."""
_ALIKE_EARNED = 0.9
"""Correlation of what two expressions earn, block by block, from which on they share a niche."""
_CROWD = 10
"""A niche has at most that part of an island."""
_TUNED = 40
"""Niches whose numbers are tried first."""
_FIRST_DRAWS = 4
"""Expressions drawn for each that the first generation keeps."""


class SearchSettings(Section):
    """How to search.

    max_evaluations : expressions scored, at most; those that say the same count once.
    n_islands, island_size : populations, and expressions in each.
    pressure : 1 draws parents evenly; 3 draws the best of a hundred for every fifth child.
    migration_generations : generations between visits.
    depth : of expressions drawn anew.
    local : share of children that are neighbors, tried one after the other.
    climbing : share of the evaluations, at the end, in which there are no other children.
    complexity : taken from the information coefficient for each node.
    """

    seed: int = Field(default=7, ge=0)
    max_evaluations: int = Field(default=20_000, ge=1)
    n_islands: int = Field(default=4, ge=1)
    island_size: int = Field(default=100, ge=2)
    pressure: float = Field(default=3.0, ge=1)
    migration_generations: int = Field(default=8, ge=1)
    depth: int = Field(default=4, ge=1)
    local: float = Field(default=0.5, ge=0, le=1)
    climbing: float = Field(default=0.25, ge=0, le=1)
    complexity: float = Field(default=COMPLEXITY, ge=0)


class Progress(NamedTuple):
    """What a generation came to: expressions scored so far, and the best of them."""

    generation: int
    n_evaluations: int
    best: Trial | None


class _State(Section):
    """`search.json`: what the next generation is made of."""

    settings: SearchSettings
    generation: int
    n_evaluations: int
    n_seen: int
    rng: dict[str, Any]
    islands: tuple[tuple[str, ...], ...]


class _Member(NamedTuple):
    """An expression alive; `earned` is what its blocks earned, in its own size."""

    node: Node
    trial: Trial
    fitness: float
    earned: npt.NDArray[np.float32]


class Search:
    """Genetic programming over the expressions of a campaign.

    Parameters
    ----------
    campaign : Campaign
        It scores, on its search rows alone, and counts. It keeps the state in its folder.
    settings : SearchSettings
        A stored search must have the same.

    Raises
    ------
    ConfigError
        The folder holds a search with other settings.
    """

    def __init__(self, campaign: Campaign, settings: SearchSettings) -> None:
        self._campaign = campaign
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._variation = Variation(self._rng, campaign.scope)
        self._neighborhood = Neighborhood(campaign.scope)
        self._islands: list[list[_Member]] = []
        self._generation = self._n_evaluations = 0
        self._seen = set(campaign.trials)
        path = campaign.folder / STATE
        if path.exists():
            self._restore(_read(path, settings))
        else:
            self._store()  # or a kill in the first generation leaves trials that count as known

    def run(self) -> Iterator[Progress]:
        """Yield the progress after each generation, until the evaluations are used up."""
        while self._n_evaluations < self._settings.max_evaluations:
            before = self._n_evaluations
            self._islands = self._next_generation() if self._islands else self._first_generation()
            self._generation += 1
            self._store()
            yield Progress(self._generation, self._n_evaluations, self.best)
            if self._n_evaluations == before:  # the grammar within the bounds is used up
                return

    @property
    def best(self) -> Trial | None:
        """The fittest expression alive."""
        members = list(itertools.chain.from_iterable(self._islands))
        return max(members, key=lambda member: member.fitness).trial if members else None

    @property
    def n_evaluations(self) -> int:
        """How many expressions this search had scored, in all its runs."""
        return self._n_evaluations

    def _first_generation(self) -> list[list[_Member]]:
        """Return islands of small expressions, dealt out, and of expressions drawn anew."""
        settings, size = self._settings, _FIRST_DRAWS * self._settings.island_size
        small = self._neighborhood.shallow()
        dealt = [small[int(place)] for place in self._rng.permutation(len(small))]
        streams = [
            itertools.chain(
                dealt[k :: settings.n_islands][: size * 4 // 5],
                self._made(self._sample_of_any_depth, size),
            )
            for k in range(settings.n_islands)
        ]
        return self._grown([[] for _ in streams], map(_hashed, streams), size)

    def _next_generation(self) -> list[list[_Member]]:
        islands, size = self._islands, self._settings.island_size
        if self._generation % self._settings.migration_generations == 0:
            best = [island[: max(1, len(island) // 20)] for island in islands]
            islands = [
                _survivors([*island, *best[k - 1]], size) for k, island in enumerate(islands)
            ]
        return self._grown(islands, map(self._children, islands), size)

    def _grown(
        self,
        islands: list[list[_Member]],
        streams: Iterable[Iterator[tuple[str, Node]]],
        size: int,
    ) -> list[list[_Member]]:
        """Return the islands after as many new members as there is room and budget for."""
        drawn = [self._drawn(stream, size) for stream in streams]
        trials = iter(self._campaign.score(itertools.chain.from_iterable(drawn)))
        result = []
        for island, nodes in zip(islands, drawn, strict=True):
            new = [self._member(node, next(trials)) for node in nodes]
            result.append(_survivors([*island, *new], self._settings.island_size))
        return result

    def _children(self, island: list[_Member]) -> Iterator[tuple[str, Node]]:
        """Yield neighbors of the fittest, as many as their share, then variations."""
        size = self._settings.island_size
        yield from itertools.islice(self._near(island), round(self._local_share() * size))
        yield from _hashed(self._made(lambda: self._child(island), size))

    def _near(self, island: list[_Member]) -> Iterator[tuple[str, Node]]:
        """Yield neighbors never scored before, those of the fittest first.

        The numbers of the best of each niche come before all: an idea whose window is off by half
        looks worse than a poorer one that is tuned. Then all neighbors, of each niche's best first.
        """
        leaders = [island[niche[0]] for niche in _niches(island)]
        for member in leaders[:_TUNED]:
            yield from self._new(self._neighborhood.tuned(member.node))
        for member in (*leaders, *island):
            yield from self._new(self._neighborhood.of(member.node))

    def _new(self, near: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
        new = [each for each in near.items() if each[0] not in self._seen]
        for place in self._rng.permutation(len(new)):
            yield new[int(place)]

    def _local_share(self) -> float:
        """Return the share of neighbors: all of them in the end, which is for climbing."""
        settings = self._settings
        spent = self._n_evaluations / settings.max_evaluations
        return 1.0 if spent >= 1 - settings.climbing else settings.local

    def _made(self, make: Callable[[], Node | None], size: int) -> Iterator[Node]:
        made = (make() for _ in range(_TRIES * size))
        return (node for node in made if node is not None)

    def _sample_of_any_depth(self) -> Node:
        return self._variation.sample(int(self._rng.integers(2, self._settings.depth + 2)))

    def _drawn(self, proposed: Iterator[tuple[str, Node]], size: int) -> list[Node]:
        """Return `size` of them that were never scored before, and count them."""
        nodes: list[Node] = []
        for digest, node in proposed:
            if len(nodes) == size or self._n_evaluations == self._settings.max_evaluations:
                break
            if digest not in self._seen:
                self._seen.add(digest)
                self._n_evaluations += 1
                nodes.append(node)
        return nodes

    def _child(self, island: list[_Member]) -> Node | None:
        vary = self._variation
        if not island:  # the others had all there is
            return vary.sample(self._settings.depth)
        parent = self._parent(island)
        makers: tuple[tuple[float, Callable[[], Node | None]], ...] = (
            (0.25, lambda: vary.crossover(parent, self._parent(island))),
            (0.45, lambda: vary.mutate_literal(parent)),
            (0.60, lambda: vary.mutate_subtree(parent)),
            (0.72, lambda: vary.mutate_point(parent)),
            (0.78, lambda: vary.hoist(parent)),
            (0.92, lambda: vary.wrap(parent)),
        )
        drawn = self._rng.random()
        for share, make in makers:
            if drawn < share:
                return make()
        return vary.sample(self._settings.depth)

    def _parent(self, island: list[_Member]) -> Node:
        # in order of fitness: most draws fall on the first few, and any may be drawn
        place = len(island) * self._rng.random() ** self._settings.pressure
        return island[int(place)].node

    def _member(self, node: Node, trial: Trial) -> _Member:
        earned = self._campaign.earned(trial)
        earned = earned - earned.mean()
        size = float(np.sqrt(earned @ earned)) or 1.0
        return _Member(
            node, trial, fitness(trial, node, self._settings.complexity), earned / np.float32(size)
        )

    def _store(self) -> None:
        state = _State(
            settings=self._settings,
            generation=self._generation,
            n_evaluations=self._n_evaluations,
            n_seen=len(self._campaign.trials),
            rng=self._rng.bit_generator.state,
            islands=tuple(
                tuple(member.trial.formula for member in island) for island in self._islands
            ),
        )
        write_json(self._campaign.folder / STATE, state.model_dump(mode="json"))

    def _restore(self, state: _State) -> None:
        """Go back to the end of the last generation; trials scored after it are not known yet."""
        self._generation, self._n_evaluations = state.generation, state.n_evaluations
        self._seen = set(itertools.islice(self._campaign.trials, state.n_seen))
        self._rng.bit_generator.state = state.rng
        for formulas in state.islands:
            nodes = [self._campaign.parse(formula) for formula in formulas]
            trials = [self._campaign.trials[expression_hash(node)] for node in nodes]
            self._islands.append(list(map(self._member, nodes, trials)))


def _hashed(nodes: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    return ((expression_hash(node), node) for node in nodes)


def _survivors(members: list[_Member], size: int) -> list[_Member]:
    """Return the fittest, in order: one of a behavior, few of one form or one niche.

    Else an island fills with one formula in all its windows and disguises, and has nothing left to
    cross.
    """
    behaviors: set[tuple[int, ...] | str] = set()
    forms: Counter[str] = Counter()
    kept: list[_Member] = []
    for member in sorted(members, key=lambda each: (-each.fitness, each.trial.formula)):
        behavior, form = _behavior(member.trial), form_of(member.trial.formula)
        if behavior in behaviors or forms[form] == ALIKE:
            continue
        behaviors.add(behavior)
        forms[form] += 1
        kept.append(member)
    places = [place for niche in _niches(kept) for place in niche[: max(2, size // _CROWD)]]
    return [kept[place] for place in sorted(places)[:size]]


def _niches(members: Sequence[_Member]) -> list[list[int]]:
    """Return the places of members that earn alike, by the best of them; members are in order."""
    if not members:
        return []
    earned = np.stack([member.earned for member in members])
    is_alike = np.abs(earned @ earned.T) > _ALIKE_EARNED
    niches: dict[int, list[int]] = {}
    for place in range(len(members)):
        leader = next((each for each in niches if is_alike[each, place]), place)
        niches.setdefault(leader, []).append(place)
    return list(niches.values())


def _behavior(trial: Trial) -> tuple[int, ...] | str:
    """Return what two expressions of nearly the same values, or opposite ones, have in common."""
    score = trial.score
    if not score.is_valid:
        return trial.formula
    sign = math.copysign(1.0, score.ic)
    return tuple(round(sign * ic / _ALIKE_IC) for ic in score.fold_ics)


def _read(path: Path, settings: SearchSettings) -> _State:
    try:
        state = _State.model_validate(read_json(path))
    except ValidationError as error:
        raise StateCorrupt(
            f"{path} is no state of a search ({error.error_count()} faults). Restore a backup, or "
            "delete it to search again."
        ) from error
    if state.settings != settings:
        raise ConfigError(
            f"{path} holds a search with other settings: {state.settings}. Give those, or delete "
            "the file to begin another search; its trials stay counted."
        )
    return state
