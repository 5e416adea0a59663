"""Figures of accounts."""

from dataclasses import replace

import numpy as np
import pytest

from agent_market.evaluation.metrics import sharpe_ratio, sortino_ratio
from agent_market.evaluation.rl.accounts import (
    account_figures,
    longest_losing_streak,
    sortino_interval,
    trade,
)
from agent_market.evaluation.rl.signals import target_signals
from agent_market.rl.paths import PricePath
from agent_market.rl.rules import TradingRules

N_ROWS = 288 * 30
RULES = TradingRules(fee=0.0006)


def _path(seed: int = 0, drift: float = 0.0) -> PricePath:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(drift, 0.002, N_ROWS)))
    dates = np.datetime64("2024-01-01", "ms") + np.arange(N_ROWS) * np.timedelta64(5, "m")
    features = np.zeros((N_ROWS, 1), np.float32)
    return PricePath(features, prices, prices, prices, prices, np.zeros(N_ROWS), dates)


def test_that_holding_earns_the_change_of_price_less_two_fees() -> None:
    path = _path()
    account = trade("A", path, RULES, target_signals(np.ones(N_ROWS)))
    bought, sold = path.open[1], path.open[-1]
    # the fee of the entry is paid beside the stake, that of the exit out of what it brought
    stake = 1 / (1 + 0.0006) if account.profits[0] < sold / bought - 1 - 0.0012 else 1.0
    expected = stake * (sold * (1 - 0.0006) / bought - (1 + 0.0006))
    assert account.equity.iloc[-1] - 1 == pytest.approx(expected, abs=1e-4)
    assert account.gross.iloc[-1] == pytest.approx(sold / bought, rel=1e-9)
    figures = account_figures([account], RULES)
    assert figures["trades"] == 1 and figures["exposure"] > 0.99
    assert figures["strategy"]["turnover_per_day"] == pytest.approx(2 / 30, rel=1e-2)


def test_that_an_account_that_never_trades_has_no_ratio_and_no_loss() -> None:
    account = trade("A", _path(), RULES, target_signals(np.zeros(N_ROWS)))
    figures = account_figures([account], RULES)
    net = figures["strategy"]["net"]
    assert net["return_percent"] == 0 and net["max_drawdown_percent"] == 0
    assert np.isnan([net["sharpe"], figures["sortino"], figures["win_rate"]]).all()
    assert figures["trades"] == figures["longest_losing_streak"] == figures["exposure"] == 0


def test_that_pairs_have_equal_parts_of_the_capital() -> None:
    held = target_signals(np.ones(N_ROWS))
    accounts = [trade("A", _path(1), RULES, held), trade("B", _path(2), RULES, held)]
    both = account_figures(accounts, RULES)["strategy"]["net"]["return_percent"]
    each = [account_figures([one], RULES)["strategy"]["net"]["return_percent"] for one in accounts]
    assert both == pytest.approx(np.mean(each))


def test_that_gross_and_net_differ_by_the_fees() -> None:
    turns = target_signals(np.where(np.arange(N_ROWS) // 100 % 2, 1.0, -1.0))
    account = trade("A", _path(), RULES, turns)
    free = trade("A", _path(), replace(RULES, fee=0.0), turns)
    assert account.gross.equals(free.equity)
    assert account.equity.iloc[-1] < account.gross.iloc[-1]


def test_that_losing_streaks_are_counted_in_order() -> None:
    assert longest_losing_streak(np.array([-1.0, -1, 2, -1, -1, -1, 0, -1])) == 3
    assert longest_losing_streak(np.array([])) == 0


def test_that_the_interval_of_sortino_holds_its_value_and_needs_days() -> None:
    returns = np.random.default_rng(0).normal(0.002, 0.01, 200)
    low, high = sortino_interval(returns)
    assert low < sortino_ratio(returns) < high and sharpe_ratio(returns) > 0
    assert np.isnan(sortino_interval(returns[:9])).all()
    assert sortino_interval(returns) == sortino_interval(returns)
