"""The feature agent: proposes feature sets, checks them, scores them, and writes the best one.

Every set is scored on folds inside the training rows of the first window, so nothing that a
backtest of the same time range predicts has a say. The columns of all groups are computed once; a
proposal is a choice among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from agent_market.bridge import load_plans
from agent_market.errors import ConfigError
from agent_market.evaluation.information_coefficient import information_coefficient
from agent_market.evaluation.training import Candidate, local_processes, run_candidates
from agent_market.evaluation.training.inner_folds import inner_folds
from agent_market.evaluation.training.scored_rows import scored_rows
from agent_market.features import (
    GROUPS,
    FeatureGroup,
    FeatureInputs,
    FeatureSet,
    compute_group,
    write_feature_set,
)
from agent_market.learning.checks import check_locality
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_plan import PairPlan
from agent_market.market.candles import CandleKind, read_candles
from agent_market.market.sidedata import read_side

N_FOLDS = 3
OPENING_GROUPS = ("momentum", "reversion", "volatility", "volume", "vwap", "range", "candle")
"""What search begins with, beside the calendar: near to HybridMultiMode's own features."""
_DRAWS, _PARENTS, _LARGEST_STEP = 100, 3, 2
_MOST_MISSING = 0.3  # share of rows; a model leaves out a column that misses more
_CHECKED_ROWS, _PROBES = 600, 2

Proposer = Callable[[Sequence["Trial"], "Space", np.random.Generator], Mapping[str, Any] | None]
"""Takes what was tried, what there is and a generator; returns the content of a feature set as
plain values, or None if it has no more. Whatever comes back is validated: a language model may
stand here."""


@dataclass(frozen=True)
class Space:
    """What a set is chosen from.

    timeframes : the strategy's own first, which every set has. opening_periods : of the first set.
    """

    groups: tuple[str, ...]
    periods: tuple[int, ...]
    opening_periods: tuple[int, ...]
    timeframes: tuple[str, ...]
    correlated_pairs: tuple[str, ...]

    def whole(self, standardization: Mapping[str, str]) -> FeatureSet:
        """Return the set of everything."""
        return FeatureSet(
            groups=self.groups,
            standardization=dict(standardization),
            periods=self.periods,
            timeframes=self.timeframes,
            correlated_pairs=self.correlated_pairs,
        )


@dataclass(frozen=True)
class Limits:
    """What a set may cost.

    max_columns : of one pair's table. max_memory : candles before a row, which a live bot has to
    load of each timeframe before it can predict.
    """

    max_columns: int = 1000
    max_memory: int = 1500


@dataclass(frozen=True)
class Trial:
    """One proposal: its score, or why it was refused.

    scores : mean information coefficient over pairs and labels, of each fold. score : their mean.
    """

    number: int
    content: Mapping[str, Any]
    n_columns: int = 0
    scores: tuple[float, ...] = ()
    score: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Outcome:
    """The best set with its record, and every trial.

    score_as_written : of the set computed alone, as a backtest will. It differs a little from the
    trial's where a group reads the correlated pairs and the set has fewer of them.
    """

    chosen: FeatureSet
    trials: tuple[Trial, ...]
    score: float
    score_as_written: float


