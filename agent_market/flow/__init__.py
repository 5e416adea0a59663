"""Durable runs: data, backtest, summary and report as steps that survive a kill.

A run is a DBOS workflow of four steps, and of those of its rounds and policies. Each step's output
is addressed by the content of its inputs (code, configuration, data), so a run skips what an
earlier one has already made.
"""
