"""The only room that imports freqtrade."""