class FeatureAgent:
    """Runs one search.

    Parameters
    ----------
    config : mapping
        Of `read_config`, with the time range whose first training window is searched.
    space, limits : what there is, and what it may cost.
    spec : ModelSpec
        The model that scores; a cheap one.
    folder : Path
        For files that the strategy reads while the search runs.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        space: Space,
        limits: Limits,
        spec: ModelSpec,
        folder: Path,
    ) -> None:
        self.config = config
        self.space = space
        self.limits = limits
        self.spec = spec
        self.folder = folder
        self._plans: dict[str, list[PairPlan]] = {}
        self._empty: dict[str, set[str]] = {}

    def run(
        self,
        n_trials: int,
        seed: int,
        propose: Proposer | None = None,
        on_trial: Callable[[Trial], object] = lambda _: None,
    ) -> Outcome:
        """Propose, check and score `n_trials` sets; return the best one.

        Raises
        ------
        ConfigError
            A group looks ahead or backwards without end, no set could be scored, or the strategy
            does not read feature sets.
        """
        self._check_locality()
        rng = np.random.default_rng(seed)
        trials: list[Trial] = []
        while len(trials) < n_trials:
            content = (propose or propose_by_search)(trials, self.space, rng)
            if content is None:
                break
            trials.append(self._try(len(trials), content))
            on_trial(trials[-1])
        return self._best(trials, seed)

    def _try(self, number: int, content: Mapping[str, Any]) -> Trial:
        try:
            chosen = read_proposal(content, self.space)
            plans = self._superset(chosen)
            n_columns = self._check(chosen, plans)
        except ConfigError as error:
            return Trial(number, dict(content), refused=str(error))
        scores = self._score(chosen, plans)
        score = float(np.mean(scores))
        return Trial(number, chosen.content(), n_columns, scores, score)

    def _check(self, chosen: FeatureSet, plans: Sequence[PairPlan]) -> int:
        """Return the number of columns, or refuse the set."""
        memory = chosen.memory(self.config["timeframe"])
        if memory > self.limits.max_memory:
            raise ConfigError(
                f"periods {list(chosen.periods)} and groups {list(chosen.groups)} read {memory} "
                f"candles back, above {self.limits.max_memory}. Take shorter periods."
            )
        n_columns = max(len(_kept(chosen, plan)) for plan in plans)
        if n_columns > self.limits.max_columns:
            raise ConfigError(
                f"{n_columns} columns are above {self.limits.max_columns}. Take fewer groups, "
                "periods, timeframes or pairs."
            )
        for name in chosen.groups:
            if name in self._empty_groups(plans):
                raise ConfigError(
                    f"group {name}: no column has a value in enough rows of the training window, "
                    "of any pair. Leave it out, or mend its data."
                )
        return n_columns

    def _empty_groups(self, plans: Sequence[PairPlan]) -> set[str]:
        key = plans[0].table.key
        if key not in self._empty:
            missing = [_missing_columns(plan) for plan in plans]
            self._empty[key] = {
                name
                for name in self.space.groups
                if all(
                    columns[_of_group(name, plan)].all()
                    for columns, plan in zip(missing, plans, strict=True)
                )
            }
        return self._empty[key]

    def _check_locality(self) -> None:
        """Refuse a group whose value at a row changes with later rows."""
        pair = self.config["exchange"]["pair_whitelist"][0]
        timeframe = self.config["timeframe"]
        inputs = _stored_inputs(self.config, pair, timeframe, self.space.correlated_pairs)
        period = max(self.space.periods)
        for group in (GROUPS[name] for name in self.space.groups):
            rows = 2 * group.memory(period, timeframe) + _CHECKED_ROWS
            compute = partial(_computed, group, period, inputs)
            check_locality(compute, inputs.candles.iloc[-rows:], 0, n_probes=_PROBES)

    def _superset(self, chosen: FeatureSet) -> list[PairPlan]:
        """Return plans with the columns of all groups, standardized as the set wants it."""
        wanted = {name: chosen.standardization.get(name) for name in chosen.groups}
        key = repr(sorted((name, way) for name, way in wanted.items() if way))
        if key not in self._plans:
            self._plans[key] = self._load(self.space.whole(chosen.standardization))
        return self._plans[key]

    def _load(self, chosen: FeatureSet) -> list[PairPlan]:
        path = self.folder / f"{chosen.content_hash[:16]}.json"
        write_feature_set(path, chosen)
        freqai = {**self.config["freqai"], "feature_set_file": str(path)}
        plans = load_plans({**self.config, "freqai": freqai})[self.spec.horizon_candles]
        missing = [name for name in chosen.groups if not _of_group(name, plans[0])]
        if missing:
            raise ConfigError(
                f"strategy {self.config['strategy']}: columns of the groups {missing} are missing. "
                "Its hooks must add what freqai_features.json names, as HybridMultiMode's do."
            )
        return plans

    def _score(self, chosen: FeatureSet, plans: Sequence[PairPlan]) -> tuple[float, ...]:
        """Return the mean information coefficient of each fold, over pairs and labels."""
        return tuple(
            float(np.mean([self._score_pair(chosen, plan) for plan in fold]))
            for fold in inner_folds(plans, N_FOLDS)
        )

    def _score_pair(self, chosen: FeatureSet, plan: PairPlan) -> float:
        spec = replace(self.spec, exclude=_exclusions(chosen, plan.pair))
        candidate = Candidate("set", self.spec.horizon_candles, spec)
        found = run_candidates([candidate], {candidate.horizon: [plan]}, local_processes(1))
        predictions = found[candidate.key][0]
        if predictions.errors:
            raise ConfigError(f"{plan.pair}: {predictions.errors[0]}")
        scores = []
        for label in plan.label_names:
            rows = scored_rows(predictions, label)
            scores.append(information_coefficient(rows.score, rows.realized))
        return float(np.mean(np.nan_to_num(scores)))  # a model that predicts a constant scores 0

    def _best(self, trials: Sequence[Trial], seed: int) -> Outcome:
        scored = [trial for trial in trials if trial.score is not None]
        if not scored:
            reasons = "; ".join(sorted({trial.refused for trial in trials})) or "none was proposed"
            raise ConfigError(f"no feature set could be scored: {reasons}")
        best = max(scored, key=lambda trial: (trial.score, -trial.n_columns, -trial.number))
        chosen = FeatureSet.model_validate(best.content)
        as_written = float(np.mean(self._score(chosen, self._load(chosen))))
        record = {
            "seed": seed,
            "strategy": self.config["strategy"],
            "timerange": self.config["timerange"],
            "pairs": list(self.config["exchange"]["pair_whitelist"]),
            "model": self.spec.adapter,
            "horizon_candles": self.spec.horizon_candles,
            "measure": f"mean information coefficient over {N_FOLDS} inner folds",
            "score": best.score,
            "score_as_written": as_written,
            "n_trials": len(trials),
            "n_scored": len(scored),
            "trials": [asdict(trial) for trial in trials],
        }
        chosen = chosen.model_copy(update={"provenance": record})
        return Outcome(chosen, tuple(trials), float(best.score or 0.0), as_written)


def read_proposal(content: Mapping[str, Any], space: Space) -> FeatureSet:
    """Return a proposal as a feature set.

    Raises
    ------
    ConfigError
        It is no feature set, or names what the space does not have.
    """
    try:
        chosen = FeatureSet.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the proposal"
        raise ConfigError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from error
    for key in ("groups", "periods", "timeframes", "correlated_pairs"):
        missing = sorted(set(map(str, getattr(chosen, key))) - set(map(str, getattr(space, key))))
        if missing:
            offered = ", ".join(map(str, getattr(space, key)))
            raise ConfigError(f"{key}: {', '.join(missing)} is not among {offered}")
    if space.timeframes[0] not in chosen.timeframes:
        raise ConfigError(f"timeframes: the strategy's own {space.timeframes[0]} is missing")
    return chosen


def propose_by_search(
    trials: Sequence[Trial], space: Space, rng: np.random.Generator
) -> Mapping[str, Any] | None:
    """Return the opening set, then neighbors of the best ones; None if no new one is found."""
    known = {_identity(trial.content) for trial in trials}
    ranked = sorted(
        (trial for trial in trials if trial.score is not None), key=lambda t: -(t.score or 0.0)
    )
    opening = _opening(space)
    if _identity(opening) not in known:
        return opening
    for _ in range(_DRAWS):
        parents = [trial.content for trial in ranked[:_PARENTS]] or [opening]
        content = dict(parents[int(rng.integers(len(parents)))])
        for _ in range(int(rng.integers(1, _LARGEST_STEP + 1))):
            content = _neighbor(content, space, rng)
        if _identity(content) not in known:
            return content
    return None


def _opening(space: Space) -> dict[str, Any]:
    near = {*OPENING_GROUPS, "calendar"}
    groups = [name for name in space.groups if name in near] or list(space.groups)
    return {
        "groups": groups,
        "standardization": {},
        "periods": list(space.opening_periods),
        "timeframes": list(space.timeframes),
        "correlated_pairs": list(space.correlated_pairs),
    }


def _neighbor(content: Mapping[str, Any], space: Space, rng: np.random.Generator) -> dict[str, Any]:
    """Add or take away one group, period, timeframe or pair; groups half of the time."""
    movable = {
        "groups": space.groups,
        "periods": space.periods,
        "timeframes": space.timeframes[1:],
        "correlated_pairs": space.correlated_pairs,
    }
    keys = [key for key, names in movable.items() if names]
    weights = np.array([3.0 if key == "groups" else 1.0 for key in keys])
    key = keys[int(rng.choice(len(keys), p=weights / weights.sum()))]
    chosen = movable[key][int(rng.integers(len(movable[key])))]
    kept = set(content[key]) ^ {chosen}
    ordered = [name for name in getattr(space, key) if name in kept]
    changed = {**content, key: ordered or list(content[key])}
    if not changed["correlated_pairs"]:  # the market is made of them
        changed["groups"] = [name for name in changed["groups"] if name != "market"] or ["returns"]
    return changed


def _identity(content: Mapping[str, Any]) -> str:
    keys = ("groups", "standardization", "periods", "timeframes", "correlated_pairs")
    return repr([content.get(key) for key in keys])


def _exclusions(chosen: FeatureSet, pair: str) -> tuple[str, ...]:
    """Return patterns that find every column of the superset that is not of the set.

    FreqAI's names: `%-<group>_<name>-period_<period>[_shift-<n>]_<pair>_<timeframe>`, the pair
    without its colon; `%-<group>_<name>` for what is computed once.
    """
    pairs = [re.escape(name.replace(":", "")) for name in (pair, *chosen.correlated_pairs)]
    return (
        rf"^%-(?!(?:{'|'.join(chosen.groups)})_)",
        rf"-period_(?!(?:{'|'.join(map(str, chosen.periods))})_)",
        rf"/[^_/]+_(?!(?:{'|'.join(chosen.timeframes)})$)\d+[mhdw]$",
        rf"_(?!(?:{'|'.join(pairs)})_)[^_/]+/[^_/]+_\d+[mhdw]$",
    )


def _kept(chosen: FeatureSet, plan: PairPlan) -> list[str]:
    patterns = [re.compile(text) for text in _exclusions(chosen, plan.pair)]
    return [n for n in plan.table.names if not any(pattern.search(n) for pattern in patterns)]


def _of_group(name: str, plan: PairPlan) -> list[int]:
    prefix = f"%-{name}_"
    return [at for at, column in enumerate(plan.table.names) if column.startswith(prefix)]


def _missing_columns(plan: PairPlan) -> npt.NDArray[np.bool_]:
    """Return which columns miss a value in too many rows of the first training window."""
    first = min(plan.windows, key=lambda window: window.predict)
    values = plan.table.read(*first.train)
    return np.asarray(np.isnan(values).mean(axis=0) > _MOST_MISSING)


def _computed(
    group: FeatureGroup, period: int, inputs: FeatureInputs, candles: pd.DataFrame
) -> pd.DataFrame:
    return compute_group(group, replace(inputs, candles=candles), period)


def _stored_inputs(
    config: Mapping[str, Any], pair: str, timeframe: str, peers: tuple[str, ...]
) -> FeatureInputs:
    """Return inputs that are read from the data directory, without Freqtrade."""
    datadir = Path(config["datadir"])
    traded: CandleKind = "futures" if config.get("trading_mode") == "futures" else "spot"
    kinds: dict[str, CandleKind] = {"": traded, "funding_rate": "funding_rate", "mark": "mark"}
    return FeatureInputs(
        candles=read_candles(datadir, pair, timeframe, traded),
        pair=pair,
        timeframe=timeframe,
        peers=peers,
        candles_of=lambda name, length, kind: read_candles(datadir, name, length, kinds[kind]),
        side_of=lambda kind, name: read_side(datadir, kind, name),
    )


def available_groups(config: Mapping[str, Any], asked: Sequence[str] = ()) -> Iterator[str]:
    """Yield the groups whose data are there; of those asked for by name, all.

    Raises
    ------
    ConfigError
        A name that is asked for is no group.
    """
    unknown = [name for name in asked if name not in GROUPS]
    if unknown:
        raise ConfigError(f"unknown group {unknown[0]!r}. Known: {', '.join(GROUPS)}.")
    datadir = Path(config["datadir"])
    for name, group in GROUPS.items():
        if asked:
            if name in asked:
                yield name
        elif all(_is_stored(datadir, need.value, config) for need in group.needs):
            yield name


def _is_stored(datadir: Path, need: str, config: Mapping[str, Any]) -> bool:
    if need == "peers":
        return bool(config["freqai"]["feature_parameters"].get("include_corr_pairlist"))
    folder = datadir / "side" / need
    return folder.is_dir() or any(datadir.glob(f"futures/*-{need}.feather"))
