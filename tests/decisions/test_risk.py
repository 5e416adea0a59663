import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_market.decisions import (
    Account,
    Allowed,
    Market,
    OpenTrade,
    Proposal,
    Refused,
    Signal,
    judge,
    mode_rule,
    plan_entry,
)
from agent_market.decisions.modes import PRIORITY
from agent_market.learning.inference import DegradeLevel
from agent_market.settings import AgentMarketSettings, RiskSettings

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ON = AgentMarketSettings.model_validate({"modes": {"long_shot": {"enabled": True}}})
RISK = RiskSettings()
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
ACCOUNT = Account(equity=10_000, free=9_000, day_start_equity=10_000, peak_equity=10_000)
MARKET = Market(
    now=NOW,
    candle_close=NOW,
    candle_seconds=300,
    level=DegradeLevel.FULL,
    volatility=0.0025,
    quote_volume=1e6,
)
WANTED = Proposal(pair=BTC, direction=1, mode="trend", stake=1000, leverage=2, min_stake=5)


def _judge(
    account: dict[str, Any] | None = None,
    market: dict[str, Any] | None = None,
    mode: str = "trend",
    **proposal: Any,
) -> Allowed | Refused:
    return judge(
        replace(WANTED, mode=mode, **proposal),
        replace(ACCOUNT, **(account or {})),
        replace(MARKET, **(market or {})),
        mode_rule(ON.modes, mode),
        RISK,
        leverage_buckets=(1.0, 2.0, 3.0),
    )


def _open(pair: str = ETH, **changes: Any) -> tuple[OpenTrade, ...]:
    trade = OpenTrade(pair=pair, direction=1, stake=1000, notional=1000, mode="trend")
    return (replace(trade, **changes),)


def test_that_what_breaks_nothing_is_allowed_as_it_is() -> None:
    assert _judge() == Allowed(1000, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"account": {"kill_switch": "maintenance"}}, "kill switch: the file exists (maintenance)"),
        ({"account": {"day_start_equity": 10_600}}, "daily drawdown: 5.66% lost"),
        ({"account": {"peak_equity": 13_000}}, "total drawdown: 23.08% lost"),
        (
            {"account": {"losing_streak": 6, "last_loss_at": NOW - timedelta(hours=1)}},
            "losing streak: 6 losses in a row, 180 min to wait",
        ),
        ({"market": {"now": NOW + timedelta(minutes=16)}}, "stale data"),
        ({"market": {"now": NOW - timedelta(minutes=2)}}, "120 s in the future"),
        ({"market": {"level": DegradeLevel.FLAT}}, "level: flat"),
        ({"market": {"level": DegradeLevel.RULES}}, "level: rules"),
        ({"market": {"funding_bps": 11.0}}, "funding: 11.0 bps"),
        (
            {
                "mode": "squeeze",
                "account": {"last_exits": {(BTC, "squeeze"): NOW - timedelta(minutes=30)}},
            },
            "cooldown: 6 candles since squeeze closed",
        ),
        ({"account": {"budget_fault": "no store"}}, "intraday budget: no store"),
        ({"account": {"engine_shares": {"intraday": 0.0}}}, "intraday budget: leaves a stake of 0"),
        ({"account": {"engine_shares": {"macro": math.nan}}}, "share of macro is nan"),
        ({"account": {"free": 4.0}}, "free: leaves a stake of 4.00"),
        ({"market": {"quote_volume": 0.0}}, "volume: leaves"),
        ({"stake": 4.0}, "size: leaves a stake of 4.00, the exchange's smallest is 5.00"),
        ({"account": {"open_trades": _open(stake=9500, notional=30_000)}}, "exposure: leaves"),
        ({"stake": math.nan}, "stake is nan"),
        ({"account": {"equity": -1.0}}, "equity is -1"),
        ({"market": {"funding_bps": math.inf}}, "funding_bps is inf"),
        ({"direction": 0}, "direction is 0"),
    ],
)
def test_that_each_limit_refuses_and_says_so(changes: dict[str, Any], reason: str) -> None:
    verdict = _judge(**changes)
    assert isinstance(verdict, Refused)
    assert any(reason in each for each in verdict.reasons), verdict.reasons


def test_that_every_broken_limit_is_named_at_once() -> None:
    verdict = _judge(
        account={"peak_equity": 13_000, "kill_switch": ""}, market={"funding_bps": 50.0}
    )
    assert isinstance(verdict, Refused)
    assert [each.split(":")[0] for each in verdict.reasons] == [
        "kill switch", "total drawdown", "funding",
    ]  # fmt: skip


def test_that_a_stake_of_nothing_is_refused_for_what_left_nothing() -> None:
    flat = _judge(stake=0.0, market={"level": DegradeLevel.FLAT})
    assert isinstance(flat, Refused)
    assert flat.reasons[0].startswith("level: flat")
    nothing = _judge(stake=0.0)
    assert isinstance(nothing, Refused)
    assert nothing.reasons[0].startswith("size: leaves a stake of 0.00")


