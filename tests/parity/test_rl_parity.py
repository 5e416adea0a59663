"""Actions through our environment and through `freqtrade backtesting`: the same trades."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from freqtrade.configuration import setup_utils_configuration
from freqtrade.data.btanalysis import load_backtest_data
from freqtrade.data.btanalysis.historic_precision import get_tick_size_over_time
from freqtrade.data.converter import trim_dataframe
from freqtrade.enums import RunMode
from freqtrade.optimize.backtesting import Backtesting

from agent_market.market.replay import ccxt_overlay, launch_replay
from agent_market.rl.accounting import EXIT_REASONS
from agent_market.rl.env import Actions, TradingEnv, five_actions, target_actions
from agent_market.rl.paths import PricePath, funding_shares
from agent_market.rl.replay import replay
from agent_market.rl.rules import TradingRules
from tests.conftest import SmallMarket
from tests.freqtrade_process import PROJECT, overlay, run_freqtrade

STRATEGIES = Path(__file__).parent / "strategies"
PERPETUAL, SPOT = "BTC/USDT:USDT", "BTC/USDT"


class Host:
    """Freqtrade's own backtest of one pair, in this process."""

    def __init__(
        self, folder: Path, datadir: Path, url: str, pair: str, timerange: str, fee: float
    ) -> None:
        self.pair = pair
        is_spot = ":" not in pair
        self.folder = folder / "userdir"
        self.folder.mkdir(parents=True)
        self.words = {
            "strategy": "ReplayedSpot" if is_spot else "Replayed",
            "timerange": timerange,
            "datadir": datadir,
            "fee": fee,
        }
        content: dict[str, Any] = {
            **ccxt_overlay(url),
            "user_data_dir": str(self.folder),
            "strategy_path": str(STRATEGIES),
            "freqai": {"enabled": False},
            "stake_amount": "unlimited",
            "tradable_balance_ratio": 1.0,
            "max_open_trades": 1,
        }
        if is_spot:
            content |= {"trading_mode": "spot", "margin_mode": ""}
        content["exchange"]["pair_whitelist"] = [pair]
        self.config_path = overlay(folder / "config.json", content)
        self._write(TradingRules(), pd.Series([], dtype="datetime64[ms, UTC]"), [], [])
        files = [str(PROJECT / "config.json"), str(self.config_path)]
        self.config = setup_utils_configuration({"config": files, **self.words}, RunMode.BACKTEST)
        self.backtesting = Backtesting(self.config)
        self.data, self.timerange = self.backtesting.load_bt_data()
        self.candles = trim_dataframe(self.data[pair], self.timerange).reset_index(drop=True)

    def _write(self, rules: TradingRules, dates: pd.Series, flags: Any, sizes: Any) -> None:
        told = {
            "dates": [str(date) for date in dates],
            "flags": [int(flag) for flag in flags],
            "sizes": [float(size) for size in sizes],
            "stoploss": rules.stoploss,
            "minimal_roi": dict(rules.minimal_roi),
            "leverage": rules.leverage,
            "max_holding_candles": rules.max_holding_candles,
        }
        (self.folder / "decisions.json").write_text(json.dumps(told))

    def write(self, rules: TradingRules, flags: Any, sizes: Any) -> None:
        self._write(rules, self.candles["date"], flags, sizes)

    def trades(self, rules: TradingRules, flags: Any, sizes: Any) -> pd.DataFrame:
        self.write(rules, flags, sizes)
        (strategy,) = self.backtesting.strategylist
        self.backtesting.backtest_one_strategy(strategy, self.data, self.timerange)
        (content,) = self.backtesting.all_bt_content.values()
        return content["results"]

    def path(self) -> PricePath:
        """Return the candles that the backtest walks over."""
        prices = {
            name: self.candles[name].to_numpy(float) for name in ("open", "high", "low", "close")
        }
        dates = self.candles["date"].dt.tz_localize(None).to_numpy()
        steps = get_tick_size_over_time(self.data[self.pair].copy())
        funding = np.zeros(len(dates))
        if self.pair in self.backtesting.futures_data:
            events = self.backtesting.futures_data[self.pair]
            funding = funding_shares(
                dates,
                prices["open"],
                events["date"].dt.tz_localize(None).to_numpy(),
                events["open_fund"].to_numpy(float),
                events["open_mark"].to_numpy(float),
            )
        return PricePath(
            features=np.zeros((len(dates), 1), np.float32),
            **prices,
            funding_rate=funding,
            dates=dates,
            price_step=steps.asof(pd.DatetimeIndex(self.candles["date"]))
            .fillna(self.backtesting.exchange.get_precision_price(self.pair))
            .to_numpy(float),
        )

    def rules(self, **more: Any) -> TradingRules:
        """Return rules with this market's steps, margins, fee and balance."""
        exchange = self.backtesting.exchange
        is_spot = ":" not in self.pair
        if not is_spot:
            ratio, amount = exchange.get_maintenance_ratio_and_amt(self.pair, 10_000)
            more |= {"maintenance_margin": ratio, "maintenance_amount": amount}
        return TradingRules(
            fee=self.config["fee"],
            can_short=not is_spot,
            amount_step=exchange.get_precision_amount(self.pair) or 0.0,
            start_balance=self.config["dry_run_wallet"],
            **more,
        )


