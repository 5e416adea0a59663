"""How much of the strategy is left when inputs go stale: full, price-only, rules, flat.

Each input has an age and a budget. An age over its budget costs the level that the input stands
for: candles the whole strategy, the prediction everything but rules, side data what rests on it.
A level is lost at once, and won back only after some candles in a row were better. An input that
was never there (its age is infinite) costs its level while it is missing and is not remembered: the
first prediction of a bot or of a backtest counts at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from agent_market.learning.inference import DegradeLevel
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import DegradeSettings

FloatArray = npt.NDArray[np.float64]
LEVELS = tuple(DegradeLevel)
"""From everything to nothing; a level's place is the number in the column `am_level`."""
CANDLES, PREDICTION = "candles", "prediction"
CLOCK_TOLERANCE_SECONDS = 60.0
"""What is this far ahead of our clock is no fault of the data; what is further counts as stale."""


class Budget(NamedTuple):
    """How old an input may be, in seconds, and the level that is left when it is older."""

    seconds: float
    level: DegradeLevel


class LevelChange(NamedTuple):
    """The level before and after, and why, in words."""

    before: DegradeLevel
    after: DegradeLevel
    reasons: tuple[str, ...]

    def message(self, pair: str) -> str:
        """Return one line for the log and for people."""
        why = "; ".join(self.reasons) or "inputs are fresh again"
        return f"{pair}: level {self.before} -> {self.after}: {why}"


def budgets_of(
    settings: DegradeSettings, timeframe: str, side_inputs: Iterable[str] = ()
) -> dict[str, Budget]:
    """Return the budgets of candles, prediction and the side data in use.

    Parameters
    ----------
    settings : DegradeSettings
    timeframe : str
        Of the strategy.
    side_inputs : iterable of str
        `funding`, `open_interest`, `order_flow`, `news`: what the strategy reads.
    """
    fresh, length = settings.freshness, timeframe_seconds(timeframe)
    budgets = {
        CANDLES: Budget(fresh.candles * length, DegradeLevel.FLAT),
        PREDICTION: Budget(fresh.prediction * length, DegradeLevel.RULES),
    }
    for name in side_inputs:
        hours = float(getattr(fresh, f"{name}_hours"))
        budgets[name] = Budget(hours * 3600, DegradeLevel.PRICE_ONLY)
    return budgets


def input_ages(candles: pd.DataFrame, trusted: pd.Series, timeframe: str) -> pd.DataFrame:
    """Return how old candles and prediction are at each candle's close, in seconds.

    Parameters
    ----------
    candles : DataFrame of shape (n_rows, ...)
        Has `date` and `volume`. A candle without volume is one that the host filled in.
    trusted : Series of bool, shape (n_rows,)
        Whether there is a prediction that the model stands behind.

    Returns
    -------
    DataFrame of shape (n_rows, 2), the index of `candles`
        `candles` and `prediction`; infinite before the first.

    Notes
    -----
    Information time: row t uses rows <= t.
    """
    known_at = candles["date"] + pd.Timedelta(seconds=timeframe_seconds(timeframe))
    return pd.DataFrame(
        {
            CANDLES: _age_of_last(known_at, candles["volume"] > 0),
            PREDICTION: _age_of_last(known_at, trusted),
        }
    )


def _age_of_last(known_at: pd.Series, holds: pd.Series) -> pd.Series:
    last = known_at.where(holds).ffill()
    return (known_at - last).dt.total_seconds().fillna(math.inf)


