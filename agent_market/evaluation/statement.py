"""What a backtest simulated, and what it does not prove, in plain lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_market.errors import DataError
from agent_market.evaluation.backtest_result import BacktestResult
from agent_market.market.candles import timeframe_seconds
from agent_market.store import read_json

MANIFEST = "market.json"
_SIMULATOR_SECONDS = 300

NOT_PROVEN = (
    "That the strategy will earn money: this is one path through one period.",
    (
        "That the settings were chosen without seeing this period; no figure here is corrected for "
        "the number of variants that were tried."
    ),
    "That orders of this size would have been filled at the prices shown.",
    (
        "That the pairs are independent evidence: they move together, and errors here treat all "
        "pairs of one window as one observation."
    ),
    "That the relation between features and returns will persist.",
)


def read_manifest(datadir: Path) -> dict[str, Any] | None:
    """Return the manifest of a simulated market, or None for recorded candles.

    Raises
    ------
    DataError
        The manifest is not a JSON object.
    """
    path = datadir / MANIFEST
    if not path.is_file():
        return None
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise DataError(f"{path} is not a JSON object. Make the simulated market again.")
    return manifest if manifest.get("kind") == "simulated" else None


def describe_market(
    manifest: dict[str, Any] | None, horizon: int | None, timeframe: str
) -> dict[str, Any]:
    """Return the kind of market and, for a simulated one, the alpha planted in it.

    `true_ic_at_horizon` is the documented coefficient of a planted signal at the label's own
    horizon; None where the simulator states none for it. The simulator counts horizons in 5m
    candles whatever the timeframe of the backtest.
    """
    if manifest is None:
        return {"kind": "recorded", "planted": []}
    steps, rest = divmod((horizon or 0) * timeframe_seconds(timeframe), _SIMULATOR_SECONDS)
    key = None if rest else str(steps)
    planted = [
        {
            "signal": str(entry["signal"]),
            "description": str(entry.get("description", "")),
            "information_coefficient": dict(entry.get("information_coefficient", {})),
            "true_ic_at_horizon": entry.get("information_coefficient", {}).get(key),
        }
        for entry in manifest.get("planted", [])
    ]
    return {"kind": "simulated", "planted": planted}


def simulation_statement(result: BacktestResult, manifest: dict[str, Any] | None) -> list[str]:
    """Return one line per thing that is simulated rather than observed."""
    return [*market_lines(manifest), *_execution_lines(result), *_futures_lines(result)]


def market_lines(manifest: dict[str, Any] | None) -> list[str]:
    """Return what is simulated about the candles themselves."""
    if manifest is None:
        return ["Candles are stored files of the data directory; the simulator did not make them."]
    return [
        "The whole market is simulated: no price, trade, book or headline here was observed.",
        *map(str, manifest.get("statement", [])),
    ]


def _execution_lines(result: BacktestResult) -> list[str]:
    rates = sorted({float(rate) for rate in result.trades["fee_open"]})
    fees = " and ".join(f"{rate * 100:g} %" for rate in rates) or "no"
    return [
        (
            "Fills: Freqtrade's backtester fills signals at the next candle's open, and stop-loss "
            "and ROI exits at their own level inside a candle."
        ),
        "Slippage, partial fills, queue position, latency and market impact: none.",
        f"Fees: a flat rate per order ({fees}); no tiers, no rebates.",
        "Exchange outages, rate limits and rejected orders: none.",
    ]


def _futures_lines(result: BacktestResult) -> list[str]:
    if not result.is_futures:
        return []
    margin = str(result.stats.get("margin_mode") or "isolated").lower()
    return [
        (
            "Funding: settled from the stored funding-rate and mark candles; a missing row costs "
            "nothing. The equity curve books it when the trade closes."
        ),
        (
            f"Liquidation: Freqtrade's formula for {margin} margin on leverage tiers shipped with "
            "it, not the exchange's engine; no insurance fund, no auto-deleveraging."
        ),
    ]
