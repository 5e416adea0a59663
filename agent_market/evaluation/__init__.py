"""Metrics, backtest results and the report."""
