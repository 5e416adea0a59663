"""How a model is asked from a command line: within a budget, and recorded or replayed."""

from __future__ import annotations

from pathlib import Path

from agent_market.llm.budget import Budget
from agent_market.llm.client import ChatClient
from agent_market.llm.messages import Ask
from agent_market.llm.recording import Recorder, Replayer
from agent_market.settings import LlmSettings


def open_model(settings: LlmSettings, exchanges: Path, replay: Path | None) -> Ask:
    """Return the server's model, recorded in `exchanges`, or the model of a record.

    Raises
    ------
    ModelUnavailable
        No server is configured, or its key is missing.
    ConfigError
        There is no record at `replay`.
    """
    if replay is None:
        ask = Recorder(exchanges, ChatClient(settings).ask).ask
    else:
        ask = Replayer(replay).ask
    return Budget(ask, settings.budget_tokens, settings.budget_seconds).ask
