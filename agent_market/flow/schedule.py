"""When the loop starts a run, and what time range that run has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent_market.errors import ConfigError
from agent_market.flow.configuration import Config
from agent_market.flow.development import as_text
from agent_market.flow.timerange import Timerange
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import LoopSettings

_UNITS: Mapping[str, timedelta] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_EPOCH = datetime.fromtimestamp(0, UTC)
_EPOCH_DIGITS = 10


@dataclass(frozen=True)
class Schedule:
    """Starts at round times of UTC, and later and later ones after failures.

    every : from one start to the next. retry : pause after a first failure.
    """

    every: timedelta
    retry: timedelta

    @classmethod
    def of(cls, settings: LoopSettings) -> Schedule:
        """Return the schedule that the settings describe."""
        every = int(settings.every[:-1]) * _UNITS[settings.every[-1]]
        return cls(every, timedelta(minutes=settings.retry_minutes))

    def after(self, start: datetime) -> datetime:
        """Return the start that follows one at `start`.

        Where it is past, one run makes up for all that were missed: those are not counted.
        """
        return floor(start, self.every) + self.every

    def retry_after(self, end: datetime, failures: int) -> datetime:
        """Return when to try again after the last of so many failures in a row ended."""
        # doubled no further than matters: the power would overflow
        doubled = self.retry * (1 << min(failures - 1, 20))
        return end + min(doubled, self.every)


def floor(moment: datetime, length: timedelta) -> datetime:
    """Return the last moment up to `moment` that is a multiple of `length` since 1970, UTC."""
    return moment - (moment - _EPOCH) % length


def rolling_timerange(config: Config, windows: int, now: datetime) -> str:
    """Return the time range that ends with the newest candle closed at `now`, in epoch seconds.

    It holds `windows` of FreqAI's backtest periods and the newest candle, for which FreqAI then
    trains a model of its own: the bias does not follow from one that is a whole period old.

    Raises
    ------
    ConfigError
        The configuration lacks `timeframe` or `freqai.backtest_period_days`.
    """
    try:
        candle = timedelta(seconds=timeframe_seconds(str(config["timeframe"])))
        period = timedelta(days=float(config["freqai"]["backtest_period_days"]))
    except KeyError as error:
        raise ConfigError(f"loop: {error} is missing in the configuration. Set it.") from error
    stop = floor(now, candle)
    return as_text(Timerange(stop - candle - windows * period, stop))


def span_of(timerange: str) -> str:
    """Return a time range for people: epoch seconds as dates, any other text as it is."""
    parts = timerange.split("-")
    if not all(part.isdigit() and len(part) == _EPOCH_DIGITS for part in parts):
        return timerange
    moments = [datetime.fromtimestamp(int(part), UTC) for part in parts]
    return "-".join(f"{moment:%Y%m%dT%H%M}" for moment in moments)
