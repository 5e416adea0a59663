"""The two clocks of the replay exchange: history as it is, and history that goes on now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from agent_market.errors import DataError

DAY_MS = 86_400_000
RESERVE_SHARE = 0.1
MOST_RESERVE_DAYS = 30.0


def wall_ms() -> int:
    """Return the machine's time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Clock:
    """What time it is at the exchange and in its market.

    Parameters
    ----------
    shift_ms : int
        Added to every stored time stamp; a whole number of days, so candle opens and funding
        times stay aligned.
    frozen_ms : int or None
        The market stands still at this served time (as-stored); None lets it go on (live).
    end_ms : int
        Served time at which the stored history ends.
    wall : callable
        The machine's time in milliseconds; replaced in tests.
    """

    shift_ms: int
    frozen_ms: int | None
    end_ms: int
    wall: Callable[[], int] = wall_ms

    @property
    def is_live(self) -> bool:
        """Whether the market goes on in real time."""
        return self.frozen_ms is None

    def server_ms(self) -> int:
        """Return the time that the exchange tells; always real, or clients report an offset."""
        return self.wall()

    def market_ms(self) -> int:
        """Return the served time up to which the market is known."""
        return self.wall() if self.frozen_ms is None else self.frozen_ms

    def reserve_ms(self) -> int:
        """Return how much stored history is left ahead of now."""
        return max(0, self.end_ms - self.market_ms())


def as_stored(end_ms: int, wall: Callable[[], int] = wall_ms) -> Clock:
    """Return the clock that shows the whole history as it is, standing still at its end."""
    return Clock(shift_ms=0, frozen_ms=end_ms, end_ms=end_ms, wall=wall)


def live(
    start_ms: int,
    end_ms: int,
    *,
    reserve_days: float | None = None,
    epoch: datetime | None = None,
    wall: Callable[[], int] = wall_ms,
) -> Clock:
    """Return the clock that moves history to now and lets it go on in real time.

    The shift is the smallest multiple of the reserve (in whole days, at least one) that leaves the
    reserve ahead of `epoch` (default: now). So a restart serves the same history for as many days
    as the reserve has, on average half of them, and with the same `epoch` always.

    Raises
    ------
    DataError
        The history is too short to lie around now with that reserve.
    """
    reserve = reserve_days if reserve_days is not None else default_reserve_days(start_ms, end_ms)
    anchor = wall() if epoch is None else _utc_ms(epoch)
    grid = max(1, math.floor(reserve)) * DAY_MS
    shift = math.ceil((anchor + reserve * DAY_MS - end_ms) / grid) * grid
    if wall() <= start_ms + shift or wall() >= end_ms + shift:
        raise DataError(
            f"the stored history ({day(start_ms)} to {day(end_ms)}) does not reach around now "
            f"with {reserve:.2f} days in reserve and epoch {day(anchor)}: store more days, lower "
            "--reserve, or move --epoch"
        )
    return Clock(shift_ms=shift, frozen_ms=None, end_ms=end_ms + shift, wall=wall)


def default_reserve_days(start_ms: int, end_ms: int) -> float:
    """Return 10 % of the stored span, at most 30 days."""
    return min(MOST_RESERVE_DAYS, RESERVE_SHARE * (end_ms - start_ms) / DAY_MS)


def _utc_ms(moment: datetime) -> int:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(aware.timestamp() * 1000)


def day(time_ms: int) -> str:
    """Return a time as `2025-01-31 12:00` UTC, for messages."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
