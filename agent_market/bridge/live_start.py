"""Become the training worker, tied to the bot from the first moment.

Started by path with `python -P live_start.py PARENT_PID`, before the seconds that the worker's
imports take: Linux sends SIGKILL to this process when the thread that started it ends.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then run the worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The bot may have died before the call above; then no signal will come.
    if os.getppid() == int(sys.argv[1]):
        runpy.run_module("agent_market.bridge.live_worker", run_name="__main__")


if __name__ == "__main__":
    main()
