import logging

import pytest

from agent_market.flow.progress import TrainingLog, TrainingProgress, training_bar

LINE = (
    "2026-01-01 10:00:00,000 - freqtrade.freqai.freqai_interface - INFO - Training ETH/USDT:USDT, "
    "2/3 pairs from 2024-01-02 00:00:00 to 2024-01-05 00:00:00, 4/10 trains"
)
OURS = "2026-01-01 10:00:00,000 - agent_market.bridge.backtest - INFO - "


def test_that_windows_of_freqais_models_are_counted_over_all_pairs() -> None:
    assert TrainingLog().note(LINE) == TrainingProgress("ETH/USDT:USDT", done=13, total=30)


def test_that_windows_of_our_models_are_counted_over_the_pairs_known_so_far() -> None:
    log = TrainingLog()
    assert log.note(f"{OURS}A/B: 3 windows to train, 1 unchanged.") == TrainingProgress("A/B", 1, 4)
    assert log.note(f"{OURS}A/B: window 3/3, 70 rows, 9 features, 1.20 s.") == TrainingProgress(
        "A/B", 4, 4
    )
    assert log.note(f"{OURS}C/D: 4 windows to train, 0 unchanged.") == TrainingProgress("C/D", 4, 8)
    assert log.note(f"{OURS}C/D: window 1/4, 70 rows.") == TrainingProgress("C/D", 5, 8)
    assert (log.total, log.skipped) == (8, [])


def test_that_other_lines_say_nothing_of_progress() -> None:
    log = TrainingLog()
    assert log.note("INFO - Training 10 timeranges") is None
    assert (log.total, log.skipped) == (0, [])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "WARNING - Training A/B raised exception ValueError. Message: bad, skipping.",
            "A/B: ValueError: bad",
        ),
        (f"{OURS}A/B: window not trained. 1 of 9 rows have a label.", "A/B: 1 of 9 rows have"),
    ],
)
def test_that_a_window_that_could_not_be_trained_is_noticed(line: str, found: str) -> None:
    log = TrainingLog()
    assert log.note(line) is None
    assert len(log.skipped) == 1 and log.skipped[0].startswith(found)


def test_that_without_a_terminal_each_tenth_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with training_bar(log := TrainingLog()) as on_line:
        for window in range(1, 41):
            on_line(f"Training A/B, 1/1 pairs from x to y, {window}/40 trains")
    assert len(caplog.messages) == 10
    assert caplog.messages[-1].strip() == "36 of 40 windows trained"
    assert log.total == 40
