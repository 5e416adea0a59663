"""An exchange on loopback that speaks the Binance protocol over stored data."""
