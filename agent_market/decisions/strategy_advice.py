"""What a strategy asks about bias and event mode, live and in a backtest, by the same code."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

import pandas as pd

from agent_market.decisions.advice import A, Clamp, History, Reading, history_path, read_advice
from agent_market.decisions.bias import Bias, bias_at, bias_clamp
from agent_market.decisions.event_mode import (
    EventMode,
    event_clamp,
    event_mode_at,
    mode_switches,
)
from agent_market.errors import DataError
from agent_market.settings import AgentMarketSettings, BiasSettings, EventModeSettings

logger = logging.getLogger(__name__)


def bias_path(settings: AgentMarketSettings) -> Path:
    """Return where the bias stands; its history lies beside it."""
    return settings.state_dir / "bias.json"


def event_mode_path(settings: AgentMarketSettings) -> Path:
    """Return where the event mode stands; its history lies beside it."""
    return settings.state_dir / "event_mode.json"


class AdviceFeed(Generic[A]):
    """Advice of one kind: its file as it changes when live, its history in a backtest.

    Live, what the file says is added to the history at the moment it was written, and never before
    the file was last looked at, so a candle's row does not change once it was decided on, and a
    backtest of that history sees the same.

    Parameters
    ----------
    path : Path
        The file; read when live.
    kind, clamp
        Schema of the file, and the settings' bounds.
    settings : BiasSettings or EventModeSettings
        `enabled`, `history` and `pinned`.
    live : bool
        Whether to read the file, or to replay `settings.history`.
    """

    def __init__(
        self,
        path: Path,
        kind: type[A],
        clamp: Clamp[A],
        settings: BiasSettings | EventModeSettings,
        *,
        live: bool,
    ) -> None:
        self.history: History[A] = History()
        self._path, self._kind, self._clamp = path, kind, clamp
        self._reads = live and settings.enabled
        self._content: bytes | None = None
        self._read_at: datetime | None = None
        self._said: Reading[A] = Reading(None)
        if settings.enabled:
            past = history_path(path) if live else settings.history
            self._begin(past, settings.pinned, live=live)

    def _begin(self, past: Path | None, pinned: Mapping[str, Any] | None, *, live: bool) -> None:
        if past is not None and not live and not past.is_file():
            raise DataError(f"history {past} does not exist. Correct the path in the config.")
        if past is not None:
            self.history = self._history_of(past, live=live)
        for reading in self.history.readings:
            if reading.reasons:
                logger.debug("%s: %s", past, " ".join(reading.reasons))
        if pinned is not None:
            reading = read_advice(self._kind, json.dumps(pinned).encode(), self._clamp)
            if reading.reasons:
                logger.warning("pinned %s: %s", self._kind.__name__, " ".join(reading.reasons))
            if reading.advice is not None:
                self.history.add(reading.advice.created_at, reading)

    def _history_of(self, path: Path, *, live: bool) -> History[A]:
        try:
            return History.of_file(path, self._kind, self._clamp)
        except (DataError, OSError) as error:
            if not live:
                raise
            # live, it only fills the rows of candles that are past
            logger.warning("%s. Going on without the history.", error)
            return History()

    def refresh(self, now: datetime) -> str | None:
        """Read the file if it changed; return, and log, what is different from the time before.

        Nothing that the file holds, and no failure to read it, raises.
        """
        if not self._reads:
            return None
        content, written_at = _content_of(self._path)
        if content != self._content:
            self._add(content, written_at or now, now)
            self._content = content
        self._read_at = now
        return self._news(self.history.at(now))

    def _add(self, content: bytes | None, written_at: datetime, now: datetime) -> None:
        if content is None:
            self.history.add(now, Reading(None))
            return
        reading = read_advice(self._kind, content, self._clamp)
        if self._read_at is not None:  # a bot looks some seconds after the close that it decides on
            available_at = min(max(written_at, self._read_at), now)
        else:  # one that was there before the bot gives way to a newer one that the config pins
            available_at = min(reading.advice.created_at if reading.advice else now, now)
        self.history.add(available_at, reading)

    def _news(self, reading: Reading[A]) -> str | None:
        before, self._said = self._said, reading
        if _identity(reading) == _identity(before):
            return None
        name = self._path.name
        if reading.advice is None:
            message = f"{name}: {' '.join(reading.reasons) or 'none in force.'}"
        else:
            until = reading.advice.expires_at.isoformat()
            message = " ".join(
                [f"{name}: {reading.advice.id} is in force until {until}.", *reading.reasons]
            )
        logger.log(logging.WARNING if reading.reasons else logging.INFO, "%s", message)
        return message


class StrategyAdvice:
    """Bias and event mode as a strategy uses them.

    Make it once, `refresh` it in `bot_loop_start`, and join `columns` in `populate_indicators`. In
    a backtest it replays `bias.history` and `event_mode.history`; live it reads the files.

    Parameters
    ----------
    settings : AgentMarketSettings
    timeframe : str
        Of the strategy's candles.
    live : bool
        Whether the bot trades now (dry or not), or a backtest replays the past.

    Raises
    ------
    DataError
        A history that the settings name does not exist.
    """

    def __init__(self, settings: AgentMarketSettings, timeframe: str, *, live: bool) -> None:
        self._timeframe = timeframe
        self.bias: AdviceFeed[Bias] = AdviceFeed(
            bias_path(settings), Bias, bias_clamp(settings.bias), settings.bias, live=live
        )
        self.event_mode: AdviceFeed[EventMode] = AdviceFeed(
            event_mode_path(settings),
            EventMode,
            event_clamp(settings.event_mode),
            settings.event_mode,
            live=live,
        )

    def refresh(self, now: datetime) -> list[str]:
        """Read the files; return what changed, for a message to people."""
        news = (self.bias.refresh(now), self.event_mode.refresh(now))
        return [message for message in news if message]

    def columns(self, pair: str, dates: pd.Series) -> pd.DataFrame:
        """Return the columns `am_bias*` and `am_event*`, on the index of `dates`.

        `bias_at` and `event_mode_at` describe them. Information time: row t uses advice that could
        be read at its close.
        """
        bias = bias_at(self.bias.history, pair, dates, self._timeframe)
        return bias.join(event_mode_at(self.event_mode.history, dates, self._timeframe))

    def switches(self, dates: pd.Series, modes: Sequence[str]) -> pd.DataFrame:
        """Return 1 where event mode switches a mode on, -1 where off, else 0; a column a mode."""
        return mode_switches(self.event_mode.history, dates, self._timeframe, modes)


def _content_of(path: Path) -> tuple[bytes | None, datetime | None]:
    """Return the file's bytes, None without a file, and when it was written.

    A file that cannot be read is malformed.
    """
    try:
        with path.open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime
            return file.read(), datetime.fromtimestamp(written, UTC)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return f"unreadable: {error.strerror}".encode(), None


def _identity(reading: Reading[A]) -> tuple[str | None, tuple[str, ...]]:
    # the time in "it is ..." of a reason must not make it a new one
    plain = tuple(reason.split(", and it is ")[0] for reason in reading.reasons)
    return (reading.advice.id if reading.advice else None, plain)
