"""Read a backtest, measure it honestly, and report it."""

from agent_market.evaluation.backtest_result import (
    BacktestArtifacts,
    BacktestResult,
    read_backtest_result,
)
from agent_market.evaluation.information_coefficient import (
    clustered_mean,
    forward_returns,
    hit_rate,
    information_coefficient,
    information_coefficient_error,
)
from agent_market.evaluation.report_page import write_report
from agent_market.evaluation.summary import summarize

__all__ = [
    "BacktestArtifacts",
    "BacktestResult",
    "clustered_mean",
    "forward_returns",
    "hit_rate",
    "information_coefficient",
    "information_coefficient_error",
    "read_backtest_result",
    "summarize",
    "write_report",
]
