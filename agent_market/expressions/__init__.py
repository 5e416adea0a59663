"""The alpha language: expressions over candles and features that look back only."""
