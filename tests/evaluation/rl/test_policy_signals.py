"""Signals from the columns of a policy, and the scan through them."""

import numpy as np
import pandas as pd
import pytest

from agent_market.evaluation.rl.signals import (
    POSITIONS,
    held_positions,
    policy_signals,
    target_signals,
)
from agent_market.learning.window_model import policy_column
from agent_market.rl.accounting import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from agent_market.rl.paths import PricePath
from agent_market.rl.replay import replay
from agent_market.rl.rules import TradingRules

LABEL = "&-gain"
RULES = TradingRules(fee=0.001)


def _frame(table: np.ndarray) -> pd.DataFrame:
    names = [policy_column(LABEL, held) for held in POSITIONS]
    return pd.DataFrame(table, columns=names)


def _path(n_rows: int, seed: int = 0) -> PricePath:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, n_rows)))
    features = np.zeros((n_rows, 1), np.float32)
    return PricePath(features, prices, prices, prices, prices, np.zeros(n_rows))


def test_that_signals_are_those_of_rl_trader() -> None:
    frame = _frame(np.array([[-1.0, -1, 0], [0, 1, 1], [np.nan, np.nan, np.nan], [1, 1, 0]]))
    trusted = np.array([True, True, False, True])
    assert policy_signals(frame, LABEL, trusted).tolist() == [
        ENTER_SHORT | EXIT_LONG,
        ENTER_LONG | EXIT_SHORT,
        EXIT_LONG | EXIT_SHORT,
        EXIT_LONG | EXIT_SHORT,
    ]


@pytest.mark.parametrize("seed", range(20))
def test_that_the_scan_holds_what_the_account_holds_for_any_table(seed: int) -> None:
    """Also where columns contradict each other."""
    rng = np.random.default_rng(seed)
    frame = _frame(rng.choice(POSITIONS, (300, 3)))
    trusted = rng.random(300) < 0.9
    flags = policy_signals(frame, LABEL, trusted)
    done = replay(_path(300, seed), RULES, flags, np.ones(300))
    held = held_positions(frame, LABEL, trusted)
    np.testing.assert_array_equal(done.positions[1:-1], held[:-2])


def test_that_targets_are_held_from_the_next_candle_on() -> None:
    targets = np.repeat([0.0, 1.0, -1.0, 0.0], 10)
    done = replay(_path(40), RULES, target_signals(targets), np.ones(40))
    np.testing.assert_array_equal(done.positions[1:], targets[:-1])


def test_that_a_policy_without_shorts_needs_no_column_for_them() -> None:
    frame = _frame(np.array([[0.0, 1, 1], [0, 0, 0]])).drop(columns=policy_column(LABEL, -1))
    trusted = np.ones(2, bool)
    np.testing.assert_array_equal(held_positions(frame, LABEL, trusted), [1, 0])