def degrade_levels(
    ages: pd.DataFrame, budgets: Mapping[str, Budget], recovery_candles: int
) -> pd.Series:
    """Return the level at each candle's close, as its place in `LEVELS`.

    The worst of what the row's inputs allow, and of what those of the `recovery_candles` rows
    before it did: the same as a `DegradeMonitor` that is shown row after row.

    Parameters
    ----------
    ages : DataFrame of shape (n_rows, n_inputs)
        Seconds, a column an input; NaN or in the future counts as stale.
    budgets : mapping of input to Budget
        An input without a column counts as stale.

    Returns
    -------
    Series of int, shape (n_rows,), the index of `ages`

    Notes
    -----
    Information time: row t uses rows t-recovery_candles..t.
    """
    worst, memorable = np.zeros(len(ages)), np.zeros(len(ages))
    for name, budget in budgets.items():
        age = ages[name].to_numpy(np.float64) if name in ages else np.full(len(ages), np.nan)
        severity = _severity(age, budget)
        worst = np.maximum(worst, severity)
        memorable = np.maximum(memorable, np.where(age == np.inf, 0.0, severity))
    held = pd.Series(memorable, index=ages.index).rolling(recovery_candles + 1, min_periods=1).max()
    return held.clip(lower=pd.Series(worst, index=ages.index)).astype(int)


def _severity(age: FloatArray, budget: Budget) -> FloatArray:
    fresh = (age >= -CLOCK_TOLERANCE_SECONDS) & (age <= budget.seconds)
    return np.where(fresh, 0.0, float(LEVELS.index(budget.level)))


def stale_inputs(ages: Mapping[str, float], budgets: Mapping[str, Budget]) -> tuple[str, ...]:
    """Return what is over its budget, in words, the gravest first."""
    ranked = sorted(budgets.items(), key=lambda item: -LEVELS.index(item[1].level))
    return tuple(
        _explain(name, ages.get(name, math.nan), budget)
        for name, budget in ranked
        if _severity(np.array([ages.get(name, math.nan)]), budget)[0] > 0
    )


def _explain(name: str, age: float, budget: Budget) -> str:
    allowed = f"allowed are {budget.seconds / 60:.4g} min"
    if age < 0:
        return f"{name}: {-age / 60:.4g} min in the future"
    if not math.isfinite(age):
        return f"{name}: none known, {allowed}"
    return f"{name}: {age / 60:.4g} min old, {allowed}"


@dataclass(frozen=True)
class _Observed:
    candle: Hashable
    severity: int


class DegradeMonitor:
    """The level of one pair, observed as time goes on.

    Parameters
    ----------
    budgets : mapping of input to Budget
    recovery_candles : int
        Candles in a row that must be better before the level goes up.

    Notes
    -----
    A candle may be observed many times, as a bot does between two candles: its worst moment is what
    is remembered of it.
    """

    def __init__(self, budgets: Mapping[str, Budget], recovery_candles: int) -> None:
        self.level = DegradeLevel.FULL
        self._budgets = dict(budgets)
        self._recent: deque[_Observed] = deque(maxlen=recovery_candles + 1)

    def observe(
        self, candle: Hashable, ages: Mapping[str, float], at_best: DegradeLevel = DegradeLevel.FULL
    ) -> LevelChange | None:
        """Take in the ages of now; return the change of level, None where there is none.

        Parameters
        ----------
        candle : hashable
            What tells one candle from the next, such as its date.
        ages : mapping of input to seconds
            Missing, NaN or future counts as stale.
        at_best : DegradeLevel
            What the level may be at most, where the past is known from elsewhere.
        """
        known = {name: ages.get(name, math.nan) for name in self._budgets}
        facts = {
            name: int(_severity(np.array([age]), self._budgets[name])[0])
            for name, age in known.items()
        }
        severity = max([0, *(fact for name, fact in facts.items() if known[name] != math.inf)])
        if self._recent and self._recent[-1].candle == candle:
            severity = max(severity, self._recent.pop().severity)
        self._recent.append(_Observed(candle, severity))
        before, remembered = self.level, [each.severity for each in self._recent]
        self.level = LEVELS[max(LEVELS.index(at_best), *facts.values(), *remembered)]
        if self.level is before:
            return None
        return LevelChange(before, self.level, stale_inputs(ages, self._budgets))


def stake_factor(level: DegradeLevel, settings: DegradeSettings) -> float:
    """Return what a level leaves of a stake, 0..1."""
    return {
        DegradeLevel.FULL: 1.0,
        DegradeLevel.PRICE_ONLY: settings.price_only_stake,
        DegradeLevel.RULES: settings.rules_stake,
        DegradeLevel.FLAT: 0.0,
    }[level]
