"""Regimes, modes, sizing, risk and degrade levels: what a prediction is turned into."""

from agent_market.decisions.degrade import (
    LEVELS,
    DegradeMonitor,
    LevelChange,
    budgets_of,
    degrade_levels,
    input_ages,
)
from agent_market.decisions.entry import Signal, judge_stake, plan_entry
from agent_market.decisions.exits import Holding, exit_reason, stop_gain
from agent_market.decisions.modes import Mode, choose_modes, measure_modes, mode_rule
from agent_market.decisions.regime import Regime, measure_regime
from agent_market.decisions.risk import (
    Account,
    Allowed,
    Market,
    OpenTrade,
    Proposal,
    Refused,
    Verdict,
    judge,
)
from agent_market.decisions.sizing import kelly_exposure, leverage_for, stake_fraction

__all__ = [
    "LEVELS",
    "Account",
    "Allowed",
    "DegradeMonitor",
    "Holding",
    "LevelChange",
    "Market",
    "Mode",
    "OpenTrade",
    "Proposal",
    "Refused",
    "Regime",
    "Signal",
    "Verdict",
    "budgets_of",
    "choose_modes",
    "degrade_levels",
    "exit_reason",
    "input_ages",
    "judge",
    "judge_stake",
    "kelly_exposure",
    "leverage_for",
    "measure_modes",
    "measure_regime",
    "mode_rule",
    "plan_entry",
    "stake_fraction",
    "stop_gain",
]
