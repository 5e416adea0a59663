from datetime import UTC, datetime

import pytest

from agent_market.errors import ConfigError
from agent_market.flow.timerange import Timerange, parse_timerange


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240101-20240201", Timerange(utc(2024, 1, 1), utc(2024, 2, 1))),
        ("20240101T1230-", Timerange(utc(2024, 1, 1, 12, 30), None)),
        ("1704067200-1704153600", Timerange(utc(2024, 1, 1), utc(2024, 1, 2))),
        ("1704067200000-", Timerange(utc(2024, 1, 1), None)),
    ],
)
def test_that_every_form_of_freqtrade_is_read(text: str, expected: Timerange) -> None:
    assert parse_timerange(text) == expected


@pytest.mark.parametrize("text", ["2024", "-20240201", "20240201-20240101", "2024-01-01", "x-y"])
def test_that_a_wrong_form_is_an_error_that_shows_a_right_one(text: str) -> None:
    with pytest.raises(ConfigError, match="20240101-20240401"):
        parse_timerange(text)
