"""RLTrader in `freqtrade backtesting`, the scan of its columns, and the environment: one profit."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from freqtrade.data.btanalysis import load_backtest_data

from agent_market.evaluation.rl.signals import POSITIONS, held_positions, policy_signals
from agent_market.learning.window_model import policy_column
from agent_market.rl.env import TradingEnv, target_actions
from agent_market.rl.policies.hindsight import follow
from agent_market.rl.replay import replay
from tests.conftest import SmallMarket
from tests.freqtrade_process import overlay, run_freqtrade
from tests.parity.models import PARAMETERS
from tests.parity.test_rl_parity import PERPETUAL, Host, _host, _require_same_trades

FEE, TIMERANGE = 0.0004, "20250112-20250114"
LABEL, FLAT = "&-gain", 1
# their nets score positions and deduct what a change costs: they never contradict themselves
SCORING = ("PolicyTrader", "ImitationTrader")


class Backtested(NamedTuple):
    """One backtest: the host's candles, its trades, and the predictions it traded by."""

    host: Host
    trades: pd.DataFrame
    frame: pd.DataFrame


@pytest.fixture(scope="module")
def backtested(
    request: pytest.FixtureRequest,
    small_market: SmallMarket,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backtested]:
    folder = tmp_path_factory.mktemp("parity")
    content = {
        "user_data_dir": str(folder / "userdir"),
        "stake_amount": "unlimited",
        "tradable_balance_ratio": 1.0,
        "max_open_trades": 1,
        "exchange": {"pair_whitelist": [PERPETUAL]},
        "freqai": {
            "identifier": "parity",
            "train_period_days": 2,
            "backtest_period_days": 1,
            "feature_parameters": {
                "include_timeframes": ["5m"],
                "include_corr_pairlist": [],
                "include_shifted_candles": 0,
                "indicator_periods_candles": [12],
                "label_period_candles": 2,
            },
            "model_training_parameters": PARAMETERS,
        },
        "agent_market": {"state_dir": str(folder / "state"), "learning": {"workers": 1}},
    }
    (folder / "results").mkdir()
    (folder / "userdir").mkdir()
    run = run_freqtrade(
        "backtesting",
        [small_market.config, overlay(folder / "rl.json", content)],
        *["--strategy", "RLTrader", "--freqaimodel", request.param, "--fee", str(FEE)],
        *["--datadir", str(small_market.datadir), "--timerange", TIMERANGE],
        *["--export", "trades", "--cache", "none", f"--backtest-directory={folder / 'results'}"],
        timeout=300,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    trades = load_backtest_data(folder / "results")
    files = sorted(folder.glob("userdir/models/parity/backtesting_predictions/*.feather"))
    predictions = pd.concat([pd.read_feather(file) for file in files]).drop_duplicates("date")
    with _host(folder / "host", small_market.datadir, PERPETUAL, TIMERANGE, FEE) as host:
        dates = pd.DatetimeIndex(host.candles["date"])
        frame = predictions.set_index("date").reindex(dates).reset_index()
        yield Backtested(host, trades, frame)


@pytest.mark.parametrize("backtested", [*SCORING, "PPOTrader", "OfflineTrader"], indirect=True)
def test_that_the_trades_are_those_of_the_account_and_of_the_environment(
    backtested: Backtested,
) -> None:
    host, theirs, frame = backtested
    path, rules = host.path(), host.rules(stoploss=-0.2, minimal_roi={0: 10.0})
    trusted = frame["do_predict"].to_numpy() == 1
    assert trusted.sum() > 500 and len(theirs) > 5 and theirs["is_short"].nunique() == 2
    ours = replay(path, rules, policy_signals(frame, LABEL, trusted), np.ones(len(path)))
    _require_same_trades(host, ours.trades, theirs)
    profit = theirs["profit_abs"].sum()
    assert ours.equity[-1] - rules.start_balance == pytest.approx(profit, abs=1e-6)

    # decided at a close, held at the next one; at the last open everything is closed
    held = held_positions(frame, LABEL, trusted)
    np.testing.assert_array_equal(ours.positions[1:-1], held[:-2])

    env = TradingEnv(path, rules, target_actions())
    env.reset(seed=0)
    balance = rules.start_balance
    for action in np.searchsorted(POSITIONS, held[:-1]):
        _, reward, _, _, _ = env.step(action)
        balance *= 1 + reward
    assert balance - rules.start_balance == pytest.approx(profit, abs=1e-6)


@pytest.mark.parametrize("backtested", SCORING, indirect=True)
def test_that_the_scan_of_a_policy_holds_what_the_account_holds(backtested: Backtested) -> None:
    frame = backtested.frame
    trusted = frame["do_predict"].to_numpy() == 1
    columns = [policy_column(LABEL, held) for held in POSITIONS]
    table = frame[columns].fillna(0.0).to_numpy(copy=True)
    table[~trusted] = 0.0
    scanned = POSITIONS[follow(np.searchsorted(POSITIONS, table), FLAT)]
    np.testing.assert_array_equal(held_positions(frame, LABEL, trusted), scanned)
