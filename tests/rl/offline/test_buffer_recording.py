import numpy as np
import pandas as pd
import pytest

from agent_market.errors import DataError
from agent_market.rl.accounting import EXIT_REASONS
from agent_market.rl.env import target_actions
from agent_market.rl.offline.behavior import explored, hindsight_targets, random_targets
from agent_market.rl.offline.recording import STATES
from agent_market.rl.offline.trades import trade_targets
from agent_market.rl.policies.hindsight import optimum
from agent_market.rl.policies.problem import TradingProblem
from agent_market.rl.replay import replay
from agent_market.rl.rules import TradingRules
from tests.rl.offline.markets import POSITIONS, RULES, log_of, market

GRID = np.array(POSITIONS)
STOPPED = TradingRules(fee=0.0005, stoploss=-0.01, minimal_roi={0: 0.012, 60: 0.004}, leverage=2.0)


def _held_a_while(n_rows: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    changes = np.where(draw.random(n_rows) < 0.1, np.arange(n_rows), 0)
    return draw.integers(0, 3, n_rows)[np.maximum.accumulate(changes)]


@pytest.mark.parametrize("rules", [RULES, STOPPED])
def test_that_rewards_compound_to_the_balance_of_a_replay(rules: TradingRules) -> None:
    path = market(800, seed=1)
    targets = _held_a_while(800, seed=2)
    buffer = log_of(path, targets, episode_rows=800, rules=rules)
    actions = target_actions(POSITIONS)
    balance = replay(path, rules, actions.flags[targets], actions.sizes[targets]).equity
    grown = rules.start_balance * np.cumprod(1 + buffer.reward)
    # the last row pays up to the open of the path's last candle, where the replay closes
    np.testing.assert_allclose(grown[:-1], balance[1 : len(grown)], rtol=1e-12)


def test_that_without_stops_the_position_held_is_the_one_asked_for_before() -> None:
    buffer = log_of(market(300, seed=1), random_targets(300, 3, seed=3), episode_rows=100)
    for episode in np.unique(buffer.episode):
        rows = np.flatnonzero(buffer.episode == episode)
        assert buffer.held[rows[0]] == 1  # flat
        assert (buffer.held[rows[1:]] == buffer.action[rows[:-1]]).all()
    state = buffer.position_state[:, STATES.index("position")]
    assert (state == GRID[buffer.held]).all()


def test_that_after_a_stop_the_position_held_is_flat_though_more_was_asked_for() -> None:
    buffer = log_of(market(600, seed=1), np.full(600, 2), episode_rows=600, rules=STOPPED)
    stopped = (buffer.held[1:] == 1) & (buffer.action[:-1] == 2)
    assert stopped.sum() > 5
    assert not buffer.done.any()


def test_that_hindsight_earns_the_optimum_and_chance_loses() -> None:
    path = market(1500, seed=4)
    best = log_of(path, hindsight_targets(path, GRID, RULES.cost), episode_rows=1500)
    wanted = optimum(TradingProblem.of(path, POSITIONS, RULES.cost), start=1)
    assert best.reward.sum() == pytest.approx(wanted, rel=0.02)  # one compounds, one adds up
    assert log_of(path, random_targets(1500, 3, seed=0)).reward.mean() < 0


def test_that_exploration_changes_the_share_asked_for() -> None:
    changed = explored(np.ones(20_000, dtype=np.int64), 3, share=0.3, seed=0) != 1
    assert changed.mean() == pytest.approx(0.2, abs=0.01)  # a third draws what it had


def _as_freqtrade_writes(path, rules: TradingRules, targets: np.ndarray) -> pd.DataFrame:
    actions = target_actions(POSITIONS)
    trades = replay(path, rules, actions.flags[targets], actions.sizes[targets]).trades
    dates = pd.DatetimeIndex(path.dates).tz_localize("UTC")
    return pd.DataFrame(
        {
            "open_date": dates[trades["open_row"]],
            "close_date": dates[trades["close_row"]],
            "is_short": trades["side"] < 0,
            "exit_reason": [EXIT_REASONS[code] for code in trades["exit_code"]],
            "close_rate": trades["close_rate"],
            "profit_abs": trades["profit_abs"],
        }
    )


@pytest.mark.parametrize("rules", [RULES, STOPPED])
def test_that_targets_read_from_trades_make_the_same_trades(rules: TradingRules) -> None:
    path = market(2000, seed=6)
    trades = _as_freqtrade_writes(path, rules, _held_a_while(2000, seed=7))
    again = _as_freqtrade_writes(path, rules, trade_targets(trades, path.dates, GRID))
    assert len(trades) > 50
    if rules is STOPPED:
        assert {"stop_loss", "roi", "exit_signal"} <= set(trades["exit_reason"])
    pd.testing.assert_frame_equal(again, trades)


def test_that_a_dry_run_fills_within_a_candle_what_the_row_before_asked_for() -> None:
    dates = np.datetime64("2025-01-01", "ms") + np.arange(10) * np.timedelta64(300_000, "ms")
    trades = pd.DataFrame(
        {
            "open_date": pd.to_datetime(["2025-01-01 00:15:07", "2025-01-01 00:35:02"], utc=True),
            "close_date": pd.to_datetime(["2025-01-01 00:30:01", None], utc=True),
            "is_short": [False, True],
            "exit_reason": ["exit_signal", None],
        }
    )
    assert trade_targets(trades, dates, GRID).tolist() == [1, 1, 2, 2, 2, 1, 0, 0, 0, 0]


def test_that_a_trade_the_candles_cannot_explain_is_refused() -> None:
    dates = np.datetime64("2025-01-01", "ms") + np.arange(10) * np.timedelta64(300_000, "ms")
    trades = pd.DataFrame(
        {
            "open_date": pd.to_datetime(["2025-01-01 00:00:00"], utc=True),
            "close_date": pd.to_datetime(["2025-01-01 00:30:00"], utc=True),
            "is_short": [True],
            "exit_reason": ["roi"],
        }
    )
    with pytest.raises(DataError, match="candles that begin earlier"):
        trade_targets(trades, dates, GRID)
    trades["open_date"] += pd.Timedelta(minutes=10)
    with pytest.raises(DataError, match=r"is short, the positions are \[0.0, 1.0\]"):
        trade_targets(trades, dates, np.array([0.0, 1.0]))
