"""The gate above every mode: what may be entered, how large, and why not.

It judges immutable snapshots of account and market, so a backtest and a live bot that show it the
same get the same answer. Nothing that is not a finite number passes, and every refusal has a
reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from agent_market.decisions.degrade import CLOCK_TOLERANCE_SECONDS
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import ModeRule, RiskSettings

LONG_SHOT = "long_shot"


@dataclass(frozen=True)
class OpenTrade:
    """A trade that is open: stake and notional (stake times leverage) in stake currency."""

    pair: str
    direction: int
    stake: float
    notional: float
    mode: str
    engine: str = "intraday"


@dataclass(frozen=True)
class Account:
    """What the gate knows of the account; amounts in stake currency.

    equity : now, with open trades at their market value. free : what a new stake may take.
    day_start_equity : at midnight UTC. peak_equity : the highest of `risk.drawdown_days`.
    losing_streak, last_loss_at : losing trades in a row up to the newest, and when it closed.
    last_exits : when a trade of a (pair, mode) last closed.
    long_shot_profit : realized by `long_shot` in `risk.drawdown_days`; negative is lost.
    kill_switch : what the kill switch file says; None where there is none.
    engine_shares : of equity that each engine's stakes may take, where less than the settings say.
    budget_fault : why the engines' shares cannot be known; None where they can.
    """

    equity: float
    free: float
    day_start_equity: float
    peak_equity: float
    losing_streak: int = 0
    last_loss_at: datetime | None = None
    open_trades: tuple[OpenTrade, ...] = ()
    last_exits: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    long_shot_profit: float = 0.0
    kill_switch: str | None = None
    engine_shares: Mapping[str, float] = field(default_factory=dict)
    budget_fault: str | None = None


@dataclass(frozen=True)
class Market:
    """What the gate knows of the market of one pair.

    now, candle_close : the moment, and the close of the newest candle. candle_seconds : its length.
    level : the degrade level. volatility : of candle returns, a fraction. quote_volume : mean
        traded a candle, quote currency.
    funding_bps : rate of a settlement, positive paid by longs; None where there is none or it is
        stale, which the level says.
    correlations : of candle returns with each open pair; a pair without one counts as 1.
    """

    now: datetime
    candle_close: datetime
    candle_seconds: float
    level: DegradeLevel
    volatility: float
    quote_volume: float
    funding_bps: float | None = None
    correlations: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """An entry that somebody wants.

    stake : in stake currency. leverage : wanted. max_notional : what sizing allows beyond which
        growth falls (Kelly); infinite for no such bound. min_stake, max_stake : the exchange's.
    """

    pair: str
    direction: int
    mode: str
    stake: float
    leverage: float
    min_stake: float = 0.0
    max_stake: float = math.inf
    max_notional: float = math.inf


@dataclass(frozen=True)
class Allowed:
    """What may be entered, and the caps that made it smaller than proposed."""

    stake: float
    leverage: float
    caps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """Why nothing may be entered; never without a reason."""

    reasons: tuple[str, ...]


Verdict: TypeAlias = Allowed | Refused


@dataclass(frozen=True)
class _Case:
    proposal: Proposal
    account: Account
    market: Market
    rule: ModeRule
    freshness_candles: float
    buckets: tuple[float, ...]
    risk: RiskSettings


def judge(
    proposal: Proposal,
    account: Account,
    market: Market,
    rule: ModeRule,
    risk: RiskSettings,
    *,
    freshness_candles: float = 3.0,
    leverage_buckets: tuple[float, ...] = (1.0,),
) -> Verdict:
    """Return what of a proposal may be entered, or every reason why nothing may.

    Parameters
    ----------
    proposal, account, market
        Snapshots; nothing in them is trusted to be sane.
    rule : ModeRule
        Of the proposal's mode.
    risk : RiskSettings
        The limits and caps.
    freshness_candles : float
        Candles that the newest close may be old.
    leverage_buckets : tuple of float
        Leverages that may be used; 1 is always among them.

    Notes
    -----
    Pure, and it never raises on account of a number. A refusal lists every limit that is broken. A
    cap makes the proposal smaller; only what falls below the exchange's minimum is refused.
    """
    case = _Case(proposal, account, market, rule, freshness_candles, leverage_buckets, risk)
    if unsound := tuple(_unsound(case)):
        return Refused(unsound)
    if reasons := tuple(reason for limit in _LIMITS for reason in limit(case)):
        return Refused(reasons)
    leverage, names = _leverage(case)
    return _stake(case, leverage, names)


def _unsound(case: _Case) -> Iterator[str]:
    """Yield what is no finite number, or of the wrong sign."""
    proposal, account, market = case.proposal, case.account, case.market
    positive = {
        "stake": proposal.stake or 1.0,  # 0 is sound: a limit says why sizing left nothing
        "leverage": proposal.leverage,
        "equity": account.equity,
        "day_start_equity": account.day_start_equity,
        "peak_equity": account.peak_equity,
        "candle_seconds": market.candle_seconds,
    }
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            yield f"{name} is {value:g}, not a positive number"
    if proposal.direction not in (-1, 1):
        yield f"direction is {proposal.direction!r}, neither 1 nor -1"
    anything = {
        "free": account.free,
        "min_stake": proposal.min_stake,
        "long_shot_profit": account.long_shot_profit,
        **{f"share of {name}": share for name, share in account.engine_shares.items()},
        "funding_bps": 0.0 if market.funding_bps is None else market.funding_bps,
    }
    for name, value in anything.items():
        if not math.isfinite(value):
            yield f"{name} is {value:g}, not a finite number"
    for name, value in {"max_stake": proposal.max_stake, "Kelly": proposal.max_notional}.items():
        if math.isnan(value):
            yield f"{name} is nan, no bound"
    for trade in account.open_trades:
        if not all(math.isfinite(each) and each >= 0 for each in (trade.stake, trade.notional)):
            yield f"the open trade in {trade.pair} has stake {trade.stake:g}, {trade.notional:g}"


def _kill_switch(case: _Case) -> Iterator[str]:
    if case.account.kill_switch is not None:
        said = case.account.kill_switch.strip()[:200] or "no text"
        yield f"kill switch: the file exists ({said}); remove it to enter again"


def _budgets(case: _Case) -> Iterator[str]:
    if case.account.budget_fault is not None:
        yield f"{case.rule.engine} budget: {case.account.budget_fault}"


def _levels(case: _Case) -> Iterator[str]:
    level = case.market.level
    if level is DegradeLevel.FLAT or str(level) not in case.rule.levels:
        allowed = ", ".join(case.rule.levels)
        yield f"level: {level}, where {case.proposal.mode} enters at {allowed} only"
    if not case.rule.enabled:
        yield f"mode: {case.proposal.mode} is off"


def _stale(case: _Case) -> Iterator[str]:
    market = case.market
    age = (market.now - market.candle_close).total_seconds()
    allowed = case.freshness_candles * market.candle_seconds
    if age < -CLOCK_TOLERANCE_SECONDS:
        yield f"stale data: the newest candle closes {-age:.0f} s in the future"
    if age > allowed:
        yield f"stale data: the newest candle closed {age:.0f} s ago, allowed are {allowed:.0f} s"


def _drawdown(case: _Case) -> Iterator[str]:
    account, risk = case.account, case.risk
    spans = (
        ("daily", account.day_start_equity, risk.max_daily_drawdown),
        ("total", account.peak_equity, risk.max_drawdown),
    )
    for name, start, limit in spans:
        lost = 1 - account.equity / start
        if lost >= limit:
            yield f"{name} drawdown: {lost:.2%} lost, allowed are {limit:.2%}"


def _losing_streak(case: _Case) -> Iterator[str]:
    account, risk = case.account, case.risk
    if account.losing_streak < risk.losing_streak or account.last_loss_at is None:
        return
    since = case.market.now - account.last_loss_at
    pause = timedelta(minutes=risk.losing_streak_cooldown_minutes)
    if since < pause:
        left = (pause - since).total_seconds() / 60
        yield f"losing streak: {account.losing_streak} losses in a row, {left:.0f} min to wait"


def _cooldown(case: _Case) -> Iterator[str]:
    proposal, market = case.proposal, case.market
    closed = case.account.last_exits.get((proposal.pair, proposal.mode))
    if closed is None:
        return
    waited = (market.now - closed).total_seconds() / market.candle_seconds
    if waited < case.rule.cooldown_candles:
        yield (
            f"cooldown: {waited:.0f} candles since {proposal.mode} closed in {proposal.pair}, "
            f"{case.rule.cooldown_candles} are asked for"
        )


def _funding(case: _Case) -> Iterator[str]:
    if case.market.funding_bps is None:
        return
    paid = case.market.funding_bps * case.proposal.direction
    if paid > case.risk.max_funding_bps:
        allowed = case.risk.max_funding_bps
        yield f"funding: {paid:.1f} bps a settlement to pay, allowed are {allowed:.1f}"


_LIMITS: tuple[Callable[[_Case], Iterator[str]], ...] = (
    _kill_switch, _budgets, _levels, _stale, _drawdown, _losing_streak, _cooldown, _funding,
)  # fmt: skip


def _leverage(case: _Case) -> tuple[float, tuple[str, ...]]:
    """Return the largest bucket within every cap of leverage, and the caps that bind."""
    market, risk = case.market, case.risk
    caps = {"mode leverage": case.rule.max_leverage, "max_leverage": risk.max_leverage}
    if case.proposal.mode == LONG_SHOT:  # its loss is bounded by its own budget instead
        caps = {"mode leverage": case.rule.max_leverage}
    calm = math.isfinite(market.volatility) and market.volatility > 0
    bound = risk.max_leveraged_volatility_bps / 1e4
    caps["volatility"] = bound / market.volatility if calm else 1.0
    if not market.quote_volume >= risk.thin_volume:
        caps["thin market"] = 1.0
    lowest = max(1.0, min(caps.values()))
    wanted = max(1.0, case.proposal.leverage)
    buckets = (*case.buckets, wanted)
    fitting = [each for each in buckets if 1 <= each <= min(lowest, wanted)]
    leverage = max(fitting, default=1.0)
    return leverage, tuple(name for name, cap in caps.items() if cap < wanted)


def _stake(case: _Case, leverage: float, names: tuple[str, ...]) -> Verdict:
    """Return the stake within every cap, refused where the exchange would not take it."""
    proposal = case.proposal
    caps = {name: max(0.0, cap) for name, cap in _stake_caps(case, leverage).items()}
    stake = min(proposal.stake, *caps.values())
    binding = tuple(name for name, cap in caps.items() if cap < proposal.stake)
    if stake <= 0 or stake < proposal.min_stake:
        tightest = min(binding, key=lambda name: caps[name], default="size")
        left = f"leaves a stake of {stake:.2f}, the exchange's smallest is {proposal.min_stake:.2f}"
        return Refused((f"{tightest}: {left}",))
    return Allowed(stake, leverage, names + binding)


def _stake_caps(case: _Case, leverage: float) -> dict[str, float]:
    proposal, account, risk = case.proposal, case.account, case.risk
    trades = account.open_trades
    taken = sum(trade.notional for trade in trades)
    of_pair = sum(trade.notional for trade in trades if trade.pair == proposal.pair)
    volume = case.market.quote_volume
    tradable = risk.max_volume_share * volume if math.isfinite(volume) and volume > 0 else 0.0
    notional = {
        "exposure": risk.max_exposure * account.equity - taken,
        "pair exposure": risk.max_pair_exposure * account.equity - of_pair,
        "correlation": risk.max_correlated_exposure * account.equity - _correlated(case),
        "volume": tradable - of_pair,
        "Kelly": proposal.max_notional,
    }
    engine = case.rule.engine
    of_engine = sum(trade.stake for trade in trades if trade.engine == engine)
    share = risk.macro_share if engine == "macro" else risk.intraday_share
    share = min(share, account.engine_shares.get(engine, share))
    return {
        **{name: cap / leverage for name, cap in notional.items()},
        f"{engine} budget": share * account.equity - of_engine,
        "free": account.free,
        "exchange": proposal.max_stake,
        **_long_shot_cap(case),
    }


def _correlated(case: _Case) -> float:
    """Return the open notional that moves with the proposal; what moves against it counts 0."""
    total = 0.0
    for trade in case.account.open_trades:
        correlation = case.market.correlations.get(trade.pair, 1.0)
        if not -1 <= correlation <= 1:  # NaN too: the worst is assumed, on either side
            correlation = float(trade.direction * case.proposal.direction)
        together = correlation * trade.direction * case.proposal.direction
        total += max(0.0, together) * trade.notional
    return total


def _long_shot_cap(case: _Case) -> dict[str, float]:
    if case.proposal.mode != LONG_SHOT:
        return {}
    account = case.account
    at_stake = sum(trade.stake for trade in account.open_trades if trade.mode == LONG_SHOT)
    lost = max(0.0, -account.long_shot_profit)
    return {"long_shot budget": case.risk.long_shot_budget * account.equity - at_stake - lost}
