"""Whatever reaches the strategy, no cap is exceeded, no gate passed, and every refusal is told."""

import json
import logging
import math
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.enums import RunMode
from freqtrade.persistence import LocalTrade, Order, disable_database_use, enable_database_use
from freqtrade.resolvers import StrategyResolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_market.decisions.budgets import ENGINE_BUDGETS, parameter_store
from agent_market.decisions.modes import mode_rule
from agent_market.decisions.patches import check_patch, merge_patch
from agent_market.decisions.strategy_advice import bias_path, event_mode_path
from agent_market.errors import ConfigError
from agent_market.settings import load_settings
from tests.candles import random_candles
from tests.freqtrade_process import PROJECT

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
LABEL = "&-forward_return"
LOADED = 220  # candles that the bot has
CANDLE = timedelta(minutes=5)
PRICES = ["open", "high", "low", "close"]


def _moving_together() -> dict[str, pd.DataFrame]:
    first = random_candles(400, 1)
    noise = np.exp(np.random.default_rng(2).normal(0, 0.0003, len(first)))
    return {BTC: first, ETH: first.assign(**first[PRICES].mul(noise, axis=0))}


CANDLES = _moving_together()
TAGS = ["trend", "mean_reversion", "breakout", "squeeze", "event", "defensive", "long_shot"]
MOST = 50.0  # the exchange's leverage

numbers = st.sampled_from(
    [math.nan, math.inf, -math.inf, 1e9, -1e9, 1e308, 5e-324, 0.0, -0.0, 0.5, 1.0, 2.0, -1.0]
)
signals = st.one_of(st.floats(-0.02, 0.02), st.sampled_from([0.004, -0.004, 0.008]), numbers)


