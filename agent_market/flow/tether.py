"""Run a command that dies with the process that started it, even if that one is killed.

Started by path, with the standard library only: `python tether.py PARENT_PID COMMAND...`. Linux
sends SIGKILL to this process, and so to the command it becomes, when its parent ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call above; then no signal will come.
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606 - the flow builds the command


if __name__ == "__main__":
    main()
