"""The embedded market: consistent data from one seed, with planted, documented alpha.

`simulate` returns it as arrays, `write_market` makes a Freqtrade data directory of it.
"""

from agent_market.market.simulator.alpha import (
    CROWDING,
    OWN_HORIZON,
    SIGNALS,
    Drifts,
    combined_coefficient,
    find_drifts,
    information_coefficient,
)
from agent_market.market.simulator.frames import candles_of
from agent_market.market.simulator.market import Market, signal_of, simulate, trades_of
from agent_market.market.simulator.minutes import PairMarket
from agent_market.market.simulator.process import HORIZONS
from agent_market.market.simulator.storage import write_market

__all__ = [
    "CROWDING",
    "HORIZONS",
    "OWN_HORIZON",
    "SIGNALS",
    "Drifts",
    "Market",
    "PairMarket",
    "candles_of",
    "combined_coefficient",
    "find_drifts",
    "information_coefficient",
    "signal_of",
    "simulate",
    "trades_of",
    "write_market",
]
