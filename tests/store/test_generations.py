import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_market.errors import ModelUnavailable
from agent_market.store import Generations

STORED = {"model.bin": b"\x00weights\xff" * 40, "parts/names.txt": b"a\nb\n"}


def fill(folder: Path, stamp: int) -> None:
    (folder / "parts").mkdir()
    for name, content in STORED.items():
        (folder / name).write_bytes(content + str(stamp).encode())


def commit(store: Generations, stamp: int) -> int:
    return store.commit(lambda folder: fill(folder, stamp), {"stamp": stamp}).number


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_that_the_newest_of_two_is_read_back_with_its_meta(tmp_path: Path) -> None:
    store = Generations(tmp_path)
    assert [commit(store, stamp) for stamp in (10, 20)] == [1, 2]
    newest = Generations(tmp_path).newest()
    assert (newest.number, newest.meta) == (2, {"stamp": 20})
    assert (newest.folder / "model.bin").read_bytes() == STORED["model.bin"] + b"20"
    assert (newest.folder / "parts/names.txt").read_bytes() == b"a\nb\n20"


@pytest.mark.parametrize(("keep", "left"), [(1, [5]), (2, [4, 5]), (None, [1, 2, 3, 4, 5])])
def test_that_as_many_generations_stay_as_asked_for(
    tmp_path: Path, keep: int | None, left: list[int]
) -> None:
    store = Generations(tmp_path, keep=keep)
    for stamp in range(5):
        commit(store, stamp)
    assert names(tmp_path) == [f"generation-{number:08d}" for number in left]


def test_that_keeping_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one generation"):
        Generations(tmp_path, keep=0)


def test_that_an_empty_folder_says_that_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="none of 0 generations is complete"):
        Generations(tmp_path / "missing").newest()


@pytest.mark.parametrize("name", ["model.bin", "parts/names.txt", "manifest.json"])
def test_that_a_cut_or_flipped_file_falls_back_to_the_generation_before(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Generations(tmp_path / "intact")
    commit(store, 1)
    commit(store, 2)
    content = (store.newest().folder / name).read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        for damaged in (content[:position], bytes(flipped)):
            copy = tmp_path / "copy"
            shutil.copytree(store.folder, copy)
            (copy / "generation-00000002" / name).write_bytes(damaged)
            caplog.clear()
            newest = Generations(copy).newest()
            if newest.number == 1:
                assert "generation-00000002 is not complete" in caplog.text
            else:  # the manifest's last line feed, or white space for another white space
                assert name == "manifest.json"
                assert newest.meta == {"stamp": 2}
                assert b"".join(damaged.split()) == b"".join(content.split())
            shutil.rmtree(copy)


def test_that_a_missing_file_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Generations(tmp_path)
    commit(store, 1)
    commit(store, 2)
    (store.newest().folder / "model.bin").unlink()
    with caplog.at_level(logging.WARNING):
        assert store.newest().number == 1
    assert re.search(r"generation-00000002 is not complete .*model\.bin", caplog.text)


def test_that_damaged_generations_do_not_push_out_the_last_complete_one(tmp_path: Path) -> None:
    store = Generations(tmp_path, keep=2)
    commit(store, 1)
    commit(store, 2)
    (store.newest().folder / "model.bin").write_bytes(b"")
    assert commit(store, 3) == 3
    assert [generation.number for generation in store.complete()] == [3, 1]


def test_that_the_number_of_a_damaged_generation_is_not_given_again(tmp_path: Path) -> None:
    store = Generations(tmp_path)
    commit(store, 1)
    (store.newest().folder / "manifest.json").unlink()
    assert commit(store, 2) == 2


def test_that_a_failing_writer_leaves_the_old_generation_and_no_litter(tmp_path: Path) -> None:
    store = Generations(tmp_path)
    commit(store, 1)

    def fail_half_way(folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.commit(fail_half_way)
    with pytest.raises(ValueError, match="JSON"):
        store.commit(lambda folder: fill(folder, 2), {"mean": float("nan")})
    assert names(tmp_path) == ["generation-00000001"]
    assert store.newest().meta == {"stamp": 1}


def test_that_a_killed_writer_leaves_a_complete_generation_and_its_litter_goes(
    tmp_path: Path,
) -> None:
    script = (
        "import itertools, sys; from pathlib import Path\n"
        "from agent_market.store import Generations\n"
        "store = Generations(Path(sys.argv[1]))\n"
        "for n in itertools.count():\n"
        "    def write(folder):\n"
        "        for part in range(20):\n"
        "            (folder / f'{part}.txt').write_text(f'{n} ' * 5_000)\n"
        "    print(store.commit(write, {'n': n}).number, flush=True)\n"
    )
    acknowledged = 0
    for attempt in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.03 + 0.013 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        printed = [int(line) for line in (first + writer.stdout.read()).split()]
        writer.wait()
        assert printed[0] > acknowledged
        acknowledged = printed[-1]
        newest = Generations(tmp_path).newest()
        assert newest.number >= acknowledged
        for part in range(20):
            content = (newest.folder / f"{part}.txt").read_text()
            assert content == f"{newest.meta['n']} " * 5_000
        acknowledged = newest.number
    commit(Generations(tmp_path), 1)
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]
    assert len(names(tmp_path)) == 2
