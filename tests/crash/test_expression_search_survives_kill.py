"""A search that is killed again and again ends as one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.crash.expression_search import run

PROJECT = Path(__file__).resolve().parents[2]
KILLS = 5


def begin(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.expression_search", str(folder)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def test_a_killed_search_ends_with_the_bytes_of_one_that_was_left_alone(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    moments = random.Random(11)
    for _ in range(KILLS):
        with begin(tmp_path / "killed") as life:
            assert life.stdout is not None
            for _ in range(moments.randint(1, 2)):
                assert life.stdout.readline().startswith("generation")
            time.sleep(moments.uniform(0, 0.1))
            os.kill(life.pid, signal.SIGKILL)
            assert "done" not in life.stdout.read()
    with begin(tmp_path / "killed") as life:
        assert life.stdout is not None
        assert life.stdout.read().endswith("done\n")
    for name in ("design.json", "trials.jsonl", "search.json", "decisions.jsonl"):
        whole, pieces = (tmp_path / kind / name for kind in ("whole", "killed"))
        assert pieces.read_bytes() == whole.read_bytes(), name
