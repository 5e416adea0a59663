"""`agent_flow`, killed by itself in the middle of writing the report. For the crash test only."""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import agent_market.store
from agent_market.store import atomic

write_with = atomic.write_with


def write_half_of_a_report(path: Path, write: Callable[[Path], object]) -> None:
    """Write as always, but a report only to its middle, and die there by SIGKILL."""

    def write_half(temporary: Path) -> None:
        write(temporary)
        os.truncate(temporary, temporary.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    write_with(path, write_half if path.suffix == ".html" else write)


atomic.write_with = agent_market.store.write_with = write_half_of_a_report
script = Path(__file__).resolve().parents[2] / "scripts" / "agent_flow.py"
sys.argv[0] = str(script)
runpy.run_path(str(script), run_name="__main__")