pair_biases = st.fixed_dictionaries(
    {
        "direction": st.sampled_from([-1, 0, 0, 1, 2, None]),
        "confidence": st.one_of(st.floats(0, 1), numbers),
    },
    optional={
        "position_multiplier": st.one_of(st.floats(0, 1.5), numbers),
        "leverage": st.one_of(st.floats(1, 3), numbers),
        "take_profit_multiplier": numbers,
        "stop_multiplier": st.one_of(st.floats(0.5, 2), numbers),
    },
)
advice_times = {  # seconds from now
    "created": st.sampled_from([-30, -600, 0, 60, 1e6]),
    "lasts": st.sampled_from([900, 60, -5, 1e9]),
}
files = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("bias"),
            "pairs": st.dictionaries(st.sampled_from([BTC, ETH, "X/Y:Z", ""]), pair_biases),
            **advice_times,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("event"),
            "position_multiplier": st.one_of(st.floats(0, 2), numbers),
            "leverage_multiplier": st.one_of(st.floats(0.1, 2), numbers),
            "modes": st.dictionaries(st.sampled_from([*TAGS, "?"]), st.booleans()),
            **advice_times,
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["bias", "event"]), "bytes": st.binary(max_size=40)}
    ),
)
patches = st.sampled_from(
    [
        {"sizing": {"leverage_buckets": [1.0, 20.0, 1e9], "target_volatility_bps": 1e9}},
        {"sizing": {"kelly_fraction": 1.0, "cost_bps": 0.0, "floor": 1.0}},
        {"sizing": {"max_bias_multiplier": 1e9}},
        {"modes": {"trend": {"max_leverage": 125.0, "multiplier": 2.0, "regimes": ["range"]}}},
        {"modes": {"long_shot": {"enabled": True, "max_leverage": 125.0, "min_score": 0.0}}},
        {"modes": {"mean_reversion": {"scale_in": [0.5, 0.5], "engine": "macro"}}},
        {"modes": {"trend": {"multiplier": math.nan}}},
        {"modes": {"trend": {"scale_in": [1.0, 1.0]}}},
        {"modes": {"trned": {}}},
        {"modes": None},
        {"bias": {"pinned": {"id": "x"}}},
        {"bias": {"max_position_multiplier": 1e9}},
        {"risk": {"max_exposure": 1e9}},
        {"risk": None},
    ]
).map(lambda section: {"agent_market": section})
orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["long", "short"]),
        "tag": st.sampled_from([*TAGS, "force_entry", None]),
        "stake": st.one_of(st.floats(100, 1e5), st.just(3000.0), st.just(1e9)),
        "most": st.just(MOST),
        "min_stake": st.just(5.0),
        "max_stake": st.just(1e6),
        "swollen": st.sampled_from([1.0, 1.0, 1.0, 3.0, 1e9, math.nan]),
    }
)
hostile_orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["long", "short", ""]),
        "tag": st.sampled_from([*TAGS, "force_entry", "long_shot ", None]),
        **dict.fromkeys(["stake", "most", "min_stake", "max_stake", "swollen"], numbers),
    }
)
SANE = {
    "do_predict": 1.0, "abstain": 0, "funding": 0.0001, "late": 3.0, "free": 8000.0,
    "start": 10_000.0, "kill": False, "file": None, "patch": None, "shares": None, "profit": 0.01,
    "closed": None,
}  # fmt: skip
HOSTILE = {
    "predictions": st.fixed_dictionaries({BTC: signals, ETH: signals}),
    "do_predict": st.sampled_from([0.0, 2.0, -1.0, math.nan]),
    "abstain": st.just(1),
    "funding": numbers,
    "late": st.sampled_from([0.0, 250.0, 400.0, 901.0, 1e7, -30.0, -3600.0]),
    "free": numbers,
    "start": st.sampled_from([math.nan, math.inf, 0.0, -5.0, 100.0, 1e9]),
    "kill": st.just(True),
    "file": files,
    "patch": patches,
    "shares": st.sampled_from([{"intraday": 0.02}, {"macro": 0.0}, {"x": 1e9}]),
    "profit": st.one_of(st.floats(-0.05, 0.05), numbers),
    "closed": st.sampled_from([-30.0, -800.0, 50.0, math.nan]),
    "order": hostile_orders,
}
strong = st.sampled_from([0.004, -0.004, 0.008, -0.008])
steps = (
    st.lists(st.sampled_from(sorted(HOSTILE)), max_size=3, unique=True)
    .flatmap(
        lambda names: st.fixed_dictionaries(
            {"predictions": st.fixed_dictionaries({BTC: strong, ETH: strong}), "order": orders}
            | {name: HOSTILE[name] for name in names}
        )
    )
    .map(lambda drawn: SANE | drawn)
)


class _Provider:
    """Freqtrade's data provider as far as the decisions ask it."""

    runmode = RunMode.DRY_RUN

    def __init__(self) -> None:
        self.frames: dict[str, pd.DataFrame] = {}
        self.funding = 0.0
        self.now = pd.Timestamp(0, tz="UTC")

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[pd.DataFrame, None]:
        return self.frames.get(pair, pd.DataFrame()), None

    def get_pair_dataframe(self, pair: str, *_: Any, **__: Any) -> pd.DataFrame:
        dates = pd.date_range(end=self.now.floor("8h"), periods=6, freq="8h")
        return pd.DataFrame({"date": dates, "open": self.funding, "close": self.funding})

    def get_funding_rate_timeframe(self) -> str:
        return "8h"

    def current_whitelist(self) -> list[str]:
        return [BTC, ETH]

    def send_msg(self, message: str) -> None:
        assert message


