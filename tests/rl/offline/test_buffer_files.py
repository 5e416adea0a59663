import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_market.errors import ConfigError, DataError, StateCorrupt
from agent_market.rl.offline import files
from agent_market.rl.offline.buffer import TransitionBuffer, split
from agent_market.rl.offline.files import read_buffer, read_parts, write_buffer
from tests.rl.offline.logged import assert_equal, some_rows

SUFFIXES = (".jsonl", ".parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(n_rows=st.integers(1, 60), seed=st.integers(0, 1000), size=st.integers(1, 70))
@settings(max_examples=25)
def test_that_rows_come_back_to_the_bit_however_they_are_split(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, n_rows: int, seed: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("b") / f"rows{suffix}"
    buffer = some_rows(n_rows, seed=seed)
    digest = write_buffer(path, split(buffer, size))
    assert_equal(read_buffer(path), buffer)
    assert digest == write_buffer(path, [buffer])


def test_that_the_two_formats_have_one_digest(tmp_path: Path) -> None:
    digests = {write_buffer(tmp_path / f"rows{suffix}", [some_rows(50)]) for suffix in SUFFIXES}
    assert len(digests) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_that_a_buffer_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write_buffer(path, [some_rows(9)])
    whole = path.read_bytes()
    for length in range(0, len(whole), 3 if suffix == ".jsonl" else 7):
        path.write_bytes(whole[:length])
        with pytest.raises(StateCorrupt, match=r"is not a complete buffer.*Export it again"):
            read_buffer(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_that_a_changed_byte_is_refused_or_changes_no_row(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    buffer = some_rows(9)
    write_buffer(path, [buffer])
    whole = path.read_bytes()
    refused, places = 0, range(0, len(whole), 7)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(changed))
        try:
            found = read_buffer(path)
        except (StateCorrupt, ConfigError):
            refused += 1
        else:
            assert_equal(found, buffer)
    assert refused > len(places) / 2  # most bytes matter


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_that_a_writer_that_fails_leaves_the_old_buffer(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write_buffer(path, [some_rows(9)])

    def failing() -> Iterator[TransitionBuffer]:
        yield some_rows(20)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_buffer(path, failing())
    assert_equal(read_buffer(path), some_rows(9))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_that_a_large_buffer_is_read_in_parts(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"rows{suffix}"
    monkeypatch.setattr(files, "PART_ROWS", 10)
    write_buffer(path, split(some_rows(95), 10))
    assert max(len(part) for part in read_parts(path)) == 10
    assert_equal(read_buffer(path), some_rows(95))


def test_that_lines_are_plain_json_and_columns_carry_the_names_of_features(tmp_path: Path) -> None:
    write_buffer(tmp_path / "rows.jsonl", [some_rows(3)])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    header, first, *_, end = map(json.loads, lines)
    assert header["feature_names"] == ["%-momentum", "%-volume_z"]
    assert (first["pair"], first["date"]) == ("BTC/USDT:USDT", "2025-01-01T00:00:00.000Z")
    assert end["rows"] == 3
    write_buffer(tmp_path / "rows.parquet", [some_rows(3)])
    frame = pq.read_table(tmp_path / "rows.parquet").to_pandas()
    assert frame["observation.%-momentum"].to_numpy() == pytest.approx(
        some_rows(3).observation[:, 0]
    )


def test_that_another_schema_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_buffer(path, [some_rows(3)])
    path.write_text(path.read_text().replace('"schema":1', '"schema":2'))
    with pytest.raises(ConfigError, match="schema 2, this version reads 1"):
        read_buffer(path)


def test_that_wrong_names_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends with \.jsonl or \.parquet"):
        write_buffer(tmp_path / "rows.csv", [some_rows(3)])
    with pytest.raises(DataError, match="there is no such buffer"):
        read_buffer(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match="no rows to write"):
        write_buffer(tmp_path / "rows.jsonl", [])


def test_that_rows_that_make_no_sense_are_refused() -> None:
    buffer = some_rows(20)
    columns = {name: getattr(buffer, name).copy() for name in files.ARRAYS}

    def changed(name: str, values: object) -> TransitionBuffer:
        return TransitionBuffer(buffer.header, **{**columns, name: np.asarray(values)})

    observation = columns["observation"].copy()
    observation[3, 1] = np.nan
    with pytest.raises(DataError, match="observation of row 3 is"):
        changed("observation", observation)
    with pytest.raises(DataError, match="action of row 0 is 3, needed is 0 to 2"):
        changed("action", np.full(20, 3))
    with pytest.raises(DataError, match="goes back in time: row 1"):
        changed("date", columns["date"][::-1].copy())
    with pytest.raises(DataError, match="reward is float32"):
        changed("reward", columns["reward"].astype(np.float32))
    with pytest.raises(DataError, match="goes on after it is done: row 1"):
        changed("done", np.ones(20, dtype=bool))


def test_that_the_row_after_an_episode_is_not_known() -> None:
    found = some_rows(16, per_episode=4).next_row
    assert found.tolist() == [1, 2, 3, -1, 5, 6, 7, -1, 9, 10, 11, -1, 13, 14, 15, -1]
