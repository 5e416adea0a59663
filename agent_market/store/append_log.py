"""An append-only log of records that loses nothing it acknowledged."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from agent_market.store.atomic import fsync, write_bytes

logger = logging.getLogger(__name__)

Value = bool | int | float | str | None
Record = Mapping[str, Value]

_LINE = re.compile(rb'\{"crc32":"([0-9a-f]{8})","record":(\{.*\})\}')
_START = re.compile(rb'(?=\{"crc32":")')


class AppendLog:
    """JSON lines, a checksum each: `{"crc32":"1a2b3c4d","record":{"close":1.5,"label":null}}`.

    A record is acknowledged when `append` returns: it is on the disk then. One process writes to a
    log at a time.
    """

    def __init__(self, path: Path, n_records: int) -> None:
        self.path = path
        self._n_records = n_records

    @classmethod
    def open(cls, path: Path) -> tuple[Self, list[dict[str, Value]]]:
        """Return the log at `path`, which need not exist, and every complete record in it.

        Bytes that are no complete record, a torn tail or a damaged line, are moved to
        `<name>.damaged` beside the log and reported by one log line.

        Returns
        -------
        tuple of AppendLog and list of dict
            The records in the order they were written; NaN and infinity read as None.
        """
        content = path.read_bytes() if path.is_file() else b""
        found = _scan(content)
        if found.damaged:
            _set_aside(path, found)
        if content and (found.damaged or not content.endswith(b"\n")):
            write_bytes(path, b"".join(line + b"\n" for line in found.lines))
        bodies = b",".join(_body(line) for line in found.lines)
        return cls(path, len(found.lines)), json.loads(b"[" + bodies + b"]")

    def __len__(self) -> int:
        """Return the number of records in the log."""
        return self._n_records

    def append(self, record: Record) -> None:
        """Write one record and flush it to the disk; see `extend`."""
        self.extend([record])

    def extend(self, records: Iterable[Record]) -> None:
        """Write records by one flush to the disk.

        Parameters
        ----------
        records : iterable of mappings
            Flat: strings, booleans, numbers and None. NaN and infinity are stored as null.

        Raises
        ------
        OSError
            The disk refused; the log is as it was before.
        """
        lines = [_line(record) for record in records]
        _append(self.path, b"".join(lines))
        self._n_records += len(lines)

    def compact(self, keep: int) -> None:
        """Rewrite the log atomically with its newest `keep` records (at least 1)."""
        if keep < 1:
            raise ValueError(f"keep is {keep}. Keep at least one record, or delete {self.path}.")
        lines = self.path.read_bytes().split(b"\n")[:-1][-keep:]
        write_bytes(self.path, b"".join(line + b"\n" for line in lines))
        self._n_records = len(lines)


def read_records(path: Path) -> list[dict[str, Value]]:
    """Return every complete record of a log that another process may be writing.

    The file is left as it is, and need not exist; a torn tail and damaged lines are left out.
    """
    content = path.read_bytes() if path.is_file() else b""
    bodies = b",".join(_body(line) for line in _scan(content).lines)
    records: list[dict[str, Value]] = json.loads(b"[" + bodies + b"]")
    return records


class _Scan(NamedTuple):
    lines: Sequence[bytes]
    damaged: Sequence[bytes]
    first_damaged: int


def _scan(content: bytes) -> _Scan:
    """Sort the lines into complete ones and others."""
    good: list[bytes] = []
    damaged: list[bytes] = []
    first = 0
    for position, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        if _is_complete(line):
            good.append(line)
            continue
        first = first or position
        # a damaged line feed glues two records together, which are both complete
        for piece in filter(None, _START.split(line)):
            if _is_complete(piece):
                good.append(piece)
            elif _is_complete(piece[:-1]):
                good.append(piece[:-1])
                damaged.append(piece[-1:])
            else:
                damaged.append(piece)
    return _Scan(good, damaged, first)


def _is_complete(line: bytes) -> bool:
    match = _LINE.fullmatch(line)
    return match is not None and zlib.crc32(match[2]) == int(match[1], 16)


def _body(line: bytes) -> bytes:
    return line[line.index(b"{", 1) : -1]


def _line(record: Record) -> bytes:
    plain = {name: _plain(value) for name, value in record.items()}
    body = json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()
    return b'{"crc32":"%08x","record":%s}\n' % (zlib.crc32(body), body)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _append(path: Path, content: bytes) -> None:
    """Write at the end and flush to the disk, or leave the file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
    if is_new:
        fsync(path.parent)


def _set_aside(path: Path, found: _Scan) -> None:
    """Keep the damaged bytes, before the log is rewritten without them."""
    side = path.with_name(f"{path.name}.damaged")
    _append(side, b"".join(piece + b"\n" for piece in found.damaged))
    logger.warning(
        "%s: %d damaged piece(s), the first in line %d. Moved %s bytes to %s and kept %d complete "
        "records.",
        path,
        len(found.damaged),
        found.first_damaged,
        f"{sum(map(len, found.damaged)):,}",
        side.name,
        len(found.lines),
    )