class _Log(logging.Handler):
    """What the decisions logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def refusals(self, pair: str) -> list[str]:
        lines = [record.getMessage() for record in self.records]
        return [line for line in lines if line.startswith(f"{pair} ") and " refused: " in line]


class _Bot:
    """The strategy that Freqtrade would run, and an account in which it trades."""

    def __init__(self, folder: Path, log: _Log) -> None:
        self.log, self.told = log, {BTC: 0, ETH: 0}
        self.config = _config(folder)
        self.strategy = self._start(self.config)
        self.count, self.realized = LOADED, 0.0
        self.said = {
            pair: frame[["close"]].assign(value=0.002, stands=1.0, abstain=0)
            for pair, frame in CANDLES.items()
        }

    def _start(self, config: dict[str, Any]) -> Any:
        strategy: Any = StrategyResolver.load_strategy(deepcopy(config))
        strategy.dp, strategy.wallets = _Provider(), self._wallets({"start": 1e4, "free": 8e3})
        return strategy

    def _wallets(self, step: dict[str, Any]) -> Any:
        return SimpleNamespace(
            get_starting_balance=lambda: step["start"],
            get_available_stake_amount=lambda: step["free"],
            get_total_stake_amount=lambda: step["start"],
        )

    def live_through(self, step: dict[str, Any]) -> None:
        """Let a candle close, and everything in the step happen."""
        self.count += 1
        close = self._close()
        now = close + timedelta(seconds=step["late"])
        self._patch(step["patch"])
        strategy, provider = self.strategy, self.strategy.dp
        provider.funding, provider.now = step["funding"], pd.Timestamp(close)
        strategy.wallets = self._wallets(step)
        self._write(step, close)
        strategy.bot_loop_start(now)
        for pair in (BTC, ETH):
            provider.frames[pair] = self._analyzed(pair, step)
        self._manage(step, now)
        for pair in (BTC, ETH):
            candle = provider.frames[pair].iloc[-1]
            self._follow(pair, candle, step, now)
            self._order(pair, candle, step["order"], now, step)

    def _close(self) -> datetime:
        date = CANDLES[BTC]["date"].iloc[self.count - 1]
        return (date + CANDLE).to_pydatetime()

    def _patch(self, patch: dict[str, Any] | None) -> None:
        """Take a patch as the commands do: refused with a reason, or the bot reloads."""
        if patch is None:
            return
        risk = load_settings(self.config).risk
        try:
            check_patch(patch)
            merged = merge_patch(self.config, patch)
            load_settings(merged)
        except ConfigError:
            return  # its message names the key
        assert load_settings(merged).risk == risk
        frames = self.strategy.dp.frames
        self.config, self.strategy = merged, self._start(merged)
        self.strategy.dp.frames = frames

    def _write(self, step: dict[str, Any], close: datetime) -> None:
        own = self.strategy.settings
        kill = own.state_dir / "KILL"
        kill.write_text("stop") if step["kill"] else kill.unlink(missing_ok=True)
        if step["shares"] is not None:
            parameter_store(own).add(
                ENGINE_BUDGETS, step["shares"], who="?", why="?",
                effective_at=close, recorded_at=close,
            )  # fmt: skip
        if step["file"] is not None:
            path = (bias_path if step["file"]["kind"] == "bias" else event_mode_path)(own)
            path.write_bytes(_content(step["file"], close))

    def _analyzed(self, pair: str, step: dict[str, Any]) -> pd.DataFrame:
        last, said = self.count - 1, self.said[pair]
        values = (step["predictions"][pair], step["do_predict"], step["abstain"])
        said.loc[last, ["value", "stands", "abstain"]] = values
        rows = slice(self.count - LOADED, self.count)
        frame = CANDLES[pair][rows].reset_index(drop=True)
        told = said[rows].reset_index(drop=True)
        frame[LABEL], frame["do_predict"] = told["value"], told["stands"]
        frame["abstain"] = told["abstain"]
        measured = self.strategy.desk.measure(frame, {"pair": pair})
        return self.strategy.populate_entry_trend(measured, {"pair": pair})

    def _manage(self, step: dict[str, Any], now: datetime) -> None:
        """Ask what becomes of the open trades."""
        for trade in list(LocalTrade.bt_trades_open):
            asked = {"trade": trade, "current_time": now, "current_rate": trade.open_rate}
            profit = {"current_profit": step["profit"]}
            self.strategy.custom_stoploss(pair=trade.pair, after_fill=False, **asked, **profit)
            bounds = {"min_stake": 5.0, "max_stake": step["free"]}
            added = self.strategy.adjust_trade_position(**asked, **profit, **bounds)
            if added is not None:
                candle = self.strategy.dp.frames[trade.pair].iloc[-1]
                assert 0 < added <= step["free"]
                direction = -1 if trade.is_short else 1
                entry = (trade.enter_tag, direction, added, trade.leverage)
                self._check(trade.pair, candle, entry, step, now)
                _fill(trade, added, now)
            reason = self.strategy.custom_exit(pair=trade.pair, **asked, **profit)
            assert reason is None or reason
            if step["closed"] is not None:
                _close(trade, step["closed"], now)

    def _follow(self, pair: str, candle: pd.Series, step: dict[str, Any], now: datetime) -> None:
        """Enter what the candle's signal asks for, as Freqtrade does."""
        assert not (candle["enter_long"] and candle["enter_short"])
        if not (candle["enter_long"] or candle["enter_short"]):
            return
        direction = 1 if candle["enter_long"] else -1
        assert not candle["am_bias"] * direction < 0
        rule = mode_rule(self.strategy.settings.modes, candle["enter_tag"])
        switch = candle[f"am_switch_{candle['enter_tag']}"]
        assert switch > 0 or (rule.enabled and switch == 0)
        if candle["am_level"] < 2 or rule.needs_prediction:
            assert candle["am_trusted"] and candle["am_prediction"] * direction > 0
        wanted = {
            "side": "long" if direction > 0 else "short", "tag": candle["enter_tag"],
            "stake": 3000.0, "most": MOST, "min_stake": 5.0, "max_stake": 9000.0, "swollen": 1.0,
        }  # fmt: skip
        self._order(pair, candle, wanted, now, step)

    def _order(
        self,
        pair: str,
        candle: pd.Series,
        wanted: dict[str, Any],
        now: datetime,
        step: dict[str, Any],
    ) -> None:
        asked = {
            "pair": pair, "current_time": now, "current_rate": candle["close"],
            "entry_tag": wanted["tag"], "side": wanted["side"],
        }  # fmt: skip
        strategy, most = self.strategy, wanted["most"]
        leverage = strategy.leverage(**asked, proposed_leverage=1.0, max_leverage=most)
        assert leverage >= 1 and (leverage == 1 or leverage <= most)
        stake = strategy.custom_stake_amount(
            **asked, proposed_stake=wanted["stake"], min_stake=wanted["min_stake"],
            max_stake=wanted["max_stake"], leverage=leverage,
        )  # fmt: skip
        if not stake:
            self._is_told(pair)
            return
        assert 0 < stake <= min(wanted["stake"], wanted["max_stake"], step["free"])
        assert stake >= wanted["min_stake"]
        direction = -1 if wanted["side"] == "short" else 1
        self._check(pair, candle, (wanted["tag"], direction, stake, leverage), step, now)
        amount = stake * leverage / candle["close"] * wanted["swollen"]
        confirmed = strategy.confirm_trade_entry(
            **asked, order_type="limit", amount=amount, rate=candle["close"], time_in_force="GTC"
        )
        if not confirmed:
            self._is_told(pair)
            assert wanted["swollen"] != 1
            return
        self.told[pair] = len(self.log.refusals(pair))
        placed = amount * candle["close"] / leverage
        self._check(pair, candle, (wanted["tag"], direction, placed, leverage), step, now)
        _enter(pair, placed, leverage, wanted, candle["close"], now)

    def _is_told(self, pair: str) -> None:
        """A refusal is in the log since the last order that was placed, with its reason."""
        refusals = self.log.refusals(pair)
        assert len(refusals) > self.told[pair]
        assert refusals[-1].split(" refused: ")[1].strip()

    def _check(
        self,
        pair: str,
        candle: pd.Series,
        entry: tuple[str | None, int, float, float],
        step: dict[str, Any],
        now: datetime,
    ) -> None:
        """Fail unless the stake is within every cap and no gate is closed, computed anew."""
        tag, direction, stake, leverage = entry
        own, slack = self.strategy.settings, 1.0101  # what rounding may add to an order
        risk, rule = own.risk, mode_rule(own.modes, tag or "")
        assert math.isfinite(stake) and math.isfinite(leverage)
        opened = LocalTrade.bt_trades_open
        known = {each: frame["close"].iloc[-1] for each, frame in self.strategy.dp.frames.items()}
        profit = sum(trade.calc_profit(known[trade.pair]) for trade in opened)
        equity = step["start"] + LocalTrade.bt_total_profit + profit
        notional, side = stake * leverage, np.sign(candle["am_prediction"])
        taken = [trade.stake_amount * trade.leverage for trade in opened]
        of_pair = sum(t for t, trade in zip(taken, opened, strict=True) if trade.pair == pair)
        assert notional + sum(taken) <= risk.max_exposure * equity * slack
        assert notional + of_pair <= risk.max_pair_exposure * equity * slack
        assert notional + of_pair <= risk.max_volume_share * candle["am_quote_volume"] * slack
        window = slice(self.count - own.regime.window_candles - 1, self.count)
        closes = [CANDLES[each]["close"][window].pct_change()[1:] for each in (BTC, ETH)]
        alike = np.corrcoef(np.array(closes))[0, 1]
        together = sum(
            max(0.0, (1 if trade.pair == pair else alike) * direction * (-1) ** trade.is_short) * t
            for t, trade in zip(taken, opened, strict=True)
        )
        assert notional + together <= risk.max_correlated_exposure * equity * slack
        share = {"macro": risk.macro_share, "intraday": risk.intraday_share}[rule.engine]
        engines = [mode_rule(own.modes, trade.enter_tag or "").engine for trade in opened]
        stakes = [trade.stake_amount for trade in opened]
        of_engine = sum(s for s, e in zip(stakes, engines, strict=True) if e == rule.engine)
        assert stake + of_engine <= share * equity * slack
        if tag == "long_shot":
            bets = sum(trade.stake_amount for trade in opened if trade.enter_tag == tag)
            assert stake + bets <= risk.long_shot_budget * equity * slack
        else:
            assert leverage <= risk.max_leverage
        assert 1 <= leverage <= max(1.0, rule.max_leverage)
        assert leverage == 1 or leverage * candle["am_volatility"] <= 0.01 * slack
        assert -60 <= step["late"] <= 900 and not step["kill"]
        assert candle["am_level"] <= ["full", "price-only", "rules"].index(rule.levels[-1])
        assert candle["am_level"] == 2 or (candle["am_trusted"] and side != 0)
        assert step["shares"] != {"x": 1e9}
        closed = [t for t in LocalTrade.bt_trades if t.close_date_utc.date() == now.date()]
        today = sum(trade.close_profit_abs for trade in closed)
        midnight = step["start"] + LocalTrade.bt_total_profit - today
        assert equity > midnight * (1 - risk.max_daily_drawdown)
        assert not candle["am_funding_bps"] * direction > risk.max_funding_bps
        newest = [trade.close_profit_abs for trade in LocalTrade.bt_trades[-risk.losing_streak :]]
        assert len(newest) < risk.losing_streak or max(newest) >= 0


