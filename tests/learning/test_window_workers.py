"""The processes that train windows, and what becomes of them once the one that asks is gone."""

import subprocess
import sys

import psutil
import pytest

from tests.freqtrade_process import PROJECT, outlive

PARENT = """
import time, threading
from agent_market.learning.window_model import ModelSpec
from agent_market.learning.window_tasks import start_workers
start_workers(2, ModelSpec("linear_regressor", {{"imputer": "median"}}, 7, 1))
while any(thread.name == "start-workers" for thread in threading.enumerate()):
    time.sleep(0.05)
time.sleep({after})
print("ready", flush=True)
time.sleep(60)
"""
"""A process with two idle workers, which the thread that started them has left behind."""


def start_parent(after: float) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(after=after)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    return parent, [child for child in children if "LokyProcess" in " ".join(child.cmdline())]


@pytest.mark.skipif(sys.platform == "win32", reason="there a parent's death cannot be seen")
def test_that_idle_workers_outlive_the_thread_that_started_them_but_not_their_process() -> None:
    parent, workers = start_parent(after=2.5)
    with parent:
        assert len(workers) == 2
        parent.kill()
        assert not outlive(workers)
