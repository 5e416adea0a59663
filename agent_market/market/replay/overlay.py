"""The Freqtrade configuration that points ccxt at the replay exchange."""

from __future__ import annotations

from typing import Any

_REST = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data",
    "dapiPublic": "/dapi/v1",
    "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2",
    "dapiData": "/dapi/futures/data",
    "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1",
    "papi": "/papi/v1",
    "papiV2": "/papi/v2",
}
# ccxt takes a socket for a spot one when its address holds "/stream", and puts a category before
# the last "/ws" of the linear address.
_SOCKETS = {
    "spot": "/stream/ws",
    "margin": "/stream/ws",
    "linear": "/fstream/ws",
    "inverse": "/dstream/ws",
    "stock": "/equity/ws",
    "option": "/eoptions/public/ws",
    "optionMarket": "/eoptions/market/ws",
    "optionPrivate": "/eoptions/private/ws",
    "papi": "/pm/ws",
}
_SOCKET_API = {"spot": "/ws-api/v3", "linear": "/ws-fapi/v1", "inverse": "/ws-dapi/v1"}


def ccxt_overlay(url: str) -> dict[str, Any]:
    """Return the overlay `{"exchange": {...}}` for a replay exchange at `url`.

    Every address that ccxt (sync, async, pro) knows for Binance is replaced, so nothing leaves the
    machine; `only_from_ccxt` keeps `freqtrade download-data` off Binance's public archive, and
    ccxt's own request throttle, which loopback does not need, is off.
    """
    base = url.rstrip("/")
    socket = base.replace("http", "ws", 1)
    sockets: dict[str, Any] = {name: socket + path for name, path in _SOCKETS.items()}
    sockets["ws-api"] = {name: socket + path for name, path in _SOCKET_API.items()}
    api: dict[str, Any] = {name: base + path for name, path in _REST.items()}
    api["ws"] = sockets
    return {
        "exchange": {
            "only_from_ccxt": True,
            "ccxt_config": {"enableRateLimit": False, "urls": {"api": api}},
        }
    }
