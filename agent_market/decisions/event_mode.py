"""Event mode: more or less aggression for a set time, after which it is over by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pydantic import Field

from agent_market.decisions.advice import Advice, Clamp, History, Reading, looked_up
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import EventModeSettings


class EventMode(Advice):
    """`event_mode.json`.

    reason : why, for people.
    position_multiplier, leverage_multiplier : of what the strategy would take; its caps stand
        above.
    modes : switches modes on (true) or off (false) by name; the others stay as they are.
    """

    reason: str = Field(min_length=1, max_length=500)
    position_multiplier: float = Field(default=1, ge=0)
    leverage_multiplier: float = Field(default=1, gt=0)
    modes: dict[str, bool] = Field(default_factory=dict)


COLUMNS = {"am_event": 0.0, "am_event_position": 1.0, "am_event_leverage": 1.0}
"""What `event_mode_at` returns, and the value where no event mode is in force."""


def event_clamp(settings: EventModeSettings) -> Clamp[EventMode]:
    """Return what ignores an event mode outside the settings' bounds, the whole of it."""

    def clamp(event: EventMode) -> Reading[EventMode]:
        hours = (event.expires_at - event.created_at).total_seconds() / 3600
        bounds = {
            "max_hours": (hours, settings.max_hours),
            "max_position_multiplier": (
                event.position_multiplier,
                settings.max_position_multiplier,
            ),
            "max_leverage_multiplier": (
                event.leverage_multiplier,
                settings.max_leverage_multiplier,
            ),
        }
        reasons = tuple(
            f"{event.id}: {value:g} is above event_mode.{name} ({bound:g}). Ignored."
            for name, (value, bound) in bounds.items()
            if value > bound
        )
        return Reading(None if reasons else event, reasons)

    return clamp


def event_mode_at(history: History[EventMode], dates: pd.Series, timeframe: str) -> pd.DataFrame:
    """Return the event mode that was in force when each candle closed.

    Returns
    -------
    DataFrame of shape (n_rows, 3), the index of `dates`
        `am_event` is 1 in event mode, else 0; the multipliers are 1 outside of it.

    Notes
    -----
    Information time: row t uses event modes available at `date_t + timeframe` or before.
    """
    return looked_up(history, _known_at(dates, timeframe), _values, list(COLUMNS))


def mode_switches(
    history: History[EventMode], dates: pd.Series, timeframe: str, modes: Sequence[str]
) -> pd.DataFrame:
    """Return what event mode does to each mode: 1 switches it on, -1 off, 0 leaves it.

    Returns
    -------
    DataFrame of shape (n_rows, n_modes), int64, the index of `dates`, a column a mode
    """
    return looked_up(
        history,
        _known_at(dates, timeframe),
        lambda reading: [_switch(reading, mode) for mode in modes],
        modes,
    ).astype("int64")


_NONE = tuple(COLUMNS.values())


def _values(reading: Reading[EventMode]) -> tuple[float, ...]:
    event = reading.advice
    if event is None:
        return _NONE
    return 1.0, event.position_multiplier, event.leverage_multiplier


def _switch(reading: Reading[EventMode], mode: str) -> int:
    on = reading.advice.modes.get(mode) if reading.advice else None
    return 0 if on is None else 1 if on else -1


def _known_at(dates: pd.Series, timeframe: str) -> pd.Series:
    return dates + pd.Timedelta(seconds=timeframe_seconds(timeframe))
