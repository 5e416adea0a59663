"""The modes of the hybrid strategy: what a prediction is turned into in each regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.decisions.degrade import LEVELS
from agent_market.decisions.regime import Regime
from agent_market.features.macro_events import SCHEDULES, release_times
from agent_market.features.rolling import rolling_zscore
from agent_market.learning.inference import DegradeLevel
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import ModeRule, ModeSettings

FloatArray = npt.NDArray[np.float64]


class Mode(IntEnum):
    """How a trade is taken; the number is what FreqUI plots, the name is the entry tag."""

    FLAT = 0
    MEAN_REVERSION = 1
    TREND = 2
    BREAKOUT = 3
    SQUEEZE = 4
    EVENT = 5
    DEFENSIVE = 6
    LONG_SHOT = 7

    @property
    def tag(self) -> str:
        """The entry tag, lower case."""
        return self.name.lower()


PRIORITY = (
    Mode.LONG_SHOT,
    Mode.SQUEEZE,
    Mode.EVENT,
    Mode.BREAKOUT,
    Mode.TREND,
    Mode.MEAN_REVERSION,
    Mode.DEFENSIVE,
)
"""Of several modes that ask for an entry, the first one takes it."""
REGIME_MODES = (Mode.BREAKOUT, Mode.TREND, Mode.MEAN_REVERSION, Mode.DEFENSIVE)
"""Where none asks for one, the first of these whose place it is is shown."""


def mode_rule(settings: ModeSettings, tag: str) -> ModeRule:
    """Return the rule of an entry tag.

    A tag that no mode has, such as that of a trade forced by hand, gets the rule of trend.
    """
    rule = getattr(settings, tag, None)
    return rule if isinstance(rule, ModeRule) else settings.trend


def measure_modes(
    candles: pd.DataFrame,
    settings: ModeSettings,
    timeframe: str,
    funding_bps: pd.Series | None = None,
) -> pd.DataFrame:
    """Return what the entry rules look at, apart from the regime.

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has date, open, high, low, close; ascending in time.
    settings : ModeSettings
        Windows.
    timeframe : str
        Of the candles.
    funding_bps : Series of shape (n_rows,), or None
        The newest funding rate known at each close; None where there is none.

    Returns
    -------
    DataFrame of shape (n_rows, 5), the index of `candles`
        `am_deviation_z`; `am_breakout` (1 above the high of the window before, -1 below its low);
        `am_funding_bps`; `am_clock` (-1 shortly before a scheduled release, 1 after one, else 0);
        `am_after_event` (return since the close before that release, NaN elsewhere).

    Notes
    -----
    Information time: row t uses rows <= t, and schedules published beforehand.
    """
    deviation = rolling_zscore(candles["close"], settings.window_candles)
    clock, moved = _event_clock(candles, settings, timeframe)
    funding = np.nan if funding_bps is None else funding_bps
    return pd.DataFrame(
        {
            "am_deviation_z": deviation,
            "am_breakout": _breakout(candles, settings.window_candles),
            "am_funding_bps": funding,
            "am_clock": clock,
            "am_after_event": moved,
        },
        index=candles.index,
    )


def choose_modes(
    market: pd.DataFrame,
    settings: ModeSettings,
    full_confidence_bps: float,
    switches: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the mode and the direction that each candle's close asks for.

    A mode may enter where its rule says so: regime, volatility, degrade level. Its direction
    follows from its entry rule and holds only where the prediction agrees, exceeds the entry edge,
    and scores at least what the mode asks for, and where predictions have not failed of late; at
    level `rules` there is no prediction, and modes that need none enter without. Nothing is entered
    against a bias, or shortly before a release.

    Parameters
    ----------
    market : DataFrame of shape (n_rows, ...)
        Columns of `measure_regime` and `measure_modes`, `am_level` (a place in `LEVELS`),
        `am_prediction` (forward return, a fraction), `am_trusted` (bool: the model stands behind it
        and does not abstain), `am_bias` (direction times confidence) where there is a bias, and
        `am_skill` (of `realized_skill`) where it is measured.
    settings : ModeSettings
        The modes and their thresholds.
    full_confidence_bps : float
        Prediction at which the direction score is 1.
    switches : DataFrame of shape (n_rows, n_modes), or None
        By tag: 1 switches a mode on, -1 off, 0 leaves it.

    Returns
    -------
    DataFrame of shape (n_rows, 3), the index of `market`
        `am_mode` (a `Mode` as int), `am_direction` in {-1, 0, 1} and `am_score` (-1..1, NaN without
        a prediction).

    Notes
    -----
    Information time: row t uses row t. No direction where a measure is NaN.
    """
    score = (market["am_prediction"] * 1e4 / full_confidence_bps).clip(-1, 1)
    open_to_entry = (market["am_clock"] != -1).to_numpy()
    places, directions = {}, {}
    for mode in PRIORITY:
        rule = mode_rule(settings, mode.tag)
        places[mode] = _place(market, rule, _switched(rule, mode, switches))
        wanted = _ENTRIES[rule.entry](market, settings)
        confirmed = _agrees(market, rule, settings, score.to_numpy(), wanted)
        entered = places[mode] & confirmed & open_to_entry & _bias_allows(market, wanted)
        directions[mode] = np.where(entered, wanted, 0.0)
    applies = [directions[mode] != 0 for mode in PRIORITY]
    applies += [places[mode] for mode in REGIME_MODES]
    chosen = np.select(applies, [*PRIORITY, *REGIME_MODES], Mode.FLAT)
    n_entries = len(PRIORITY)
    direction = np.select(applies[:n_entries], [directions[mode] for mode in PRIORITY], 0.0)
    return pd.DataFrame(
        {"am_mode": chosen, "am_direction": direction.astype(int), "am_score": score},
        index=market.index,
    )


