"""Logged transitions: what was seen, held, chosen and earned, row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent_market.errors import DataError

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

MILLISECOND = "datetime64[ms]"


class BufferHeader(BaseModel):
    """What the rows of a buffer mean.

    pairs : every pair that a row may name.
    timeframe : of the candles, as Freqtrade writes it.
    feature_names : of the observation's columns.
    state_names : of the position state's columns.
    positions : what action 0, 1, ... takes, as multiples of capital; ascending, 0 among them.
    cost : fee and slippage of one side in the rewards, as a share of the value traded.
    behavior : what chose the actions.
    knows_future : whether it saw prices later than its observation. Such a log teaches imitation;
        a value learned from it would count luck as skill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    pairs: tuple[str, ...] = Field(min_length=1)
    timeframe: str
    feature_names: tuple[str, ...] = Field(min_length=1)
    state_names: tuple[str, ...] = Field(min_length=1)
    positions: tuple[float, ...] = Field(min_length=2)
    cost: float = Field(ge=0)
    behavior: str
    knows_future: bool = False

    @model_validator(mode="after")
    def _check_names(self) -> BufferHeader:
        for name in ("pairs", "feature_names", "state_names"):
            names = getattr(self, name)
            if len(set(names)) != len(names):
                raise ValueError(f"{name} names one twice: {names}")
        ascending = all(a < b for a, b in zip(self.positions, self.positions[1:], strict=False))
        if not ascending or 0 not in self.positions:
            raise ValueError(f"positions {self.positions} are not ascending with 0 among them")
        return self


@dataclass(frozen=True)
class TransitionBuffer:
    """Transitions in the order in which they happened, episode after episode.

    Row i is followed by row i + 1 if both are of one episode; the last row of an episode that is
    not `done` was cut there, and what followed it is not known.

    Parameters
    ----------
    header : BufferHeader
    episode : array, int64, (n_rows,)
        Number of the episode; a contiguous run of rows of one pair.
    pair : array, int64, (n_rows,)
        Which of `header.pairs`.
    date : array, datetime64[ms], (n_rows,)
        Open of the observed candle, UTC.
    observation : array, float32, (n_rows, n_features)
        Known at that candle's close. Finite.
    position_state : array, float32, (n_rows, n_states)
        Known then too. Finite.
    held : array, int64, (n_rows,)
        Position before the action, as an index into `header.positions`.
    action : array, int64, (n_rows,)
        Position asked for, as an index into `header.positions`.
    reward : array, float64, (n_rows,)
        Earned from the fill at the next open to the open after it. Finite.
    done : array, bool, (n_rows,)
        Nothing can follow, such as a liquidation.

    Raises
    ------
    DataError
        An array has another length or kind of value than it says here, or an episode is of two
        pairs, goes back in time, or goes on after it is done.
    """

    header: BufferHeader
    episode: Integers
    pair: Integers
    date: npt.NDArray[np.datetime64]
    observation: Float32
    position_state: Float32
    held: Integers
    action: Integers
    reward: Floats
    done: Booleans

    def __post_init__(self) -> None:
        """Check shapes, ranges and the order of rows."""
        self._check_shapes()
        limits = {
            "pair": len(self.header.pairs),
            "held": len(self.header.positions),
            "action": len(self.header.positions),
        }
        for name, limit in limits.items():
            values = getattr(self, name)
            _refuse(name, values, (values < 0) | (values >= limit), f"0 to {limit - 1}")
        for name in ("observation", "position_state", "reward"):
            values = getattr(self, name)
            bad = ~np.isfinite(values).reshape(len(self), -1).all(axis=1)
            _refuse(name, values, bad, "finite")
        self._check_order()

    def __len__(self) -> int:
        return len(self.reward)

    def rows(self, start: int, stop: int) -> TransitionBuffer:
        """Return a contiguous part."""
        return self.take(np.arange(*slice(start, stop).indices(len(self))))

    def take(self, rows: Integers | Booleans) -> TransitionBuffer:
        """Return some rows, in order."""
        return TransitionBuffer(self.header, **{n: getattr(self, n)[rows] for n in ARRAYS})

    @property
    def next_row(self) -> Integers:
        """Row that follows each one, (n_rows,); -1 where none is known."""
        follows = np.arange(1, len(self) + 1)
        last = np.append(np.diff(self.episode) != 0, True)
        follows[last | self.done] = -1
        return follows

    def _check_shapes(self) -> None:
        n_rows = len(self.reward)
        for name, kind in ARRAYS.items():
            shape: tuple[int, ...] = (n_rows,)
            if name == "observation":
                shape = (n_rows, len(self.header.feature_names))
            elif name == "position_state":
                shape = (n_rows, len(self.header.state_names))
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.dtype(kind):
                raise DataError(
                    f"buffer: {name} is {array.dtype} of the shape {array.shape}, needed is "
                    f"{np.dtype(kind)} of the shape {shape}."
                )

    def _check_order(self) -> None:
        if not len(self):
            return
        within = np.diff(self.episode) == 0
        wrong = {
            "an episode number comes back": np.diff(self.episode) < 0,
            "an episode is of two pairs": within & (np.diff(self.pair) != 0),
            "an episode goes back in time": within & (np.diff(self.date.astype(np.int64)) <= 0),
            "an episode goes on after it is done": within & self.done[:-1],
        }
        for what, rows in wrong.items():
            if rows.any():
                row = int(np.flatnonzero(rows)[0]) + 1
                raise DataError(
                    f"buffer: {what}: row {row}, episode {self.episode[row]}, {self.date[row]}. "
                    "Order rows by episode and date."
                )