def _config(folder: Path) -> dict[str, Any]:
    return {
        "runmode": RunMode.DRY_RUN,
        "strategy": "HybridMultiMode",
        "strategy_path": str(PROJECT / "strategies"),
        "user_data_dir": folder,
        "trading_mode": "futures",
        "candle_type_def": "futures",
        "stake_currency": "USDT",
        "timeframe": "5m",
        "exchange": {"name": "binance", "pair_whitelist": [BTC, ETH]},
        "freqai": {"feature_parameters": {"label_period_candles": 12}},
        "agent_market": {
            "state_dir": str(folder),
            "modes": {"entry_edge_bps": 5, "trend": {"scale_in": [0.6, 0.4]}},
            "sizing": {"target_volatility_bps": 80},  # or no cap of exposure would bind
            "risk": {"thin_volume": 0, "max_volume_share": 20.0},
        },
    }


def _content(file: dict[str, Any], close: datetime) -> bytes:
    if "bytes" in file:
        return bytes(file["bytes"])
    created = close + timedelta(seconds=file["created"])
    content = {name: value for name, value in file.items() if name not in ("kind", *advice_times)}
    content |= {
        "version": 1,
        "id": "x",
        "created_at": created.isoformat(),
        "expires_at": (created + timedelta(seconds=file["lasts"])).isoformat(),
    }
    if file["kind"] == "bias":
        content["source"] = {"model": "m", "data_hash": "0" * 64}
    else:
        content["reason"] = "test"
    return json.dumps(content).encode()  # NaN and Infinity as Python writes them


