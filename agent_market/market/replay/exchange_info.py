"""`exchangeInfo`: the symbols of the data directory with plausible filters."""

from __future__ import annotations

from typing import Any

from agent_market.market.replay.filters import MIN_NOTIONAL
from agent_market.market.replay.protocol import text
from agent_market.market.replay.state import State
from agent_market.market.replay.venue import Venue

_PERPETUAL_DELIVERY = 4_133_404_800_000  # Binance's date for "never"
_MOST = "9000000"
_SPOT_ORDERS = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]
_USDM_ORDERS = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"]


def exchange_info(venue: Venue, symbols: list[str] | None = None) -> dict[str, Any]:
    """Return the description of a market, of all its symbols or of some."""
    states = list(venue.states()) if symbols is None else [venue.state(name) for name in symbols]
    describe = _spot_symbol if venue.is_spot else _usdm_symbol
    assets = sorted({name for s in states for name in (s.instrument.base, s.instrument.quote)})
    return {
        "timezone": "UTC",
        "serverTime": venue.clock.server_ms(),
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 6000 if venue.is_spot else 2400,
            }
        ],
        "exchangeFilters": [],
        "symbols": [describe(state) for state in states],
        **(
            {}
            if venue.is_spot
            else {"assets": [{"asset": a, "marginAvailable": True} for a in assets]}
        ),
    }


def _filters(state: State) -> list[dict[str, Any]]:
    filters = state.instrument.filters
    tick, step = text(filters.tick), text(filters.step)
    lot = {"minQty": step, "maxQty": _MOST, "stepSize": step}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": _MOST, "tickSize": tick},
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
    ]


def _spot_symbol(state: State) -> dict[str, Any]:
    instrument = state.instrument
    return {
        "symbol": instrument.id,
        "status": "TRADING" if state.is_trading else "BREAK",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": _SPOT_ORDERS,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "filters": [
            *_filters(state),
            {
                "filterType": "NOTIONAL",
                "minNotional": text(MIN_NOTIONAL),
                "applyMinToMarket": True,
                "maxNotional": _MOST,
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
    }


def _usdm_symbol(state: State) -> dict[str, Any]:
    instrument, filters = state.instrument, state.instrument.filters
    return {
        "symbol": instrument.id,
        "pair": instrument.id,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY,
        "onboardDate": instrument.start_ms,
        "status": "TRADING" if state.is_trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": filters.price_decimals,
        "quantityPrecision": filters.amount_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "orderTypes": _USDM_ORDERS,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "filters": [
            *_filters(state),
            {"filterType": "MIN_NOTIONAL", "notional": text(MIN_NOTIONAL)},
        ],
    }
