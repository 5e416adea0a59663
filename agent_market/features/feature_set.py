"""The feature set that `user_data/freqai_features.json` names: groups, periods, timeframes, pairs.

The file narrows what FreqAI's configuration offers and never widens it: timeframes and correlated
pairs are some of the configured ones, so that no other data are needed. Periods are free.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.features.groups import GROUPS, FeatureGroup, Hook, compute_group
from agent_market.features.inputs import FeatureInputs, Need
from agent_market.features.standardize import STANDARD_WINDOW, STANDARDIZATIONS
from agent_market.store import hash_json, read_json, write_json

T = TypeVar("T")

SCHEMA = 1
SHORTEST_PERIOD, LONGEST_PERIOD = 4, 500


class FeatureSet(BaseModel):
    """What is computed, and where the choice came from.

    groups : keys of `GROUPS`.
    standardization : of the columns of a group, by its name: a key of `STANDARDIZATIONS`.
    periods : in candles of each timeframe; FreqAI's `indicator_periods_candles`.
    timeframes, correlated_pairs : some of the configured ones.
    hash : of the five above; None where somebody wrote the file by hand.
    provenance : what was tried and how it scored; read by people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    groups: tuple[str, ...] = Field(min_length=1)
    standardization: dict[str, str] = {}
    periods: tuple[int, ...] = Field(min_length=1, max_length=20)
    timeframes: tuple[str, ...] = Field(min_length=1)
    correlated_pairs: tuple[str, ...] = ()
    hash: str | None = None
    provenance: dict[str, Any] = {}

    @field_validator("groups")
    @classmethod
    def _are_groups(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _require_known("group", name, GROUPS)
        return _without_repeats(names)

    @field_validator("standardization")
    @classmethod
    def _are_standardizations(cls, chosen: dict[str, str]) -> dict[str, str]:
        for name in chosen.values():
            _require_known("standardization", name, STANDARDIZATIONS)
        return chosen

    @field_validator("periods")
    @classmethod
    def _are_lengths(cls, periods: tuple[int, ...]) -> tuple[int, ...]:
        for period in periods:
            if not SHORTEST_PERIOD <= period <= LONGEST_PERIOD:
                raise ValueError(
                    f"{period} candles lie outside {SHORTEST_PERIOD}..{LONGEST_PERIOD}"
                )
        return _without_repeats(periods)

    @field_validator("timeframes", "correlated_pairs")
    @classmethod
    def _are_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _without_repeats(names)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        unused = sorted(set(self.standardization) - set(self.groups))
        if unused:
            raise ValueError(f"standardization names {unused}, which are not among the groups")
        if Need.PEERS in self.needs and not self.correlated_pairs:
            raise ValueError("the group market needs at least one of correlated_pairs")
        return self

    @property
    def content_hash(self) -> str:
        """The hash of what decides the columns' values."""
        return hash_json(self.content())

    @property
    def needs(self) -> frozenset[Need]:
        """What the groups read beside candles."""
        return frozenset(need for group in self._chosen() for need in group.needs)

    def content(self) -> dict[str, Any]:
        """Return what decides the columns' values."""
        return {
            "schema": self.schema_version,
            "groups": list(self.groups),
            "standardization": dict(self.standardization),
            "periods": list(self.periods),
            "timeframes": list(self.timeframes),
            "correlated_pairs": list(self.correlated_pairs),
        }

    def memory(self, timeframe: str) -> int:
        """Return how many candles before a row its features read, of each one's own timeframe."""
        return max(
            group.memory(period, timeframe)
            + (STANDARD_WINDOW - 1 if group.name in self.standardization else 0)
            for group in self._chosen()
            for period in self.periods
        )

    def startup(self, timeframe: str, n_shifts: int) -> int:
        """Return how many candles to load before the first row that is to have every feature.

        Beside the memory, a candle for each of FreqAI's shifts, and one because the last candle of
        a longer timeframe is still open.
        """
        return self.memory(timeframe) + n_shifts + 1

    def add(
        self, inputs: FeatureInputs, hook: Hook | str, period: int | None = None
    ) -> pd.DataFrame:
        """Return the candles with the columns of the groups that one of FreqAI's hooks computes.

        Parameters
        ----------
        hook : Hook
            Groups of other hooks are left out.
        period : int, optional
            In candles; of the hook EXPAND_ALL.

        Notes
        -----
        Information time: row t as each group says; see `GROUPS`.
        """
        parts = [
            compute_group(group, inputs, period, self.standardization.get(group.name))
            for group in self._chosen()
            if group.hook == hook
        ]
        return pd.concat([inputs.candles, *parts], axis=1)

    def _chosen(self) -> list[FeatureGroup]:
        return [GROUPS[name] for name in self.groups]


def read_feature_set(path: Path) -> FeatureSet | None:
    """Return the feature set of a file; None where there is no file.

    Raises
    ------
    ConfigError
        The file cannot be used; the message names it, the key and what to do.
    """
    if not path.is_file():
        return None
    try:
        found = FeatureSet.model_validate(read_json(path))
    except StateCorrupt as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        raise ConfigError(_explain(path, error)) from error
    if found.hash is not None and found.hash != found.content_hash:
        raise ConfigError(
            f"{path}: hash: {found.hash[:12]}... is not that of the content "
            f"({found.content_hash[:12]}...): the file was changed after it was written. Remove "
            "the key hash to use it as it is, or let the feature agent write it again."
        )
    return found


def write_feature_set(path: Path, chosen: FeatureSet) -> None:
    """Write a feature set with its hash, atomically."""
    content = {**chosen.content(), "hash": chosen.content_hash, "provenance": chosen.provenance}
    write_json(path, content)


def narrow_parameters(
    chosen: FeatureSet, parameters: Mapping[str, Any], timeframe: str, source: Path
) -> dict[str, Any]:
    """Return FreqAI's `feature_parameters` narrowed to a feature set.

    Parameters
    ----------
    parameters : mapping
        As configured, or narrowed before.
    timeframe : str
        The strategy's own, which FreqAI always includes.
    source : Path
        The file, for messages.

    Raises
    ------
    ConfigError
        The set names a timeframe or a pair that is not configured, or not the strategy's own.
    """
    for key, names, offered in (
        ("timeframes", chosen.timeframes, "include_timeframes"),
        ("correlated_pairs", chosen.correlated_pairs, "include_corr_pairlist"),
    ):
        known = [str(name) for name in parameters.get(offered, [])]
        missing = [name for name in names if name not in known]
        if missing:
            raise ConfigError(
                f"{source}: {key}: {', '.join(missing)} is not in freqai.feature_parameters."
                f"{offered} ({', '.join(known)}). Add it there, which needs its data, or run the "
                "feature agent again."
            )
    if timeframe not in chosen.timeframes:
        raise ConfigError(
            f"{source}: timeframes: the strategy's own {timeframe} is missing, which FreqAI always "
            "includes. Add it."
        )
    return {
        **parameters,
        "indicator_periods_candles": list(chosen.periods),
        "include_timeframes": list(chosen.timeframes),
        "include_corr_pairlist": list(chosen.correlated_pairs),
        # everything that is keyed by these parameters, as stored features are, follows the groups
        "feature_set": chosen.content_hash,
    }


def _require_known(what: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise ValueError(
            f"unknown {what} {name!r}. Did you mean {nearest[0]!r}? Known: {', '.join(names)}"
        )


def _without_repeats(values: tuple[T, ...]) -> tuple[T, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is there more than once")
    return values


def _explain(path: Path, error: ValidationError) -> str:
    parts = []
    for detail in error.errors(include_url=False):
        key = ".".join(map(str, detail["loc"])) or "the file"
        reason = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{path}: {key}: {reason}")
    return "; ".join(parts) + ". Correct it, or delete the file for the strategy's own features."