def test_that_a_limit_is_over_in_its_time() -> None:
    streak = {"losing_streak": 9, "last_loss_at": NOW - timedelta(minutes=241)}
    assert isinstance(_judge(account=streak), Allowed)
    waited = {"last_exits": {(BTC, "squeeze"): NOW - timedelta(minutes=60)}}
    assert isinstance(_judge(mode="squeeze", account=waited), Allowed)
    assert isinstance(_judge(market={"funding_bps": -50.0}), Allowed)  # it is paid to us


@pytest.mark.parametrize(
    ("changes", "expected", "cap"),
    [
        ({"market": {"volatility": 0.0051}}, (1000, 1), "volatility"),
        ({"market": {"volatility": math.nan}}, (1000, 1), "volatility"),
        ({"market": {"quote_volume": 900.0}}, (450, 1), "thin market"),
        ({"mode": "squeeze", "leverage": 3}, (1000, 2), "mode leverage"),
        ({"stake": 9000, "leverage": 3}, (5000, 3), "pair exposure"),
        ({"market": {"quote_volume": 2000.0}}, (500, 2), "volume"),
        ({"mode": "event", "stake": 8000, "leverage": 1}, (5000, 1), "macro budget"),
        ({"max_notional": 300.0}, (150, 2), "Kelly"),
        ({"mode": "long_shot", "leverage": 4}, (200, 4), "long_shot budget"),
        ({"max_stake": 70.0}, (70, 2), "exchange"),
    ],
)
def test_that_each_cap_cuts_and_says_so(
    changes: dict[str, Any], expected: tuple[float, float], cap: str
) -> None:
    verdict = _judge(**changes)
    assert isinstance(verdict, Allowed), verdict
    assert (verdict.stake, verdict.leverage) == expected
    assert cap in verdict.caps


def test_that_trades_that_move_together_share_a_cap_and_a_hedge_does_not() -> None:
    held = {"open_trades": _open(stake=4000, notional=24_000)}
    together = _judge(account=held, market={"correlations": {ETH: 0.9}}, leverage=1, stake=4000)
    assert isinstance(together, Allowed)
    assert together.stake == pytest.approx(25_000 - 0.9 * 24_000)
    hedged = _judge(
        account=held, market={"correlations": {ETH: 0.9}}, leverage=1, stake=4000, direction=-1
    )
    assert isinstance(hedged, Allowed) and "correlation" not in hedged.caps
    unknown = _judge(account=held, market={"correlations": {ETH: math.nan}}, leverage=1, stake=4000)
    assert isinstance(unknown, Allowed) and unknown.stake == 1000


@pytest.mark.parametrize(("share", "stake"), [(0.06, 400), (0.0, 0), (0.4, 1000), (0.9, 1000)])
def test_that_a_stored_share_lowers_an_engines_budget_and_never_raises_it(
    share: float, stake: float
) -> None:
    macro = _open(stake=200, engine="macro") + _open(stake=5000)
    account = {"open_trades": macro, "engine_shares": {"macro": share}}
    verdict = _judge(mode="event", account=account, leverage=1)
    assert stake == (verdict.stake if isinstance(verdict, Allowed) else 0)
    full = _open(stake=4500, engine="macro", notional=0)
    verdict = _judge(mode="event", account={"open_trades": full, "engine_shares": {"macro": 1.0}})
    assert isinstance(verdict, Allowed)
    assert (verdict.stake, verdict.caps) == (500, ("macro budget",))


def test_that_lost_long_shots_use_up_their_budget() -> None:
    verdict = _judge(mode="long_shot", account={"long_shot_profit": -198.0})
    assert isinstance(verdict, Refused)
    assert "long_shot budget: leaves a stake of 2.00" in verdict.reasons[0]


number = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -1.0, 1e9, 1e300, 5e-324, 1.0, 0.002, 1000.0, 10_000.0]),
)
sound = st.floats(1, 1e6)
moments = st.sampled_from(
    [NOW + timedelta(seconds=s) for s in (-1e9, -1e4, -300, -30, 0, 30, 300, 901, 1e9)]
)
trades = st.lists(
    st.builds(
        OpenTrade,
        pair=st.sampled_from([BTC, ETH, "X/USDT"]),
        direction=st.sampled_from([-1, 1]),
        stake=st.one_of(sound, number),
        notional=st.one_of(sound, number),
        mode=st.sampled_from(["trend", "long_shot", "?"]),
        engine=st.sampled_from(["macro", "intraday"]),
    ),
    max_size=4,
).map(tuple)
accounts = st.builds(
    Account,
    equity=st.one_of(sound, number),
    free=st.one_of(sound, number),
    day_start_equity=st.one_of(sound, number),
    peak_equity=st.one_of(sound, number),
    losing_streak=st.integers(-1, 20),
    last_loss_at=st.one_of(st.none(), moments),
    open_trades=trades,
    last_exits=st.dictionaries(
        st.tuples(st.just(BTC), st.sampled_from([m.tag for m in PRIORITY])), moments
    ),
    long_shot_profit=number,
    engine_shares=st.dictionaries(st.sampled_from(["macro", "intraday"]), number),
    kill_switch=st.one_of(st.none(), st.none(), st.text(max_size=5)),
)
markets = st.builds(
    Market,
    now=moments,
    candle_close=st.just(NOW),
    candle_seconds=st.one_of(st.just(300.0), number),
    level=st.sampled_from(list(DegradeLevel)),
    volatility=st.one_of(st.floats(1e-4, 0.02), number),
    quote_volume=st.one_of(sound, number),
    funding_bps=st.one_of(st.none(), number),
    correlations=st.dictionaries(st.sampled_from([BTC, ETH]), number),
)
signals = st.builds(
    Signal,
    pair=st.just(BTC),
    direction=st.sampled_from([-1, 1]),
    mode=st.sampled_from([m.tag for m in PRIORITY] + ["force_entry"]),
    prediction=st.one_of(st.floats(-0.02, 0.02), number),
    horizon_candles=st.one_of(st.just(12.0), number),
    full_stake=st.one_of(sound, number),
    max_leverage=st.one_of(st.floats(1, 125), number),
    min_stake=st.one_of(st.just(5.0), number),
    max_stake=st.one_of(st.just(math.inf), number),
    share=st.sampled_from([0.4, 0.6, 1.0]),
    position_multiplier=number,
    leverage_multiplier=number,
    leverage_bound=number,
)


@settings(max_examples=300)
@given(signal=signals, account=accounts, market=markets)
@example(
    signal=Signal(
        pair=BTC, direction=1, mode="trend", prediction=0.003, horizon_candles=12,
        full_stake=3000, max_leverage=125, position_multiplier=1e9, leverage_multiplier=1e9,
    ),
    account=ACCOUNT,
    market=MARKET,
)  # fmt: skip
def test_that_nothing_exceeds_a_cap_enters_against_a_gate_or_crashes(
    signal: Signal, account: Account, market: Market
) -> None:
    verdict = plan_entry(signal, account, market, ON)
    if isinstance(verdict, Refused):
        assert verdict.reasons and all(verdict.reasons)
        return
    slack, rule = 1 + 1e-9, mode_rule(ON.modes, signal.mode)
    stake, notional = verdict.stake, verdict.stake * verdict.leverage
    assert 0 < stake <= min(account.free, signal.max_stake, signal.full_stake) * slack
    assert stake >= signal.min_stake
    assert 1 <= verdict.leverage <= max(1, min(rule.max_leverage, signal.max_leverage))
    if signal.mode != "long_shot":
        assert verdict.leverage <= RISK.max_leverage
    assert verdict.leverage == 1 or market.quote_volume >= RISK.thin_volume
    assert verdict.leverage == 1 or verdict.leverage * market.volatility <= 0.01 * slack
    held = account.open_trades
    equity = account.equity * slack
    assert notional + sum(t.notional for t in held) <= RISK.max_exposure * equity
    of_pair = sum(t.notional for t in held if t.pair == BTC)
    assert notional + of_pair <= RISK.max_pair_exposure * equity
    assert notional + of_pair <= RISK.max_volume_share * market.quote_volume * slack
    of_engine = sum(t.stake for t in held if t.engine == rule.engine)
    share = 0.5 if rule.engine == "macro" else 1.0
    share = min(share, account.engine_shares.get(rule.engine, share))
    assert stake + of_engine <= share * equity
    if signal.mode == "long_shot":
        lost = max(0.0, -account.long_shot_profit)
        bets = sum(t.stake for t in held if t.mode == "long_shot")
        assert stake + bets + lost <= RISK.long_shot_budget * equity + 1e-6
    assert market.level in rule.levels
    assert account.kill_switch is None
    age = (market.now - market.candle_close).total_seconds()
    assert -60 <= age <= 3 * market.candle_seconds
    assert account.equity > account.day_start_equity * (1 - RISK.max_daily_drawdown)
    assert account.equity > account.peak_equity * (1 - RISK.max_drawdown)
    assert market.funding_bps is None or market.funding_bps * signal.direction <= 10


def test_that_a_billionfold_bias_is_cut_to_the_caps() -> None:
    signal = Signal(
        pair=BTC, direction=1, mode="trend", prediction=0.003, horizon_candles=12,
        full_stake=3000, max_leverage=125, position_multiplier=1e9, leverage_multiplier=1e9,
    )  # fmt: skip
    verdict = plan_entry(signal, ACCOUNT, MARKET, AgentMarketSettings())
    assert verdict == Allowed(3000, 3, verdict.caps)
