"""An exchange on loopback that speaks the Binance protocol over stored data.

It serves any Freqtrade data directory to ccxt, ccxt.pro and Freqtrade as Binance would: spot and
USDT-M, REST and WebSocket streams, as stored or shifted so that the market goes on now.
"""

from agent_market.market.replay.launch import Replay, launch_replay
from agent_market.market.replay.overlay import ccxt_overlay

__all__ = ["Replay", "ccxt_overlay", "launch_replay"]
