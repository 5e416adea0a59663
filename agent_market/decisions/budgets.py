"""Engine budgets: the share of the capital that each engine's modes may take, as of a moment.

They stand in the parameter store, where people and agents change them while the bot runs. They only
ever lower what the configuration allows.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from agent_market.errors import ConfigError, StateCorrupt
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import AgentMarketSettings
from agent_market.store.database import database_url, open_database
from agent_market.store.parameters import ParameterStore, Version, version_at

logger = logging.getLogger(__name__)

ENGINE_BUDGETS = "engine_budgets"


class EngineBudgets(BaseModel):
    """Shares of equity, 0..1, that the stakes of each engine's modes may take.

    An engine that is left out has the share of the configuration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    macro: float | None = Field(default=None, ge=0, le=1)
    intraday: float | None = Field(default=None, ge=0, le=1)


PARAMETER_SETS: Mapping[str, type[BaseModel]] = {ENGINE_BUDGETS: EngineBudgets}
"""The sets that something reads, and their schemas."""


@dataclass(frozen=True)
class Budgets:
    """What holds at a moment: shares by engine, or why they cannot be known."""

    shares: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None


def check_parameters(name: str, values: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `values` are a parameter set of this name."""
    if name not in PARAMETER_SETS:
        nearest = difflib.get_close_matches(name, PARAMETER_SETS, n=1, cutoff=0.0)
        raise ConfigError(f"{name!r} is no parameter set. Did you mean {nearest[0]!r}?")
    try:
        PARAMETER_SETS[name].model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=True, include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"]))
        valid = ", ".join(PARAMETER_SETS[name].model_fields)
        raise ConfigError(
            f"{name}: {key}: {first['msg'].lower()}, found {first['input']!r}. Its keys: {valid}."
        ) from error


def configured(settings: AgentMarketSettings, name: str) -> dict[str, Any]:
    """Return what the configuration says of a parameter set, where no version says anything."""
    check_parameters(name, {})
    risk = settings.risk
    return {ENGINE_BUDGETS: {"macro": risk.macro_share, "intraday": risk.intraday_share}}[name]


def parameter_store(settings: AgentMarketSettings) -> ParameterStore:
    """Return the store in the database that the settings name; the database is made if missing."""
    return ParameterStore(open_database(_url(settings)))


class BudgetFeed:
    """The engine budgets of a strategy: replayed in a backtest, read once a candle when live.

    Parameters
    ----------
    settings : AgentMarketSettings
    timeframe : str
        Of the strategy's candles.
    live : bool
        Whether the bot trades now. Then nothing that the store holds, and no failure to read it,
        raises: what cannot be known is a fault, at which the gate refuses.
    """

    def __init__(self, settings: AgentMarketSettings, timeframe: str, *, live: bool) -> None:
        self._settings, self._live = settings, live
        self._length = timeframe_seconds(timeframe)
        self._next_read: float = 0
        self._versions: list[Version] | None = None
        self._fault: str | None = None
        self._said: tuple[int, str | None] = (0, None)

    def refresh(self, now: datetime) -> str | None:
        """Read the store, once a candle; return, and log, what is different from before."""
        if not self._live or now.timestamp() < self._next_read:
            return None
        self._next_read = (now.timestamp() // self._length + 1) * self._length
        self._read()
        return self._news(now)

    def load(self) -> None:
        """Read the store, if that was never done.

        Raises
        ------
        ConfigError, StateCorrupt, SQLAlchemyError
            In a backtest: the store cannot be read.
        """
        if self._versions is None and self._fault is None:
            self._read()

    def at(self, moment: datetime) -> Budgets:
        """Return what holds at a moment, such as the close of the newest candle."""
        self.load()
        if self._fault is not None:
            return Budgets(fault=self._fault)
        version = version_at(self._versions or [], moment)
        shares = {} if version is None else version.values
        return Budgets({name: share for name, share in shares.items() if share is not None})

    def _read(self) -> None:
        try:
            self._versions, self._fault = _stored(self._settings), None
        except (ConfigError, StateCorrupt, SQLAlchemyError) as error:
            if not self._live:
                raise
            self._fault = f"the parameter store cannot be read: {str(error).splitlines()[0][:300]}"

    def _news(self, now: datetime) -> str | None:
        version = version_at(self._versions or [], now)
        said = (version.number if version else 0, self._fault)
        if said == self._said:
            return None
        self._said = said
        if self._fault is not None:
            message = f"{ENGINE_BUDGETS}: {self._fault}. Nothing is entered."
        elif version is None:
            message = f"{ENGINE_BUDGETS}: those of the configuration."
        else:
            shares = ", ".join(f"{name} {share}" for name, share in version.values.items())
            message = f"{ENGINE_BUDGETS}: version {version.number}: {shares} ({version.why})"
        logger.log(logging.WARNING if self._fault else logging.INFO, "%s", message)
        return message


def _stored(settings: AgentMarketSettings) -> list[Version]:
    """Return the versions of the engine budgets; none, and no new file, without a database."""
    url = _url(settings)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return []
    engine = open_database(url)
    try:
        versions = ParameterStore(engine).versions(ENGINE_BUDGETS)
    finally:
        engine.dispose()
    for version in versions:
        check_parameters(ENGINE_BUDGETS, version.values)
    return versions


def _url(settings: AgentMarketSettings) -> URL:
    return database_url(settings.state_dir, settings.flow.database_url)
