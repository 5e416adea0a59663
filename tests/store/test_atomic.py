import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_market.errors import StateCorrupt
from agent_market.store import read_json, write_json, write_text, write_with


def test_that_a_failing_writer_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text(path, "old")

    def fail_half_way(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_with(path, fail_half_way)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_that_a_reader_never_sees_a_part_while_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    script = (
        "import itertools, sys; from pathlib import Path\n"
        "from agent_market.store import write_json\n"
        "for n in itertools.count():\n"
        "    write_json(Path(sys.argv[1]), {'n': n, 'rows': [n] * 20_000})\n"
    )
    for attempt in range(5):
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05 + 0.017 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = read_json(path)
        assert content["rows"] == [content["n"]] * 20_000


def test_that_nan_is_refused_rather_than_written_as_invalid_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "state.json", {"sharpe": float("nan")})
    assert not (tmp_path / "state.json").exists()


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_that_a_cut_file_is_named_with_what_to_do(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": [1, 2]})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StateCorrupt, match=r"state\.json is not valid JSON.*restore a backup"):
        read_json(path)
