"""Buffers on disk: JSON lines to read by eye or by another tool, Parquet to train from.

Both hold the same rows, carry the schema's version, and end with the number of rows and a SHA-256
of the content, which does not depend on the format. Written and read part by part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from agent_market.errors import ConfigError, DataError, StateCorrupt
from agent_market.rl.offline.buffer import (
    ARRAYS,
    BufferHeader,
    ContentDigest,
    TransitionBuffer,
    header_of,
    join,
)
from agent_market.store import write_with

PART_ROWS = 20_000
_HEADER, _ROWS, _DIGEST = "agent_market.header", "agent_market.rows", "agent_market.sha256"
_LISTS = ("observation", "position_state")


def write_buffer(path: Path, parts: Iterable[TransitionBuffer]) -> str:
    """Write a buffer atomically, one part in memory at a time.

    Parameters
    ----------
    path : Path
        Ends with `.jsonl` or `.parquet`, which says the format.
    parts : iterable of TransitionBuffer
        Of one header, in order; at least one.

    Returns
    -------
    str
        SHA-256 of the content: equal for both formats and for any split into parts.

    Raises
    ------
    ConfigError
        The name ends otherwise.
    DataError
        There is no part, or headers differ.
    """
    write, _ = _format(path)
    header, rows = header_of(parts)
    digest = ContentDigest(header)

    def checked() -> Iterator[TransitionBuffer]:
        for part in rows:
            if part.header != header:
                raise DataError(f"{path}: a part has another header: {part.header}, not {header}.")
            digest.update(part)
            yield part

    write_with(path, lambda temporary: write(temporary, header, checked(), digest))
    return digest.hexdigest()


def read_parts(path: Path) -> Iterator[TransitionBuffer]:
    """Yield the parts of a buffer file; rows are verified once the last one has been read.

    Raises
    ------
    DataError
        There is no such file.
    ConfigError
        Its name ends with neither `.jsonl` nor `.parquet`, or it is of another schema version.
    StateCorrupt
        It was cut or changed.
    """
    _, read = _format(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such buffer. Write it with export_rl_buffer.py.")
    try:
        yield from read(path)
    except _Damaged as error:
        raise _corrupt(path, error) from error
    except _DAMAGE as error:
        raise _corrupt(path, error) from error


def read_buffer(path: Path) -> TransitionBuffer:
    """Return a whole buffer, verified; see `read_parts`."""
    return join(list(read_parts(path)))


class _Damaged(Exception):  # noqa: N818 - turned into StateCorrupt with the file's name
    pass


# whatever a reader says of bytes that were changed, also a check of the rows they make
_DAMAGE = (
    DataError,
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
)

_Write = Callable[[Path, BufferHeader, Iterable[TransitionBuffer], ContentDigest], None]
_Read = Callable[[Path], Iterator[TransitionBuffer]]


def _format(path: Path) -> tuple[_Write, _Read]:
    formats: dict[str, tuple[_Write, _Read]] = {
        ".jsonl": (_write_lines, _read_lines),
        ".parquet": (_write_parquet, _read_parquet),
    }
    if path.suffix not in formats:
        raise ConfigError(
            f"{path}: a buffer's name ends with {' or '.join(formats)}, not {path.suffix!r}."
        )
    return formats[path.suffix]


def _corrupt(path: Path, error: Exception) -> StateCorrupt:
    return StateCorrupt(
        f"{path} is not a complete buffer ({type(error).__name__}: {error}). Export it again."
    )


def _header(text: str | bytes, path: Path) -> BufferHeader:
    try:
        version = json.loads(text)["schema"]
    except (ValueError, TypeError, KeyError) as error:
        raise _Damaged("no header that reads back") from error
    if version != 1:
        raise ConfigError(
            f"{path}: the buffer has schema {version}, this version reads 1. Export it again."
        )
    return BufferHeader.model_validate_json(text)


def _verify(digest: ContentDigest, n_rows: object, expected: object) -> None:
    if (digest.n_rows, digest.hexdigest()) != (n_rows, expected):
        raise _Damaged(
            f"{digest.n_rows:,} rows with the SHA-256 {digest.hexdigest()[:12]}..., the file says "
            f"{n_rows} rows with {str(expected)[:12]}..."
        )


def _write_lines(
    path: Path,
    header: BufferHeader,
    parts: Iterable[TransitionBuffer],
    digest: ContentDigest,
) -> None:
    with path.open("wb") as file:
        file.write(header.model_dump_json(by_alias=True).encode() + b"\n")
        for part in parts:
            for line in _lines(part):
                file.write(line)
        end = {"rows": digest.n_rows, "sha256": digest.hexdigest()}
        file.write(orjson.dumps(end) + b"\n")


def _lines(part: TransitionBuffer) -> Iterator[bytes]:
    plain = {name: getattr(part, name).tolist() for name in ARRAYS if name not in _LISTS}
    pairs = part.header.pairs
    dates = np.datetime_as_string(part.date, unit="ms").tolist()
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    for i in range(len(part)):
        row = {name: values[i] for name, values in plain.items()}
        row |= {"pair": pairs[plain["pair"][i]], "date": dates[i] + "Z"}
        for name in _LISTS:
            row[name] = np.ascontiguousarray(getattr(part, name)[i])
        yield orjson.dumps(row, option=options)


def _read_lines(path: Path) -> Iterator[TransitionBuffer]:
    with path.open("rb") as file:
        header = _header(file.readline(), path)
        digest = ContentDigest(header)
        codes = {pair: code for code, pair in enumerate(header.pairs)}
        rows: list[dict[str, Any]] = []
        for row in _records(file):
            if "sha256" in row:
                if rows:
                    part = _from_rows(header, codes, rows)
                    digest.update(part)
                    yield part
                _verify(digest, row.get("rows"), row["sha256"])
                if file.read(1):
                    raise _Damaged("bytes after the last line")
                return
            rows.append(row)
            if len(rows) == PART_ROWS:
                part = _from_rows(header, codes, rows)
                digest.update(part)
                yield part
                rows = []
    raise _Damaged("the last line, which says the number of rows, is missing")


def _records(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=2):
        if not line.endswith(b"\n"):
            raise _Damaged(f"line {number} is cut")
        record = orjson.loads(line)
        if not isinstance(record, dict):
            raise _Damaged(f"line {number} is no record")
        yield record


_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _from_rows(
    header: BufferHeader, codes: dict[str, int], rows: list[dict[str, Any]]
) -> TransitionBuffer:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ARRAYS}
    if not all(isinstance(text, str) and _DATE.fullmatch(text) for text in columns["date"]):
        raise _Damaged("a date is not of the form 2025-01-01T00:00:00.000Z")
    columns["date"] = [text[:-1] for text in columns["date"]]
    columns["pair"] = [codes[pair] for pair in columns["pair"]]
    with np.errstate(over="ignore"):  # a changed digit may overflow float32: the digest says so
        arrays = {name: np.array(columns[name], dtype=kind) for name, kind in ARRAYS.items()}
    return TransitionBuffer(header, **arrays)


def _write_parquet(
    path: Path,
    header: BufferHeader,
    parts: Iterable[TransitionBuffer],
    digest: ContentDigest,
) -> None:
    schema = _schema(header)
    with pq.ParquetWriter(
        path, schema, compression="zstd", write_page_checksum=True, use_dictionary=["pair"]
    ) as writer:
        for part in parts:
            writer.write_table(_table(part, schema))
        writer.add_key_value_metadata(
            {
                _HEADER: header.model_dump_json(by_alias=True),
                _ROWS: str(digest.n_rows),
                _DIGEST: digest.hexdigest(),
            }
        )


def _schema(header: BufferHeader) -> pa.Schema:
    kinds = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "datetime64[ms]": pa.timestamp("ms", tz="UTC"),
    }
    columns = {name: kinds[kind] for name, kind in ARRAYS.items() if name not in _LISTS}
    columns["pair"] = pa.string()
    # a column a feature: any reader of Parquet knows what to do with it
    named = [(name, columns[name]) for name in columns]
    named += [(f"observation.{name}", pa.float32()) for name in header.feature_names]
    named += [(f"position_state.{name}", pa.float32()) for name in header.state_names]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in named])


def _table(part: TransitionBuffer, schema: pa.Schema) -> pa.Table:
    pairs = np.array(part.header.pairs, dtype=object)
    columns: list[Any] = []
    for name in ARRAYS:
        if name == "pair":
            columns.append(pairs[part.pair])
        elif name not in _LISTS:
            columns.append(getattr(part, name))
    for name in _LISTS:
        columns.extend(np.ascontiguousarray(getattr(part, name).T))
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _read_parquet(path: Path) -> Iterator[TransitionBuffer]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        stored = file.metadata.metadata or {}
        header = _header(stored[_HEADER.encode()], path)
        digest = ContentDigest(header)
        codes = {pair: code for code, pair in enumerate(header.pairs)}
        for batch in file.iter_batches(PART_ROWS):
            part = _from_batch(header, codes, batch)
            digest.update(part)
            yield part
        _verify(digest, int(stored[_ROWS.encode()]), stored[_DIGEST.encode()].decode())


def _from_batch(
    header: BufferHeader, codes: dict[str, int], batch: pa.RecordBatch
) -> TransitionBuffer:
    arrays: dict[str, Any] = {}
    for name, kind in ARRAYS.items():
        if name == "pair":
            values = [codes[pair] for pair in batch["pair"].to_pylist()]
            arrays[name] = np.array(values, dtype=kind)
        elif name in _LISTS:
            names = header.feature_names if name == "observation" else header.state_names
            stacked = [batch[f"{name}.{column}"].to_numpy() for column in names]
            arrays[name] = np.ascontiguousarray(np.stack(stacked, axis=1))
        else:
            arrays[name] = batch[name].to_numpy(zero_copy_only=False).astype(kind)
    return TransitionBuffer(header, **arrays)
