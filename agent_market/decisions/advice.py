"""Advice that runs out: what a bias and an event mode have in common.

Advice is a small JSON file beside the bot. Whoever reads it judges it by the clock, so advice whose
writer has died is over at its end all the same. Nothing in such a file can stop the reader: what is
wrong with it becomes a reason, and the strategy goes on without advice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from agent_market.errors import DataError
from agent_market.store import AppendLog, read_records, write_text

_MAX_BYTES = 1_000_000
_YEARS = range(2000, 2200)
_NEVER = (1, 0)


def _in_utc(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError(f"year {moment.year} is not within 2000..2199")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Advice(BaseModel):
    """What every piece of advice says of itself.

    created_at, expires_at : in UTC; it holds from the one to just before the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    id: str = Field(min_length=1, max_length=64)
    created_at: Moment
    expires_at: Moment

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Advice:
        if self.expires_at <= self.created_at:
            raise ValueError("expires_at is not after created_at")
        return self


A = TypeVar("A", bound=Advice)


@dataclass(frozen=True)
class Reading(Generic[A]):
    """What is in force (None: nothing), and why something else is not.

    `reasons` is empty where there is simply no advice.
    """

    advice: A | None
    reasons: tuple[str, ...] = ()


Clamp = Callable[[A], Reading[A]]
"""Returns what of well-formed advice is within the settings' bounds, and reasons for the rest."""


def parse_advice(kind: type[A], content: bytes) -> A:
    """Return the advice that `content` holds.

    Raises
    ------
    DataError
        It is not JSON of this schema; the message names the first key that is wrong.
    """
    if len(content) > _MAX_BYTES:
        raise DataError(f"malformed: {len(content):,} bytes, more than {_MAX_BYTES:,}")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part)[:64] for part in first["loc"]) or "the file"
        raise DataError(f"malformed: {where}: {first['msg'].lower()}") from error


def judge(reading: Reading[A], now: datetime) -> Reading[A]:
    """Return the reading as the clock leaves it: future-dated and expired advice is ignored."""
    advice = reading.advice
    if advice is None:
        return reading
    if advice.created_at > now:
        reason = f"{advice.id} is future-dated: created at {_text(advice.created_at)}"
    elif advice.expires_at <= now:
        reason = f"{advice.id} expired at {_text(advice.expires_at)}"
    else:
        return reading
    return Reading(None, (*reading.reasons, f"{reason}, and it is {_text(now)}. Ignored."))


def read_advice(kind: type[A], content: bytes, clamp: Clamp[A]) -> Reading[A]:
    """Return what `content` says, whatever the time; never raises on its account."""
    try:
        return clamp(parse_advice(kind, content))
    except DataError as error:
        return Reading(None, (f"{error}. Ignored.",))


def history_path(path: Path) -> Path:
    """Return where the advice published at `path` is recorded: `bias.json`, `bias.jsonl`."""
    return path.with_suffix(".jsonl")


def publish(path: Path, advice: Advice, now: datetime) -> None:
    """Record the advice in the history beside `path`, then put it into force atomically.

    A writer killed in between has recorded what no reader saw; killed earlier, nothing.
    """
    record_advice(history_path(path), [(now, advice)])
    write_text(path, advice.model_dump_json(indent=2) + "\n")


def record_advice(path: Path, given: Sequence[tuple[datetime, Advice]]) -> None:
    """Append advice to a history, each with the moment from which readers could see it."""
    log, _ = AppendLog.open(path)
    log.extend(
        {"available_at": _text(moment), "advice": advice.model_dump_json()}
        for moment, advice in given
    )


class History(Generic[A]):
    """Advice in the order in which it became visible; the newest that is visible decides.

    Where that one is over, or wrong, nothing is in force: an older one does not come back.
    """

    def __init__(self) -> None:
        self._available: list[int] = []
        self._spans: list[tuple[int, int]] = []
        self.readings: list[Reading[A]] = []

    @classmethod
    def of_file(cls, path: Path, kind: type[A], clamp: Clamp[A]) -> History[A]:
        """Return what `record_advice` wrote; the file may be missing, and is left as it is.

        Raises
        ------
        DataError
            The file is another log.
        """
        history: History[A] = cls()
        for record in read_records(path):
            try:
                moment = datetime.fromisoformat(str(record["available_at"]))
                content = str(record["advice"]).encode()
            except (KeyError, ValueError) as error:
                raise DataError(f"{path} is no history of advice: {error!r}.") from error
            history.add(moment, read_advice(kind, content, clamp))
        return history

    def __len__(self) -> int:
        """Return the number of readings."""
        return len(self.readings)

    def add(self, available_at: datetime, reading: Reading[A]) -> None:
        """Add a reading; of two at one moment the later added decides."""
        moment = _nanoseconds(available_at)
        place = bisect_right(self._available, moment)
        self._available.insert(place, moment)
        self._spans.insert(place, _span(reading))
        self.readings.insert(place, reading)

    def at(self, now: datetime) -> Reading[A]:
        """Return what is in force at `now`."""
        place = bisect_right(self._available, _nanoseconds(now)) - 1
        return Reading(None) if place < 0 else judge(self.readings[place], now)

    def rows(self, moments: pd.Series) -> npt.NDArray[np.int64]:
        """Return the place in `readings` of what is in force at each moment; -1 for none.

        Parameters
        ----------
        moments : Series of shape (n_rows,)
            When each row is known, UTC.

        Returns
        -------
        ndarray of shape (n_rows,)

        Notes
        -----
        Information time: row t uses advice available at `moments[t]` or before.
        """
        now = pd.DatetimeIndex(moments).as_unit("ns").asi8
        places = np.searchsorted(np.array(self._available, dtype=np.int64), now, side="right") - 1
        spans = np.array([*self._spans, _NEVER], dtype=np.int64)
        in_force = (spans[places, 0] <= now) & (now < spans[places, 1])
        return np.where(in_force, places, -1)


def looked_up(
    history: History[A],
    moments: pd.Series,
    values_of: Callable[[Reading[A]], Sequence[float]],
    columns: Sequence[str],
) -> pd.DataFrame:
    """Return what `values_of` says of the reading in force at each moment, a column a value.

    Parameters
    ----------
    values_of : callable
        Gets `Reading(None)` where nothing is in force.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns), the index of `moments`
    """
    used, row_of = np.unique(history.rows(moments), return_inverse=True)
    nothing: Reading[A] = Reading(None)
    table = [values_of(history.readings[place] if place >= 0 else nothing) for place in used]
    values = np.array(table).reshape(len(used), len(columns))[row_of]
    return pd.DataFrame(values, columns=list(columns), index=moments.index)


def _span(reading: Reading[A]) -> tuple[int, int]:
    """Return from when to when, in nanoseconds; an empty span where nothing is left."""
    if reading.advice is None:
        return _NEVER
    return _nanoseconds(reading.advice.created_at), _nanoseconds(reading.advice.expires_at)


def _nanoseconds(moment: datetime) -> int:
    return int(pd.Timestamp(moment).as_unit("ns").value)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