def _enter(
    pair: str, stake: float, leverage: float, wanted: dict[str, Any], rate: float, now: datetime
) -> None:
    trade = LocalTrade(
        pair=pair,
        stake_amount=stake,
        amount=0.0,
        open_rate=rate,
        fee_open=0.0,
        fee_close=0.0,
        leverage=leverage,
        is_open=True,
        is_short=wanted["side"] == "short",
        enter_tag=wanted["tag"],
        open_date=now,
        exchange="binance",
        trading_mode="futures",
        orders=[],
    )
    LocalTrade.add_bt_trade(trade)
    _fill(trade, stake, now)


def _fill(trade: LocalTrade, stake: float, now: datetime) -> None:
    amount = stake * trade.leverage / trade.open_rate
    order = Order(
        ft_is_open=False,
        ft_pair=trade.pair,
        order_id=str(len(trade.orders)),
        symbol=trade.pair,
        ft_order_side=trade.entry_side,
        side=trade.entry_side,
        order_type="limit",
        status="closed",
        order_date=now,
        order_filled_date=now,
        ft_price=trade.open_rate,
        price=trade.open_rate,
        average=trade.open_rate,
        amount=amount,
        filled=amount,
        remaining=0.0,
        cost=amount * trade.open_rate,
    )
    order._trade_bt = trade
    trade.orders.append(order)
    trade.recalc_trade_from_orders()