def _switched(rule: ModeRule, mode: Mode, switches: pd.DataFrame | None) -> npt.NDArray[np.bool_]:
    """Return whether the mode is on, row by row or once for all."""
    if switches is None or mode.tag not in switches:
        return np.array(rule.enabled)
    switch = switches[mode.tag].to_numpy()
    return np.where(switch == 0, rule.enabled, switch > 0)


def _place(
    market: pd.DataFrame, rule: ModeRule, is_on: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return whether a row's regime, volatility and level are the mode's."""
    regimes = [Regime[name.upper()] for name in rule.regimes]
    levels = [LEVELS.index(DegradeLevel(name)) for name in rule.levels]
    fits = market["am_regime"].isin(regimes) & market["am_level"].isin(levels)
    if rule.turbulence != "any":
        fits &= market["am_turbulent"] == (1 if rule.turbulence == "turbulent" else 0)
    return np.asarray(fits) & is_on


def _agrees(
    market: pd.DataFrame,
    rule: ModeRule,
    settings: ModeSettings,
    score: FloatArray,
    wanted: FloatArray,
) -> npt.NDArray[np.bool_]:
    edge = market["am_prediction"].abs().to_numpy() >= settings.entry_edge_bps / 1e4
    confirmed = edge & (np.sign(score) == wanted) & (np.abs(score) >= rule.min_score)
    agrees = confirmed & market["am_trusted"].to_numpy(bool) & _is_skilled(market, settings)
    if rule.needs_prediction:
        return np.asarray(agrees)
    without = market["am_level"].to_numpy() == LEVELS.index(DegradeLevel.RULES)
    return np.asarray(agrees | without)


def _is_skilled(market: pd.DataFrame, settings: ModeSettings) -> npt.NDArray[np.bool_]:
    """Return whether the model's predictions may be followed; too little evidence forbids none."""
    if settings.min_skill_t is None or "am_skill" not in market:
        return np.ones(len(market), dtype=bool)
    return ~(market["am_skill"].to_numpy(np.float64) < settings.min_skill_t)


def _bias_allows(market: pd.DataFrame, wanted: FloatArray) -> npt.NDArray[np.bool_]:
    if "am_bias" not in market:
        return np.ones(len(market), dtype=bool)
    return ~(market["am_bias"].to_numpy(np.float64) * wanted < 0)


def _breakout(candles: pd.DataFrame, window: int) -> pd.Series:
    """Return 1 above the previous window's high, -1 below its low, else 0."""
    high = candles["high"].rolling(window).max().shift(1)
    low = candles["low"].rolling(window).min().shift(1)
    return (candles["close"] > high).astype(float) - (candles["close"] < low).astype(float)


def _event_clock(
    candles: pd.DataFrame, settings: ModeSettings, timeframe: str
) -> tuple[FloatArray, FloatArray]:
    """Return `am_clock` and `am_after_event`."""
    span = pd.Timedelta(seconds=timeframe_seconds(timeframe))
    close = pd.DatetimeIndex(candles["date"] + span)
    clock, moved = np.zeros(len(candles)), np.full(len(candles), np.nan)
    prices = candles["close"].to_numpy(np.float64)
    before = pd.Timedelta(minutes=settings.event_before_minutes)
    after = pd.Timedelta(minutes=settings.event_after_minutes)
    for release in sorted(time for kind in SCHEDULES for time in release_times(kind)):
        first, last = close.searchsorted([release, release + after], side="right")
        if first > 0:
            clock[first:last] = 1.0
            moved[first:last] = prices[first:last] / prices[first - 1] - 1
        ahead, till = close.searchsorted([release - before, release], side="left")
        clock[ahead:till] = -1.0
    return clock, moved


def _with_trend(market: pd.DataFrame, settings: ModeSettings) -> FloatArray:
    return np.asarray(np.sign(market["am_trend"].to_numpy(np.float64)))


def _against_deviation(market: pd.DataFrame, settings: ModeSettings) -> FloatArray:
    deviation = market["am_deviation_z"].to_numpy(np.float64)
    return np.asarray(-np.sign(deviation) * (np.abs(deviation) >= settings.deviation_z))


def _range_break(market: pd.DataFrame, settings: ModeSettings) -> FloatArray:
    return market["am_breakout"].to_numpy(np.float64)


def _against_crowd(market: pd.DataFrame, settings: ModeSettings) -> FloatArray:
    """Against the side that pays, once the move has turned against it."""
    funding = market["am_funding_bps"].to_numpy(np.float64)
    crowded = np.where(np.abs(funding) >= settings.crowded_funding_bps, -np.sign(funding), 0.0)
    turned = np.sign(market["am_trend"].to_numpy(np.float64)) == crowded
    return np.where(turned, crowded, 0.0)


def _after_event(market: pd.DataFrame, settings: ModeSettings) -> FloatArray:
    moved = np.sign(market["am_after_event"].to_numpy(np.float64))
    return np.where(market["am_clock"].to_numpy() == 1, moved, 0.0)


_ENTRIES: Mapping[str, Callable[[pd.DataFrame, ModeSettings], FloatArray]] = {
    "with_trend": _with_trend,
    "against_deviation": _against_deviation,
    "range_break": _range_break,
    "against_crowd": _against_crowd,
    "after_event": _after_event,
}
