"""Freqtrade's `--timerange`: `20240101-20240401`, `20240101T1200-`, or epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from agent_market.errors import ConfigError

_FORMATS = {8: "%Y%m%d", 13: "%Y%m%dT%H%M", 15: "%Y%m%dT%H%M%S"}
_EPOCH_SECONDS_DIGITS = 10
_EPOCH_MILLISECONDS_DIGITS = 13


class Timerange(NamedTuple):
    """The span a backtest trades on: [start, stop), UTC; `stop` is None where it is open."""

    start: datetime
    stop: datetime | None


def parse_timerange(text: str) -> Timerange:
    """Return the parsed time range.

    Raises
    ------
    ConfigError
        The form is wrong, the start is missing, or the start is not before the stop.
    """
    start_text, separator, stop_text = text.partition("-")
    if not separator or not start_text:
        raise _wrong(text, "it needs a start and a dash")
    start = _moment(start_text, text)
    stop = _moment(stop_text, text) if stop_text else None
    if stop is not None and stop <= start:
        raise _wrong(text, "its start is not before its stop")
    return Timerange(start, stop)


def _moment(part: str, text: str) -> datetime:
    if part.isdigit() and len(part) in (_EPOCH_SECONDS_DIGITS, _EPOCH_MILLISECONDS_DIGITS):
        seconds = int(part) / (1000 if len(part) == _EPOCH_MILLISECONDS_DIGITS else 1)
        return datetime.fromtimestamp(seconds, UTC)
    try:
        return datetime.strptime(part, _FORMATS[len(part)]).replace(tzinfo=UTC)
    except (KeyError, ValueError) as error:
        raise _wrong(text, f"{part!r} is not a date") from error


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"timerange {text!r}: {why}. Write it as 20240101-20240401.")