def _close(trade: LocalTrade, profit: float, now: datetime) -> None:
    trade.close_date, trade.close_profit_abs = now, profit
    trade.is_open = False
    LocalTrade.close_bt_trade(trade)


@pytest.fixture
def log() -> Iterator[_Log]:
    handler = _Log()
    root = logging.getLogger("agent_market")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def _lived_through(folder: Path, log: _Log, sequence: list[dict[str, Any]]) -> int:
    """Return the number of trades."""
    disable_database_use("5m")
    LocalTrade.reset_trades()
    log.records.clear()
    try:
        bot = _Bot(folder, log)
        for step in sequence:
            bot.live_through(step)
        assert not [each for each in log.records if each.exc_info]
        return len(LocalTrade.bt_trades_open) + len(LocalTrade.bt_trades)
    finally:
        LocalTrade.reset_trades()
        enable_database_use()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, min_size=3, max_size=8))
def test_that_no_sequence_makes_the_strategy_exceed_a_cap_pass_a_gate_or_crash(
    tmp_path_factory: pytest.TempPathFactory, log: _Log, sequence: list[dict[str, Any]]
) -> None:
    _lived_through(tmp_path_factory.mktemp("bot"), log, sequence)


def test_that_sane_sequences_do_enter_and_a_kill_switch_ends_it(tmp_path: Path, log: _Log) -> None:
    order = {"side": "short", "tag": "mean_reversion", "swollen": 1.0, "most": MOST}
    order |= {"stake": 1000.0, "min_stake": 5.0, "max_stake": 1e6}
    sane = SANE | {"predictions": {BTC: 0.004, ETH: -0.004}, "order": order}
    assert _lived_through(tmp_path, log, [sane] * 4) > 4
    assert _lived_through(tmp_path, log, [sane | {"kill": True}] * 2) == 0
    assert {pair: len(log.refusals(pair)) > 0 for pair in (BTC, ETH)} == {BTC: True, ETH: True}
