"""Regimes, modes and sizing: what a prediction is turned into."""

from agent_market.decisions.modes import Mode, choose_modes
from agent_market.decisions.regime import Regime, measure_regime
from agent_market.decisions.sizing import exit_reason, leverage_for, stake_fraction

__all__ = [
    "Mode",
    "Regime",
    "choose_modes",
    "exit_reason",
    "leverage_for",
    "measure_regime",
    "stake_fraction",
]
