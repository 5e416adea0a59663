from datetime import UTC, datetime, timedelta

import pytest

from agent_market.errors import ConfigError
from agent_market.flow.schedule import Schedule, rolling_timerange, span_of
from agent_market.flow.timerange import parse_timerange
from agent_market.settings import AgentMarketSettings, LoopSettings, load_settings

NOW = datetime(2026, 11, 21, 13, 7, 42, tzinfo=UTC)
CONFIG = {"timeframe": "5m", "freqai": {"backtest_period_days": 7}}


def schedule(**settings: object) -> Schedule:
    return Schedule.of(LoopSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("every", "following"),
    [("30m", (21, 13, 30)), ("4h", (21, 16, 0)), ("1d", (22, 0, 0))],
)
def test_that_starts_stand_at_round_times_of_utc(
    every: str, following: tuple[int, int, int]
) -> None:
    day, hour, minute = following
    assert schedule(every=every).after(NOW) == datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_that_a_start_on_a_round_time_is_followed_by_the_next_one() -> None:
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert schedule(every="4h").after(start) == start + timedelta(hours=4)


def test_that_pauses_after_failures_double_up_to_the_usual_pause() -> None:
    pauses = [
        schedule(every="1h", retry_minutes=10).retry_after(NOW, failures) - NOW
        for failures in (1, 2, 3, 4, 1000)
    ]
    assert [pause.total_seconds() / 60 for pause in pauses] == [10, 20, 40, 60, 60]


def test_that_the_time_range_ends_with_the_newest_closed_candle() -> None:
    start, stop = parse_timerange(rolling_timerange(CONFIG, 4, NOW))
    assert stop == datetime(2026, 11, 21, 13, 5, tzinfo=UTC)
    assert stop - start == timedelta(days=28, minutes=5)  # that candle has a window of its own


def test_that_a_candle_counts_from_its_close_on() -> None:
    close = datetime(2026, 11, 21, 13, 5, tzinfo=UTC)
    before = close - timedelta(seconds=1)
    stops = [parse_timerange(rolling_timerange(CONFIG, 1, now)).stop for now in (before, close)]
    assert stops == [close - timedelta(minutes=5), close]


@pytest.mark.parametrize("missing", ["timeframe", "freqai"])
def test_that_a_missing_key_is_named(missing: str) -> None:
    config = {key: value for key, value in CONFIG.items() if key != missing}
    with pytest.raises(ConfigError, match=missing):
        rolling_timerange(config, 1, NOW)


def test_that_seconds_are_shown_as_dates_and_dates_stay() -> None:
    assert span_of("1763726400-1763730000") == "20251121T1200-20251121T1300"
    assert span_of("20240101-20240401") == "20240101-20240401"
    assert span_of("20240101-") == "20240101-"


@pytest.mark.parametrize("every", ["0h", "4", "h", "-1h", "90s"])
def test_that_a_period_that_is_none_is_refused(every: str) -> None:
    with pytest.raises(ConfigError, match=r"agent_market\.loop\.every"):
        load_settings({"agent_market": {"loop": {"every": every}}})
    assert AgentMarketSettings().loop.every == "4h"
