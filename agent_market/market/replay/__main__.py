"""Entry point of the process that `launch_replay` starts: datadir and settings as arguments."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from agent_market.errors import AgentMarketError
from agent_market.market.replay.server import serve
from agent_market.settings import ReplaySettings


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the parent closes the pipe or dies
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(url: str, port: int) -> None:
    sys.stdout.write(json.dumps({"url": url, "port": port}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve until told to stop; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        serve(Path(sys.argv[1]), ReplaySettings.model_validate_json(sys.argv[2]), _announce)
    except AgentMarketError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