# the arrays of a buffer, and what each holds
ARRAYS: dict[str, str] = {
    "episode": "int64",
    "pair": "int64",
    "date": MILLISECOND,
    "observation": "float32",
    "position_state": "float32",
    "held": "int64",
    "action": "int64",
    "reward": "float64",
    "done": "bool",
}
if list(ARRAYS) != [field.name for field in fields(TransitionBuffer)][1:]:
    raise TypeError("ARRAYS does not name the fields of TransitionBuffer")


def join(buffers: Sequence[TransitionBuffer]) -> TransitionBuffer:
    """Return the rows of several parts of one buffer in one.

    Raises
    ------
    DataError
        There is none, or their headers differ.
    """
    if not buffers:
        raise DataError("buffer: there is nothing to join. Record at least one episode.")
    header = buffers[0].header
    for buffer in buffers:
        if buffer.header != header:
            raise DataError(f"buffer: parts have different headers: {header} {buffer.header}.")
    columns = {name: np.concatenate([getattr(b, name) for b in buffers]) for name in ARRAYS}
    return TransitionBuffer(header, **columns)


class ContentDigest:
    """SHA-256 of a header and rows, the same however rows are split into parts and stored."""

    def __init__(self, header: BufferHeader) -> None:
        self._hash = hashlib.sha256(header.model_dump_json(by_alias=True).encode())
        self.n_rows = 0

    def update(self, part: TransitionBuffer) -> None:
        """Add rows."""
        packed = np.empty(
            len(part),
            dtype=[(name, _stored(kind), getattr(part, name).shape[1:]) for name, kind in _KINDS],
        )
        for name in ARRAYS:
            packed[name] = getattr(part, name)
        self._hash.update(packed.tobytes())
        self.n_rows += len(part)

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        return self._hash.hexdigest()


_KINDS = tuple(ARRAYS.items())


def _stored(kind: str) -> np.dtype[Any]:
    """Return the kind with its byte order fixed, for equal digests on all machines."""
    return np.dtype(kind).newbyteorder("<")


def _refuse(name: str, values: npt.NDArray[np.generic], bad: Booleans, wanted: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"buffer: {name} of row {row} is {values[row]}, needed is {wanted}.")


def split(buffer: TransitionBuffer, n_rows: int) -> Iterator[TransitionBuffer]:
    """Yield parts of at most `n_rows` rows."""
    for start in range(0, len(buffer), n_rows):
        yield buffer.rows(start, start + n_rows)


def header_of(parts: Iterable[TransitionBuffer]) -> tuple[BufferHeader, Iterator[TransitionBuffer]]:
    """Return the header of the first part, and all parts.

    Raises
    ------
    DataError
        There is no part.
    """
    remaining = iter(parts)
    first = next(remaining, None)
    if first is None:
        raise DataError("buffer: there are no rows to write. Record at least one episode.")

    def again() -> Iterator[TransitionBuffer]:
        yield first
        yield from remaining

    return first.header, again()