@contextmanager
def _host(folder: Path, datadir: Path, pair: str, timerange: str, fee: float) -> Iterator[Host]:
    with launch_replay(datadir) as exchange:
        yield Host(folder, datadir, exchange.url, pair, timerange, fee)


@pytest.fixture(scope="module")
def simulated(
    small_market: SmallMarket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("simulated")
    with _host(folder, small_market.datadir, PERPETUAL, "20250112-20250117", 0.0007) as host:
        yield host


@pytest.fixture(scope="module")
def real_futures(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("futures")
    datadir = real_data / "futures_2023_24"
    with _host(folder, datadir, PERPETUAL, "20230928-20231003", 0.0005) as host:
        yield host


@pytest.fixture(scope="module")
def real_spot(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("spot")
    with _host(folder, real_data / "spot_2024", SPOT, "20240305-20240310", 0.001) as host:
        yield host


RULES: dict[str, dict[str, Any]] = {
    "exit_signal": {},
    "stop_loss": {"stoploss": -0.01, "leverage": 3.0},
    "roi": {"minimal_roi": {0: 0.012, 30: 0.006, 60: 0.002, 240: -1}, "stoploss": -0.03},
    "max_holding": {"max_holding_candles": 7, "leverage": 2.0},
    "liquidation": {"leverage": 50.0, "stoploss": -0.99},
    "roi_and_all": {
        "stoploss": -0.02,
        "minimal_roi": {0: 0.02, 20: 0.01, 90: 0.0},
        "max_holding_candles": 40,
        "leverage": 5.0,
    },
}
"""By the exit reason that must come up under them."""

FRACTIONS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)


def _actions(kind: str, is_spot: bool) -> Actions:
    if kind == "five":
        return five_actions()
    targets = FRACTIONS if kind == "fractions" else (-1.0, 0.0, 1.0)
    return target_actions([target for target in targets if target >= 0 or not is_spot])


def _random(actions: Actions, n_rows: int, patience: int, seed: int) -> np.ndarray:
    """Return actions that are kept for a while, so that trades live long enough for every rule."""
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random(n_rows) < 1 / patience, np.arange(n_rows), 0)
    return rng.integers(0, len(actions), n_rows)[np.maximum.accumulate(rows)]


def _require_same(
    host: Host, rules: TradingRules, path: PricePath, flags: Any, sizes: Any
) -> pd.DataFrame:
    theirs = host.trades(rules, flags, sizes).reset_index(drop=True)
    ours = replay(path, rules, flags, sizes)
    _require_same_trades(host, ours.trades, theirs)
    total = theirs["profit_abs"].sum()
    assert ours.equity[-1] - rules.start_balance == pytest.approx(total, abs=1e-6)
    return theirs


def _require_same_trades(host: Host, trades: np.ndarray, theirs: pd.DataFrame) -> None:
    dates = pd.DatetimeIndex(host.candles["date"])
    assert [EXIT_REASONS[code] for code in trades["exit_code"]] == list(theirs["exit_reason"])
    assert list(dates[trades["open_row"]]) == list(theirs["open_date"])
    assert list(dates[trades["close_row"]]) == list(theirs["close_date"])
    assert list(trades["side"] < 0) == list(theirs["is_short"])
    for name in ("open_rate", "close_rate"):
        np.testing.assert_allclose(trades[name], theirs[name], rtol=1e-12)
    np.testing.assert_allclose(trades["profit_ratio"], theirs["profit_ratio"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(trades["profit_abs"], theirs["profit_abs"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "patience",
    [pytest.param(2, marks=pytest.mark.slow), 30, pytest.param(90, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", ["targets", "five", "fractions"])
@pytest.mark.parametrize("reason", RULES)
@pytest.mark.parametrize("market", ["simulated", "real_futures", "real_spot"])
def test_that_random_actions_make_the_trades_of_a_backtest(
    market: str, reason: str, kind: str, patience: int, request: pytest.FixtureRequest
) -> None:
    is_spot = market == "real_spot"
    if is_spot and reason == "liquidation":
        return  # nothing is liquidated on spot
    host: Host = request.getfixturevalue(market)
    rules = host.rules(**RULES[reason] | ({"leverage": 1.0} if is_spot else {}))
    path, actions = host.path(), _actions(kind, is_spot)
    chosen = _random(actions, len(path), patience, seed=patience)
    share = 0.1 if reason == "liquidation" else 1.0  # or the balance is lost
    flags, sizes = actions.flags[chosen], share * actions.sizes[chosen]
    seen = _require_same(host, rules, path, flags, sizes)["exit_reason"]
    if kind == "targets" and patience == 30 and not is_spot:
        assert reason.removesuffix("_and_all") in set(seen)


def test_that_a_stop_a_turn_and_a_part_taken_off_are_those_of_a_backtest(
    real_futures: Host,
) -> None:
    host, path = real_futures, real_futures.path()
    rules = host.rules(stoploss=-0.02, leverage=4.0)
    targets = np.zeros(len(path))
    targets[10:60], targets[60:90], targets[90:140] = 1.0, -1.0, 0.5
    targets[140:200], targets[200:260], targets[260:] = 1.0, 0.25, -0.5
    actions = target_actions(FRACTIONS)
    chosen = np.searchsorted(FRACTIONS, targets)
    trades = _require_same(host, rules, path, actions.flags[chosen], actions.sizes[chosen])
    turned = trades["open_date"].isin(trades["close_date"])
    assert turned.any() and len(trades) > 3
    assert trades["exit_reason"].iloc[-1] == "force_exit"


def test_that_slippage_is_a_higher_fee_of_the_backtest(real_futures: Host) -> None:
    host, path = real_futures, real_futures.path()
    rules = replace(host.rules(), fee=0.0002, slippage=0.0003)
    assert rules.cost == pytest.approx(host.config["fee"])
    actions = target_actions()
    chosen = _random(actions, len(path), 20, 5)
    _require_same(host, rules, path, actions.flags[chosen], actions.sizes[chosen])


def test_that_the_steps_of_the_environment_add_up_to_the_backtest(real_futures: Host) -> None:
    host, path = real_futures, real_futures.path()
    rules = host.rules(stoploss=-0.02, minimal_roi={0: 0.02, 60: 0.005}, leverage=3.0)
    env = TradingEnv(path, rules, five_actions())
    env.reset(seed=0)
    chosen = _random(five_actions(), len(path), 10, 6)
    balance, ended = rules.start_balance, False
    for action in chosen[:-1]:
        assert not ended
        _, reward, ended, _, _ = env.step(action)
        balance *= 1 + reward
    assert ended
    flags = five_actions().flags[chosen]
    theirs = host.trades(rules, flags, np.ones(len(path)))
    assert balance - rules.start_balance == pytest.approx(theirs["profit_abs"].sum(), abs=1e-6)


def test_that_the_command_line_gives_the_same_trades(real_futures: Host, tmp_path: Path) -> None:
    host, path = real_futures, real_futures.path()
    rules = host.rules(stoploss=-0.03, minimal_roi={0: 0.03, 120: 0.01}, leverage=2.0)
    actions = target_actions()
    chosen = _random(actions, len(path), 30, 7)
    flags, sizes = actions.flags[chosen], actions.sizes[chosen]
    host.write(rules, flags, sizes)
    words = [f"--{name}={value}" for name, value in host.words.items()]
    run = run_freqtrade(
        "backtesting",
        [host.config_path],
        *words,
        *["--export", "trades", "--cache", "none", f"--backtest-directory={tmp_path}"],
    )
    assert run.returncode == 0, run.stderr[-2000:]
    theirs = load_backtest_data(tmp_path)
    _require_same_trades(host, replay(path, rules, flags, sizes).trades, theirs)
