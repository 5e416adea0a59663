"""Biases and event modes that tests of several files start from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agent_market.decisions.bias import Bias
from agent_market.decisions.event_mode import EventMode

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
PAIR = "BTC/USDT:USDT"
OTHER = "ETH/USDT:USDT"


def bias_of(created_at: datetime = START, minutes: float = 15, **pair: Any) -> Bias:
    """Return a bias of one pair that lasts so long."""
    content = {
        "version": 1,
        "id": f"bias-{created_at:%H%M%S}",
        "created_at": created_at.isoformat(),
        "expires_at": (created_at + timedelta(minutes=minutes)).isoformat(),
        "source": {"model": "test", "data_hash": "0" * 64},
        "pairs": {PAIR: {"direction": 1, "confidence": 0.5} | pair},
    }
    return Bias.model_validate(content, strict=False)


def event_of(created_at: datetime = START, hours: float = 1, **values: Any) -> EventMode:
    """Return an event mode that lasts so long."""
    content = {
        "version": 1,
        "id": f"event-{created_at:%H%M%S}",
        "created_at": created_at.isoformat(),
        "expires_at": (created_at + timedelta(hours=hours)).isoformat(),
        "reason": "test",
    }
    return EventMode.model_validate(content | values, strict=False)
