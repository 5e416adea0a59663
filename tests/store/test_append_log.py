import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_market.store import AppendLog, append_log, read_records

RECORDS: list[dict[str, Any]] = [
    {"pair": "BTC/USDT:USDT", "date": f"2024-01-01T00:{i:02d}:00Z", "edge": i / 7, "class": "up"}
    for i in range(12)
]


def write(path: Path, records: list[dict[str, Any]]) -> bytes:
    log, before = AppendLog.open(path)
    assert before == []
    for record in records:
        log.append(record)
    return path.read_bytes()


def read(path: Path) -> list[dict[str, Any]]:
    return AppendLog.open(path)[1]


def test_that_every_appended_record_reads_back_to_the_last_bit(tmp_path: Path) -> None:
    content = write(tmp_path / "log.jsonl", RECORDS)
    assert read(tmp_path / "log.jsonl") == RECORDS
    assert (tmp_path / "log.jsonl").read_bytes() == content, "reading changes nothing"
    assert len(AppendLog.open(tmp_path / "log.jsonl")[0]) == len(RECORDS)


def test_that_every_line_is_json_a_person_can_read(tmp_path: Path) -> None:
    lines = write(tmp_path / "log.jsonl", RECORDS).decode().splitlines()
    assert [json.loads(line)["record"] for line in lines] == RECORDS


def test_that_nan_and_infinity_become_null(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", [{"a": math.nan, "b": math.inf, "c": 1.0}])
    assert read(tmp_path / "log.jsonl") == [{"a": None, "b": None, "c": 1.0}]


def test_that_a_log_cut_anywhere_keeps_its_complete_records_and_the_torn_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = write(tmp_path / "log.jsonl", RECORDS[:3])
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        path = folder / "log.jsonl"
        path.write_bytes(content[:cut])
        caplog.clear()
        log, records = AppendLog.open(path)
        n_complete = sum(end <= cut + 1 for end in ends)  # a line feed alone is no loss
        assert records == RECORDS[:n_complete]
        torn = content[:cut][ends[n_complete - 1] if n_complete else 0 :]
        side = folder / "log.jsonl.damaged"
        assert (side.read_bytes() if side.exists() else b"") == (torn + b"\n" if torn else b"")
        assert ("damaged piece" in caplog.text) == bool(torn)
        log.append(RECORDS[5])
        assert read(path) == [*records, RECORDS[5]]


def test_that_a_flipped_byte_costs_at_most_the_record_it_hit(tmp_path: Path) -> None:
    content = write(tmp_path / "log.jsonl", RECORDS[:3])
    for position, byte in enumerate(content):
        folder = tmp_path / str(position)
        folder.mkdir()
        path = folder / "log.jsonl"
        path.write_bytes(content[:position] + bytes([byte ^ 0x10]) + content[position + 1 :])
        hit = content[:position].count(b"\n")
        kept = RECORDS[:3] if byte == ord("\n") else RECORDS[:hit] + RECORDS[hit + 1 : 3]
        assert read(path) == kept
        assert (folder / "log.jsonl.damaged").stat().st_size > 0
        assert read(path) == kept, "the second time too"


def test_that_damage_is_reported_once_with_the_line_and_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.jsonl"
    content = write(path, RECORDS[:3])
    path.write_bytes(content.replace(b"00:01:00", b"00:09:00"))
    with caplog.at_level(logging.WARNING):
        assert read(path) == [RECORDS[0], RECORDS[2]]
    assert "1 damaged piece(s), the first in line 2" in caplog.text
    assert "log.jsonl.damaged" in caplog.text
    assert b"00:09:00" in (tmp_path / "log.jsonl.damaged").read_bytes()
    caplog.clear()
    read(path)
    assert caplog.text == ""


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
records_of_any_kind = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=8)


@given(records=records_of_any_kind, data=st.data())
def test_that_no_damage_costs_a_record_it_did_not_touch(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("property") / "log.jsonl"
    log, _ = AppendLog.open(path)
    log.extend(records)
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    places = st.integers(0, len(content)) | st.sampled_from([0, *ends])
    start, stop = sorted((data.draw(places), data.draw(places)))
    noise = data.draw(st.binary(max_size=60))
    path.write_bytes(content[:start] + noise + content[stop:])

    plain = [{k: append_log._plain(v) for k, v in record.items()} for record in records]
    lines = content.split(b"\n")[:-1]
    before = content[:start].count(b"\n")
    # a record that begins at or after `stop` is whole, as are all that end before `start`
    untouched_after = sum(1 for i in range(len(lines)) if _begins(lines, i) >= stop)
    found = read(path)
    assert found[:before] == plain[:before]
    assert found[len(found) - untouched_after :] == plain[len(plain) - untouched_after :]
    log, again = AppendLog.open(path)
    assert again == found
    log.append({"next": 1})
    assert read(path) == [*found, {"next": 1}]


def _begins(lines: list[bytes], index: int) -> int:
    return sum(len(line) + 1 for line in lines[:index])


def test_that_compaction_keeps_the_newest_records_and_appending_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, RECORDS)
    log, _ = AppendLog.open(path)
    log.compact(4)
    assert len(log) == 4
    log.append(RECORDS[0])
    assert read(path) == [*RECORDS[-4:], RECORDS[0]]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]
    with pytest.raises(ValueError, match="at least one record"):
        log.compact(0)


def test_that_a_record_the_disk_refuses_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    content = write(path, RECORDS[:2])
    log, _ = AppendLog.open(path)

    def refuse(descriptor: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(append_log.os, "fsync", refuse)
        with pytest.raises(OSError, match="disk full"):
            log.append(RECORDS[2])
    assert path.read_bytes() == content
    log.append(RECORDS[3])
    assert read(path) == [*RECORDS[:2], RECORDS[3]]
    assert len(log) == 3


def test_that_records_are_read_without_touching_a_torn_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log, _ = AppendLog.open(path)
    log.extend([{"n": 1}, {"n": 2}])
    torn = path.read_bytes() + b'{"crc32":"'
    path.write_bytes(torn)
    assert read_records(path) == [{"n": 1}, {"n": 2}]
    assert path.read_bytes() == torn
    assert read_records(tmp_path / "none.jsonl") == []
