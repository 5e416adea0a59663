"""From a signal to a stake and a leverage: sizing proposes, the gate disposes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent_market.decisions.degrade import stake_factor
from agent_market.decisions.modes import mode_rule
from agent_market.decisions.risk import LONG_SHOT, Account, Market, Proposal, Verdict, judge
from agent_market.decisions.sizing import kelly_exposure, leverage_for, stake_fraction
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import AgentMarketSettings, ModeRule


@dataclass(frozen=True)
class Signal:
    """An entry that a candle asks for.

    mode : the entry tag. prediction : forward return, a fraction, over `horizon_candles`.
    full_stake : what the host would put on. min_stake, max_stake, max_leverage : the exchange's.
    share : of the stake, where it is entered in steps.
    position_multiplier : of bias and event mode. leverage_multiplier : of event mode.
    leverage_bound : of a bias; NaN where there is none.
    is_switched_on : whether event mode turns the mode on.
    """

    pair: str
    direction: int
    mode: str
    prediction: float
    horizon_candles: float
    full_stake: float
    max_leverage: float
    min_stake: float = 0.0
    max_stake: float = math.inf
    share: float = 1.0
    position_multiplier: float = 1.0
    leverage_multiplier: float = 1.0
    leverage_bound: float = math.nan
    is_switched_on: bool = False


def plan_entry(
    signal: Signal, account: Account, market: Market, settings: AgentMarketSettings
) -> Verdict:
    """Return the stake and the leverage of an entry, or why there is none.

    The stake is the full one times confidence, calm, mode, bias and degrade level; Kelly and the
    caps of `risk.judge` bound it. The leverage is the bucket that keeps volatility at its target,
    within the same caps; `long_shot` asks for its own.
    """
    rule = _rule(signal, settings)
    factor = rule.multiplier * stake_factor(market.level, settings.degrade)
    fraction = stake_fraction(
        signal.prediction,
        market.volatility,
        settings.sizing,
        multiplier=factor,
        bias_multiplier=signal.position_multiplier,
    )
    stake = signal.full_stake * fraction * signal.share
    return judge_stake(
        signal, stake, _wanted_leverage(signal, rule, market, settings), account, market, settings
    )


def judge_stake(
    signal: Signal,
    stake: float,
    leverage: float,
    account: Account,
    market: Market,
    settings: AgentMarketSettings,
) -> Verdict:
    """Return the gate's verdict on a stake and a leverage that are given, such as an order's."""
    rule = _rule(signal, settings)
    proposal = Proposal(
        pair=signal.pair,
        direction=signal.direction,
        mode=signal.mode,
        stake=stake,
        leverage=leverage,
        min_stake=signal.min_stake,
        max_stake=signal.max_stake,
        max_notional=_kelly_notional(signal, rule, account, market, settings),
    )
    return judge(
        proposal,
        account,
        market,
        rule,
        settings.risk,
        freshness_candles=settings.degrade.freshness.candles,
        leverage_buckets=settings.sizing.leverage_buckets,
    )


def _rule(signal: Signal, settings: AgentMarketSettings) -> ModeRule:
    rule = mode_rule(settings.modes, signal.mode)
    return rule.model_copy(update={"enabled": True}) if signal.is_switched_on else rule


def _wanted_leverage(
    signal: Signal, rule: ModeRule, market: Market, settings: AgentMarketSettings
) -> float:
    most = signal.max_leverage if signal.max_leverage >= 1 else 1.0
    if signal.mode == LONG_SHOT:
        return min(rule.max_leverage, most)
    wanted = leverage_for(market.volatility, most, settings.sizing) * signal.leverage_multiplier
    if signal.leverage_bound >= 1:
        wanted = min(wanted, signal.leverage_bound)
    return max(1.0, min(wanted, most))


def _kelly_notional(
    signal: Signal,
    rule: ModeRule,
    account: Account,
    market: Market,
    settings: AgentMarketSettings,
) -> float:
    if market.level is DegradeLevel.RULES and not rule.needs_prediction:
        return math.inf  # no prediction to be sure of: the mode's multiplier says how little
    exposure = kelly_exposure(
        signal.prediction, market.volatility, signal.horizon_candles, settings.sizing
    )
    return exposure * account.equity
