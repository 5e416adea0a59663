"""What `market.json` states: settings, planted alpha, and what is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_market.market.simulator import alpha, process
from agent_market.market.simulator.market import Blueprint
from agent_market.settings import SimulatorSettings
from agent_market.store import hash_files, hash_json

SCHEMA = 1
_DESCRIPTIONS = {
    "order_flow": (
        "Taker pressure: the running average (half-life 15 minutes) of each minute's buy-sell "
        "imbalance. Buying predicts a rise. Seen in side data order_flow and trades, and weaker in "
        "where candles close in their range."
    ),
    "regime": (
        "Momentum (average of volatility-scaled minute returns, half-life 2 hours) times the "
        "regime: +1 in a trend, where moves go on, -1 in a range, where they revert. The regime is "
        "common to all pairs, lasts 36 hours on average, and shows in volatility, volume and "
        "efficiency of the candles."
    ),
    "news": (
        "Sum of the sentiments of published headlines on the pair or the whole market, each "
        "halving in 60 minutes after publication. Seen in side data news."
    ),
    "crowding": (
        "Minus the premium that funding follows: where longs pay, the price falls. It moves at "
        "settlements, every 8 hours, and halves in 3 days. Seen in the funding rate, which is "
        "wider than without."
    ),
}
_STATEMENT = [
    (
        "Prices: log returns a minute of a common factor and an own part with stochastic "
        "volatility, a daily profile, two volatility regimes and jumps; rounded to ticks."
    ),
    "Trades: 4 to 40 a minute on a random path inside the minute; candles are their aggregate.",
    "Order books: one snapshot a minute on the last days only; depth does not react to orders.",
    "Funding: every 8 hours, around 0.01 % with the premium of the 8 hours before.",
    "Mark price: the minute closes. Open interest and liquidations follow volatility.",
    "Headlines: templates with random delays; what they say is invented.",
]


def make_manifest(blueprint: Blueprint, files: dict[str, str]) -> dict[str, Any]:
    """Return the manifest of a market whose `files` (path to SHA-256) have been written."""
    settings, drifts = blueprint.settings, blueprint.drifts
    stop_ms = blueprint.start_ms + settings.days * process.DAY * 60_000
    return {
        "schema": SCHEMA,
        "kind": "simulated",
        "identity": identity(settings),
        "settings": settings.model_dump(mode="json"),
        "start_ms": blueprint.start_ms,
        "stop_ms": stop_ms,
        "planted": [_planted(signal, drifts) for signal in _signals(drifts)],
        "combined_information_coefficient": {
            str(h): round(alpha.combined_coefficient(h, drifts), 6) for h in process.HORIZONS
        },
        "pairs": {profile.pair: vars(profile) for profile in blueprint.profiles},
        "statement": _STATEMENT,
        "files": files,
    }


def _signals(drifts: alpha.Drifts) -> tuple[str, ...]:
    return (*alpha.SIGNALS, alpha.CROWDING) if drifts.crowding else alpha.SIGNALS


def identity(settings: SimulatorSettings) -> str:
    """Return the hash of everything a market follows from: the settings and the code."""
    market = Path(__file__).parents[1]
    code = [*(market / "simulator").glob("*.py"), market / "candles.py", market / "sidedata.py"]
    return hash_json([SCHEMA, settings.model_dump(mode="json"), hash_files(code, market)])


def _planted(signal: str, drifts: alpha.Drifts) -> dict[str, Any]:
    return {
        "signal": signal,
        "description": _DESCRIPTIONS[signal],
        "own_horizon": alpha.OWN_HORIZON[signal],
        "information_coefficient": {
            str(h): round(alpha.information_coefficient(signal, h, drifts), 6)
            for h in process.HORIZONS
        },
        "derivation": "closed form from the process, not measured on this data",
    }
