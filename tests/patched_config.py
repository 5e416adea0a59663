"""A configuration that tests patch: valid for Freqtrade, with comments and a key in it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from agent_market.decisions.event_mode import EventMode
from agent_market.flow.patching import utc_now

TEXT = """{
    // what a person wrote
    "dry_run": true,
    "dry_run_wallet": 1000,
    "trading_mode": "futures",
    "margin_mode": "isolated",
    "stake_currency": "USDT",
    "stake_amount": "unlimited",
    "max_open_trades": 5,
    "tradable_balance_ratio": 0.9,
    "timeframe": "5m",
    "entry_pricing": {"price_side": "other", "use_order_book": true, "order_book_top": 1},
    "exit_pricing": {"price_side": "other", "use_order_book": true, "order_book_top": 1},
    "exchange": {
        "name": "binance",
        "key": "not-a-real-key",
        "pair_whitelist": ["BTC/USDT:USDT", "ETH/USDT:USDT"],
        "pair_blacklist": [],
    },
    "pairlists": [{"method": "StaticPairList"}],
    "agent_market": {"state_dir": "STATE"}
}
"""


def write_config_in(folder: Path) -> Path:
    """Write the configuration, readable by its owner only, and return its path."""
    path = folder / "config.json"
    path.touch(mode=0o600)
    path.write_text(TEXT.replace("STATE", str(folder / "state")))
    return path


def event_now(hours: float = 1, **values: Any) -> EventMode:
    """Return an event mode that has just begun."""
    now = utc_now()
    return EventMode(
        id="event-test",
        created_at=now,
        expires_at=now + timedelta(hours=hours),
        reason="test",
        **values,
    )
