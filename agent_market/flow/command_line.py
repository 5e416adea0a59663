"""How every command line here ends: a user's error is one line, not a traceback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from agent_market.errors import AgentMarketError, GateRejected, StepFailed


def run(app: Callable[[], None], *mistakes: type[Exception]) -> None:
    """Run a command line; warnings and errors go to the standard error.

    Exit code 1: not agreed to, or a step failed. Exit code 2: a mistake.

    Parameters
    ----------
    app : callable
    *mistakes : exception types
        A user's errors beside ours and the operating system's.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    expected: tuple[type[Exception], ...] = (AgentMarketError, OSError, *mistakes)
    try:
        app()
    except expected as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1 if isinstance(error, GateRejected | StepFailed) else 2)
