import logging

import pytest

from agent_market.flow.progress import (
    TrainingProgress,
    parse_skipped_window,
    parse_training,
    training_bar,
)

LINE = (
    "2026-01-01 10:00:00,000 - freqtrade.freqai.freqai_interface - INFO - Training ETH/USDT:USDT, "
    "2/3 pairs from 2024-01-02 00:00:00 to 2024-01-05 00:00:00, 4/10 trains"
)


def test_that_windows_are_counted_over_all_pairs() -> None:
    assert parse_training(LINE) == TrainingProgress("ETH/USDT:USDT", number=14, total=30)


def test_that_other_lines_say_nothing_of_progress() -> None:
    assert parse_training("INFO - Training 10 timeranges") is None
    assert parse_skipped_window(LINE) is None


def test_that_a_window_freqai_gave_up_is_noticed() -> None:
    line = "WARNING - Training BTC/USDT:USDT raised exception ValueError. Message: bad, skipping."
    assert parse_skipped_window(line) == "BTC/USDT:USDT: ValueError: bad"


def test_that_without_a_terminal_each_tenth_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with training_bar() as on_line:
        for window in range(1, 41):
            on_line(f"Training A/B, 1/1 pairs from x to y, {window}/40 trains")
    assert len(caplog.messages) == 10
    assert caplog.messages[-1].strip() == "36 of 40 windows trained"
